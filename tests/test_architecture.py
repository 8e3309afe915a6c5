"""Imports go one way, heavy packages stay where they belong, and public names are complete."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "zapdeploy"
# Each part may import itself and what stands before it.
ORDER = (
    "foundation",
    "simplify",
    "hardware_targets",
    "compile",
    "sim",
    "api",
    "benchmarks",
    "explore",
    "commands",
    "streaming",
    "cli",
)
FOUNDATION = {
    "__init__",
    "documents",
    "errors",
    "quantities",
    "files",
    "text",
    "typed",
    "arrays",
    "callable_packages",
    "progress",
    "small_integers",
    "tables",
    "formatting",
    "machine",
    "exporter",
    "functions",
}
FOUNDATION |= {"extras", "host_part", "onnxruntime_sessions", "platforms"}
# Meet the compiler only at the ONNX file.
APART = {"recordings", "connectomes", "quantize", "forecasters"}
READ_BY_ALL = {"simplify", "recordings", "connectomes"}  # what these may import of the rest
MEETING = ("api", "benchmarks", "explore", "commands", "streaming")  # meet them
ONLY_IN = {
    "brevitas": {"quantize"},
    "torch": {"quantize", "forecasters", "benchmarks"},
    "onnx": {
        "simplify",
        "onnxruntime_sessions",
        "compile/frontend",
        "compile/passes",
        "quantize",
        "forecasters",
        "sim",
        "benchmarks",
    },
    "onnx_ir": {"compile/frontend"},
}


def part_of(path: Path) -> str:
    """The part of the package that a file belongs to."""
    relative = path.relative_to(PACKAGE)
    if len(relative.parts) > 1 and relative.parts[0] not in FOUNDATION:
        return relative.parts[0]
    if relative.stem == "api":
        return str(relative.stem)
    return "foundation" if {relative.stem, relative.parts[0]} & FOUNDATION else "cli"


def imports(path: Path, *, late: bool = True) -> Iterator[str]:
    """Modules that a file imports; without `late`, only when it is itself imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in _nodes(tree, late):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def _nodes(tree: ast.AST, late: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(tree):
        if not late and isinstance(child, ast.FunctionDef):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from _nodes(child, late)


FILES = sorted(PACKAGE.rglob("*.py"))


def _target(module: str) -> str:
    """The part that an imported module of this package belongs to."""
    path = PACKAGE.parent / Path(*module.split("."))
    return part_of(path / "__init__.py" if path.is_dir() else path.with_suffix(".py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    part = part_of(path)
    for module in imports(path):
        if module.split(".")[0] != "zapdeploy" or module == "zapdeploy":
            continue
        target = _target(module)
        if target == part or target == "foundation":
            continue
        if part in APART:
            assert target in READ_BY_ALL - {part}, f"{part} must not import {module}"
            continue
        if target in APART:
            assert part in (*MEETING, "cli"), f"{part} must not import {module}"
            continue
        if part == "foundation":
            pytest.fail(f"the foundation must not import {module}")
        assert ORDER.index(target) < ORDER.index(part), f"{part} must not import {module}"


@pytest.mark.parametrize("package", ONLY_IN)
def test_heavy_packages_stay_where_they_belong(package: str) -> None:
    for path in FILES:
        if package in {module.split(".")[0] for module in imports(path)}:
            relative = path.relative_to(PACKAGE).as_posix()
            assert any(relative.startswith(folder) for folder in ONLY_IN[package]), relative


def test_importing_the_package_loads_nothing() -> None:
    code = (
        "import sys, zapdeploy; print([m for m in ('numpy', 'onnx', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_are_there() -> None:
    import zapdeploy

    for name in zapdeploy.__all__:
        assert callable(getattr(zapdeploy, name)), name
    with pytest.raises(AttributeError, match="no attribute 'frobnicate'"):
        _ = zapdeploy.frobnicate


# Inside a part, too, each room may import itself and what stands before it. A file beside the
# rooms is a room of its own.
ROOMS = {
    "compile": (
        *(
            "graph",
            "printing",
            "kernels",
            "regions",
            "axes",
            "ops",
            "frames",
            "passes",
            "layers",
            "state",
        ),
        *("frontend", "checking", "noc", "mapping", "program", "multichip", "space"),
    ),
    "benchmarks": (
        *("models", "results", "request", "measured", "accuracy", "simulated", "report"),
        *("unsupported", "run", "experiments"),
    ),
}


def _room(module: str) -> tuple[str, str]:
    """The part and the room of a module of this package."""
    part, room, *_ = [*module.split(".")[1:], "", ""]
    return part, room


def _edges(files: Mapping[str, str]) -> dict[str, set[str]]:
    """What each module imports, imports for types and inside functions included."""
    found: dict[str, set[str]] = {module: set() for module in files}
    for module, text in files.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for name in node.names:
                    inner = f"{node.module}.{name.name}"
                    found[module].add(inner if inner in files else node.module)
    return {m: {t for t in targets if t in files and t != m} for m, targets in found.items()}


def _circles(edges: Mapping[str, set[str]]) -> list[set[str]]:
    """Sets of modules that all reach one another."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    names = sorted(edges)
    place = {name: index for index, name in enumerate(names)}
    pairs = [(place[a], place[b]) for a in names for b in edges[a]]
    rows, columns = zip(*pairs, strict=True) if pairs else ((), ())
    shape = (len(names), len(names))
    graph = csr_array(([1] * len(pairs), (rows, columns)), shape=shape)
    _, labels = connected_components(graph, connection="strong")
    groups: dict[int, set[str]] = {}
    for name, label in zip(names, labels, strict=True):
        groups.setdefault(int(label), set()).add(name)
    return [group for group in groups.values() if len(group) > 1]


def _package() -> dict[str, str]:
    """The text of every module; the public face, which names everything, apart."""
    found = {}
    for path in FILES:
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        module = ".".join(parts).removesuffix(".__init__")
        if module != "zapdeploy":
            found[module] = path.read_text(encoding="utf-8")
    return found


def test_rooms_import_one_way() -> None:
    for module, targets in _edges(_package()).items():
        part, room = _room(module)
        if part not in ROOMS or not room:
            continue
        for target in targets:
            other, inner = _room(target)
            if other == part and inner and inner != room:
                order = ROOMS[part]
                assert order.index(inner) < order.index(room), f"{module} imports {target}"


def _between_rooms(edges: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """What each room of each part imports of the others; a file beside the rooms is one."""
    found: dict[str, set[str]] = {}
    for module, targets in edges.items():
        here = _room(module)
        rooms = found.setdefault(".".join(here), set())
        rooms |= {".".join(r) for r in map(_room, targets) if r[0] == here[0] and all((*r, *here))}
        rooms.discard(".".join(here))
    return {room: targets & found.keys() for room, targets in found.items()}


def test_no_circles_between_rooms_of_any_part() -> None:
    assert _circles(_between_rooms(_edges(_package()))) == []


def test_a_planted_circle_between_rooms_is_found() -> None:
    files = _package()
    files["zapdeploy.sim.schedule"] += "\nfrom zapdeploy.sim.results import Simulation\n"
    files["zapdeploy.sim.results"] += "\nfrom zapdeploy.sim.schedule.loads import anything\n"
    (found,) = _circles(_between_rooms(_edges(files)))
    assert {"sim.schedule", "sim.results"} <= found


def test_no_import_circles() -> None:
    """Not even among imports for types, or inside functions."""
    assert _circles(_edges(_package())) == []


def test_a_planted_circle_is_found() -> None:
    files = _package()
    files["zapdeploy.compile.graph"] += (
        "\nif TYPE_CHECKING:\n    from zapdeploy.compile.layers import Layer\n"
    )
    (found,) = _circles(_edges(files))
    assert {"zapdeploy.compile.graph", "zapdeploy.compile.layers"} <= found


# Names of types that all parts use: each is defined once.
ALIASES = {
    "arrays.py": {"Array", "Arrays", "Floats", "FloatArray", "IntArray"},
    "progress.py": {"Progress", "StepProgress"},
}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_common_types_have_one_name(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    defined = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    where = path.relative_to(PACKAGE).as_posix()
    for home, names in ALIASES.items():
        assert where == home or not defined & names, f"import it from {home}"


# One file knows how cores are laid out. Matrices have columns, too, in the rooms of operators.
MESH = "compile/noc/mesh.py"
OF_MATRICES = ("compile/kernels", "compile/ops")


def _geometry(text: str) -> list[str]:
    """Where a file divides by columns, or asks a target for the lengths of its array."""
    found = []
    for node in ast.walk(ast.parse(text)):
        divided: ast.expr | None = None
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.FloorDiv | ast.Mod):
            divided = node.right
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("divmod"):
            divided = node.args[1]
        by_columns = divided is not None and ast.unparse(divided).split(".")[-1] == "columns"
        of_array = isinstance(node, ast.Attribute) and node.attr in ("rows", "columns")
        if by_columns or (of_array and ast.unparse(node).split(".")[-2] == "array"):
            found.append(ast.unparse(node))
    return found


def test_one_file_knows_the_mesh() -> None:
    for path in FILES:
        where = path.relative_to(PACKAGE).as_posix()
        if where != MESH and not where.startswith(("hardware_targets/", *OF_MATRICES)):
            found = _geometry(path.read_text(encoding="utf-8"))
            assert not found, f"{where} must ask Mesh, not {found}"


@pytest.mark.parametrize(
    "planted",
    [
        "row, column = divmod(core, columns)",
        "hops = abs(core // mesh.columns - other // mesh.columns)",
        "rows, columns = np.divmod(core, int(target.array.columns))",
        "end = core % columns == columns - 1",
        "across = target.array.rows + target.array.columns",
    ],
)
def test_a_planted_derivation_of_the_mesh_is_found(planted: str) -> None:
    assert _geometry(planted)
