"""The .zap file: what goes in comes out, always in the same bytes, and damage is found.

Long, because each field of the layout is damaged in turn.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import struct
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compile.program.zap_files import (
    START,
    file_header,
    load_program,
    program_digest,
    save_program,
    sealed,
    section,
    section_header,
    signed,
)
from tests.networks import (
    ORIGIN,
    NetworkBuilder,
    changed_target,
    compiled,
    mlp,
    northpole,
    small_cnn,
    small_cnn_program,
)
from zapdeploy.compile.graph import (
    BOOL,
    FLOAT32,
    INT32,
    INT64,
    Array,
    Attribute,
    ElementType,
    Graph,
    Node,
    Quantization,
    Value,
)
from zapdeploy.compile.mapping.memory import CapacityViolation
from zapdeploy.compile.multichip.pipeline_file import load_pipeline
from zapdeploy.compile.program.program import Program
from zapdeploy.errors import ProgramError

ELEMENTS = (
    *(ElementType(kind, bits) for kind in ("int", "uint") for bits in (2, 4, 8, 16)),
    INT32,
    INT64,
    BOOL,
    ElementType("float", 16),
    FLOAT32,
)


@cache
def tiny() -> Program:
    """As small a Program as there is, for tests that touch every byte."""
    return compiled(mlp(1, (3, 2)))


def with_constants(*data: tuple[ElementType, Array]) -> Program:
    """A Program that carries these arrays as further values."""
    values = dict(tiny().graph.values)
    for i, (element, array) in enumerate(data):
        values[f"constant{i}"] = Value(f"constant{i}", array.shape, element, None, array)
    return replace(tiny(), graph=replace(tiny().graph, values=values))


def round_trip(program: Program, folder: Path) -> Program:
    path = folder / "program.zap"
    saved = save_program(program, path)
    loaded = load_program(path)
    assert loaded.digest == saved.digest == program_digest(program)
    return loaded


def assert_same_graph(a: Graph, b: Graph) -> None:
    assert (a.name, a.inputs, a.outputs) == (b.name, b.inputs, b.outputs)
    assert [vars(n) for n in a.nodes] == [vars(n) for n in b.nodes]
    assert set(a.values) == set(b.values)
    for name, first in a.values.items():
        assert_same_value(first, b.values[name])


def assert_same_value(a: Value, b: Value) -> None:
    assert (a.name, a.shape, a.element) == (b.name, b.shape, b.element)
    assert (a.data is None) == (b.data is None)
    if a.data is not None and b.data is not None:
        assert_same_array(a.data, b.data)
    if a.quantization is None or b.quantization is None:
        assert a.quantization is b.quantization
        return
    first, second = a.quantization, b.quantization
    assert (first.low, first.high, first.axis) == (second.low, second.high, second.axis)
    assert_same_array(first.scale, second.scale)
    assert_same_array(first.zero_point, second.zero_point)


def assert_same_array(a: Array, b: Array) -> None:
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    assert np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()


# ---------------------------------------------------------------- what comes out


@pytest.mark.parametrize("name", ["northpole-sim", "tile64-sim"])
def test_a_program_comes_back_whole(name: str, tmp_path: Path) -> None:
    program = small_cnn_program(name)
    loaded = round_trip(program, tmp_path)
    assert_same_graph(program.graph, loaded.graph)
    for field in set(vars(program)) - {"graph", "digest"}:
        assert getattr(loaded, field) == getattr(program, field), field


def test_a_program_that_does_not_fit_comes_back_too(tmp_path: Path) -> None:
    violation = CapacityViolation("layer", "memory", 3, 2, ("fewer bits", "2 chips"))
    assert round_trip(replace(tiny(), violation=violation), tmp_path).violation == violation


@st.composite
def arrays(draw: st.DrawFn) -> tuple[ElementType, Array]:
    """Any element type, any small shape, values over the whole range."""
    element = draw(st.sampled_from(ELEMENTS))
    shape = tuple(draw(st.lists(st.integers(0, 5), max_size=3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if element.is_integer:
        low, high = element.limits
        return element, rng.integers(low, high, shape, endpoint=True, dtype=np.int64).astype(
            element.numpy
        )
    return element, (100 * rng.normal(size=shape)).astype(element.numpy)


@settings(deadline=None, max_examples=60)
@given(st.lists(arrays(), min_size=1, max_size=4))
def test_arrays_of_every_type_come_back(
    tmp_path_factory: pytest.TempPathFactory, data: list[tuple[ElementType, Array]]
) -> None:
    program = with_constants(*data)
    loaded = round_trip(program, tmp_path_factory.mktemp("zap"))
    assert_same_graph(program.graph, loaded.graph)


@pytest.mark.parametrize("kind", ["int", "uint"])
@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 9, 63])
def test_narrow_integers_are_packed(kind: str, bits: int, count: int, tmp_path: Path) -> None:
    """Every value of the width, in turn, also where the last byte is not full."""
    element = ElementType(kind, bits)
    low, high = element.limits
    data = (np.arange(count) % (high - low + 1) + low).astype(element.numpy)
    loaded = round_trip(with_constants((element, data)), tmp_path)
    found = loaded.graph.values["constant0"].data
    assert found is not None
    assert_same_array(found, data)


def test_narrow_integers_take_their_true_width(tmp_path: Path) -> None:
    """80,000 values: 8, 4 and 2 bits make files that differ by 40,000 and 20,000 bytes."""
    sizes = {}
    for bits in (8, 4, 2):
        data = np.ones(80_000, np.int8)
        path = tmp_path / f"{bits}.zap"
        save_program(with_constants((ElementType("int", bits), data)), path)
        sizes[bits] = path.stat().st_size
    assert sizes[8] - sizes[4] == pytest.approx(40_000, abs=128)
    assert sizes[4] - sizes[2] == pytest.approx(20_000, abs=128)


def test_packing_puts_the_first_element_in_the_lowest_bits(tmp_path: Path) -> None:
    """-1, 2, -3, 4, 5, 6, 7, -8 in two's complement: 0x2F, 0x4D, 0x65, 0x87 and so on."""
    data = np.array([-1, 2, -3, 4, 5, 6, 7, -8] * 8, np.int8)
    path = tmp_path / "program.zap"
    save_program(with_constants((ElementType("int", 4), data)), path)
    assert bytes.fromhex("2f4d6587" * 8) in path.read_bytes()


def test_weights_of_8_bits_are_mapped_from_the_file(tmp_path: Path) -> None:
    """No copy is made: the array's memory is the file's."""
    data = np.arange(-128, 128, dtype=np.int8)
    loaded = round_trip(with_constants((ElementType("int", 8), data)), tmp_path)
    base: Any = loaded.graph.values["constant0"].data
    assert not base.flags.writeable
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base.obj if isinstance(base, memoryview) else base, mmap.mmap)


def test_arrays_start_at_multiples_of_64(tmp_path: Path) -> None:
    """Also behind arrays of odd lengths, so that they can be used as they lie."""
    odd = np.full(77, 5, np.int8)
    marked = np.frombuffer(b"found me here   " * 4, np.float32)
    path = tmp_path / "program.zap"
    program = with_constants((ElementType("int", 8), odd), (FLOAT32, marked))
    save_program(program, path)
    assert path.read_bytes().index(marked.tobytes()) % 64 == 0


def test_arrays_that_are_views_are_written_as_they_look(tmp_path: Path) -> None:
    """Broadcast, transposed and reversed arrays have no bytes of their own."""
    table = np.arange(12, dtype=np.float32).reshape(3, 4)
    data = [np.broadcast_to(np.float32(3), (5, 6)), table.T, table[::-1, ::2]]
    loaded = round_trip(with_constants(*((FLOAT32, array) for array in data)), tmp_path)
    for i, array in enumerate(data):
        found = loaded.graph.values[f"constant{i}"].data
        assert found is not None
        assert_same_array(found, np.ascontiguousarray(array))


@pytest.mark.parametrize("values", [[np.inf], [-np.inf, np.nan], [np.inf] * 20])
def test_numbers_that_are_not_finite_come_back(values: list[float], tmp_path: Path) -> None:
    """Masks are full of them."""
    data = np.array(values, np.float32)
    loaded = round_trip(with_constants((FLOAT32, data)), tmp_path)
    found = loaded.graph.values["constant0"].data
    assert found is not None
    assert_same_array(found, data)


def test_attributes_of_every_kind_come_back(tmp_path: Path) -> None:
    """Numbers, text, tuples; a Clip without an upper bound has an infinite one."""
    attributes: dict[str, Attribute] = {
        "axis": 1,
        "epsilon": 1e-5,
        "low": 0.0,
        "high": float("inf"),
        "floor": float("-inf"),
        "approximate": "tanh",
        "axes": (1, 2),
        "scales": (1.0, 0.5),
        "none": (),
    }
    node = replace(tiny().graph.nodes[0], attributes=attributes, sources=("first", "second"))
    loaded = round_trip(replace(tiny(), graph=replace(tiny().graph, nodes=(node,))), tmp_path)
    assert dict(loaded.graph.nodes[0].attributes) == attributes
    assert loaded.graph.nodes[0].sources == ("first", "second")


def test_a_clip_without_an_upper_bound_can_be_saved(tmp_path: Path) -> None:
    net = NetworkBuilder("n")
    x = net.conv(net.input("x", (1, 4, 4, 4)), 4, 1)
    x = net.node("Clip", (x,), low=0.0, high=float("inf"))
    loaded = round_trip(compiled(net.graph(x)), tmp_path)
    assert loaded.graph.nodes[-1].attributes["high"] == float("inf")


def test_absent_inputs_come_back(tmp_path: Path) -> None:
    node = replace(tiny().graph.nodes[0], inputs=(*tiny().graph.nodes[0].inputs[:2], ""))
    loaded = round_trip(replace(tiny(), graph=replace(tiny().graph, nodes=(node,))), tmp_path)
    assert loaded.graph.nodes[0].inputs[-1] == ""


def test_names_in_any_script_come_back(tmp_path: Path) -> None:
    loaded = round_trip(replace(tiny(), model="ニューロン/модель"), tmp_path)
    assert loaded.model == "ニューロン/модель"


def test_scales_come_back_to_the_bit(tmp_path: Path) -> None:
    """Short ones stand in the header as decimal numbers, long ones as arrays."""
    rng = np.random.default_rng(0)
    values = dict(tiny().graph.values)
    for count in (1, 3, 4, 5, 100):
        scale = rng.uniform(1e-6, 1, count).astype(np.float32)
        zero_point = rng.integers(-128, 128, count).astype(np.int32)
        quantization = Quantization(scale, zero_point, -8, 7, None if count == 1 else 0)
        name = f"scaled{count}"
        values[name] = Value(name, (count,), ElementType("int", 4), quantization)
    program = replace(tiny(), graph=replace(tiny().graph, values=values))
    assert_same_graph(program.graph, round_trip(program, tmp_path).graph)


# ---------------------------------------------------------------- the same bytes


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "a.zap", tmp_path / "b.zap"
    save_program(compiled(small_cnn(1)), first)
    save_program(compiled(small_cnn(1)), second)
    assert first.read_bytes() == second.read_bytes()


def test_reading_and_writing_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "a.zap", tmp_path / "b.zap"
    save_program(small_cnn_program(), first)
    save_program(load_program(first), second)
    assert first.read_bytes() == second.read_bytes()


_COMPILE = """
import sys
from pathlib import Path
from tests.networks import compiled, small_cnn
from tests.compile.program.zap_files import save_program
save_program(compiled(small_cnn(1)), Path(sys.argv[1]))
"""


def test_another_hash_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    """Nothing depends on the order of a set."""
    digests = set()
    for seed in ("0", "12345"):
        path = tmp_path / f"{seed}.zap"
        environment = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        subprocess.run([sys.executable, "-c", _COMPILE, str(path)], check=True, env=environment)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    here = tmp_path / "here.zap"
    save_program(compiled(small_cnn(1)), here)
    digests.add(hashlib.sha256(here.read_bytes()).hexdigest())
    assert len(digests) == 1


# ---------------------------------------------------------------- the digest


def test_the_digests_are_those_of_the_bytes(tmp_path: Path) -> None:
    """The file's is its header's, which has those of the sections: the Programs'."""
    path = tmp_path / "program.zap"
    saved = save_program(tiny(), path)
    raw = path.read_bytes()
    header = file_header(raw)
    (lies,) = header["sections"]
    held = raw[lies["at"] : lies["at"] + lies["length"]]
    assert saved.digest == lies["digest"] == hashlib.sha256(held).hexdigest()
    text = raw[-len(json.dumps(header, sort_keys=True, separators=(",", ":"))) :]
    assert load_pipeline(path).digest == hashlib.sha256(text).hexdigest() == raw[16:48].hex()


@pytest.mark.parametrize(
    "changed",
    [
        {"version": "0.0.0"},
        {"model": "other"},
        {"origin": replace(ORIGIN, sha256="1" * 64)},
        {"target_toml": tiny().target_toml + "\n# changed"},
        {"options": replace(tiny().options, objective="energy")},
        {"graph": replace(tiny().graph, name="other")},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_the_digest_covers(changed: dict[str, Any]) -> None:
    assert program_digest(replace(tiny(), **changed)) != program_digest(tiny())


def test_the_digest_covers_the_weights() -> None:
    values = dict(tiny().graph.values)
    weights = values["dense0_w"]
    assert weights.data is not None
    data = np.array(weights.data)
    data[0, 0] += 1
    values["dense0_w"] = replace(weights, data=data)
    changed = replace(tiny(), graph=replace(tiny().graph, values=values))
    assert program_digest(changed) != program_digest(tiny())


# ---------------------------------------------------------------- damage


def _message(path: Path) -> str:
    with pytest.raises(ProgramError) as error:
        load_program(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    """One bit of every byte in turn, a different one from byte to byte."""
    path = tmp_path / "program.zap"
    save_program(tiny(), path)
    raw = path.read_bytes()
    assert len(raw) < 60_000
    with path.open("r+b", buffering=0) as file:
        for position, byte in enumerate(raw):
            os.pwrite(file.fileno(), bytes([byte ^ (1 << (position % 8))]), position)
            with pytest.raises(ProgramError):
                load_program(path)
            os.pwrite(file.fileno(), bytes([byte]), position)
    assert load_program(path).model == "mlp"


@pytest.mark.parametrize("kept", [1, 7, 8, 11, 12, 47, 63, 64, 100, 0.5, -64, -1])
def test_a_truncated_file(kept: float, tmp_path: Path) -> None:
    path = tmp_path / "program.zap"
    save_program(small_cnn_program(), path)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(kept * len(raw)) if kept == 0.5 else int(kept)])
    message = _message(path)
    if 1 <= kept < 12:
        assert message == f"program '{path}' must be a .zap file; make one with 'zapdeploy compile'"
    else:
        assert message == f"program '{path}' is damaged; compile the model again"


def test_bytes_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "program.zap"
    save_program(tiny(), path)
    path.write_bytes(path.read_bytes() + b"\0")
    assert _message(path) == f"program '{path}' is damaged; compile the model again"


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "program.zap"
    path.touch()
    assert _message(path) == f"program '{path}' must be readable: the file is empty"


def test_no_file(tmp_path: Path) -> None:
    path = tmp_path / "program.zap"
    assert _message(path) == f"program '{path}' must be readable: No such file or directory"


def test_a_folder(tmp_path: Path) -> None:
    assert _message(tmp_path) == f"program '{tmp_path}' must be a regular file, not a folder"


def test_another_kind_of_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(bytes(range(256)) * 4)
    assert _message(path) == (
        f"program '{path}' must be a .zap file; make one with 'zapdeploy compile'"
    )


@pytest.mark.parametrize("version", [1, 2, 3, 7])
def test_another_version(version: int, tmp_path: Path) -> None:
    path = tmp_path / "program.zap"
    save_program(tiny(), path)
    raw = bytearray(path.read_bytes())
    raw[8:12] = struct.pack("<I", version)
    path.write_bytes(raw)
    assert _message(path) == (
        f"program '{path}' must have format version 4, not {version};"
        " compile the model again with this version of zapdeploy"
    )


def _sealed(path: Path, header: bytes, arrays: bytes = b"") -> None:
    """A file with right digests over a wrong header of its section."""
    save_program(tiny(), path)
    path.write_bytes(sealed(file_header(path.read_bytes()), section(header, arrays)))


def _header(path: Path) -> dict[str, Any]:
    return section_header(path.read_bytes())


@pytest.mark.parametrize("header", [b"", b"{", b"[]", b"null", b"\xff\xff", b"1"])
def test_a_sealed_file_without_a_header(header: bytes, tmp_path: Path) -> None:
    path = tmp_path / "program.zap"
    _sealed(path, header)
    assert _message(path) == f"program '{path}' is damaged; compile the model again"


@pytest.mark.parametrize(
    "key", ["arrays", "graph", "layers", "memory", "model", "options", "target", "version"]
)
def test_a_sealed_file_without_a_part(key: str, tmp_path: Path) -> None:
    path = tmp_path / "program.zap"
    save_program(tiny(), path)
    header = _header(path)
    del header[key]
    _sealed(path, json.dumps(header).encode())
    assert _message(path).startswith(f"program '{path}' has an incomplete header: ")


@pytest.mark.parametrize("key", ["arrays", "graph", "layers", "memory", "options", "target"])
@pytest.mark.parametrize("wrong", [None, 3, "text", [1], {"a": 1}])
def test_a_sealed_file_with_a_wrong_part(key: str, wrong: object, tmp_path: Path) -> None:
    """Whatever stands there, the answer is an error of ours, in one line."""
    path = tmp_path / "program.zap"
    save_program(tiny(), path)
    _sealed(path, json.dumps({**_header(path), key: wrong}).encode())
    with pytest.raises(Exception) as error:  # noqa: PT011
        load_program(path)
    assert type(error.value).__module__ == "zapdeploy.errors"


@pytest.mark.parametrize(
    "key",
    ["sections", "inputs", "links", "micro_batch", "model", "options", "origins", "target"],
)
def test_a_sealed_file_whose_own_header_lacks_a_part(key: str, tmp_path: Path) -> None:
    path = tmp_path / "program.zap"
    save_program(tiny(), path)
    raw = path.read_bytes()
    header = file_header(raw)
    (lies,) = header["sections"]
    del header[key]
    body = raw[START : lies["at"] + lies["length"] + -lies["length"] % 64]
    path.write_bytes(signed(json.dumps(header).encode(), body))
    assert "has an incomplete header: " in _message(path)


@pytest.mark.parametrize("key", ["inputs", "links", "options", "origins", "state", "target"])
@pytest.mark.parametrize("wrong", [None, 3, "text", [1], {"a": 1}])
def test_a_sealed_file_whose_own_header_has_a_wrong_part(
    key: str, wrong: object, tmp_path: Path
) -> None:
    path = tmp_path / "program.zap"
    save_program(tiny(), path)
    raw = path.read_bytes()
    header = file_header(raw)
    (lies,) = header["sections"]
    held = raw[lies["at"] : lies["at"] + lies["length"]]
    path.write_bytes(sealed({**header, key: wrong}, held))
    with pytest.raises(Exception) as error:  # noqa: PT011
        load_program(path)
    assert type(error.value).__module__ == "zapdeploy.errors"


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    """An array of Python objects is refused, not unpickled."""
    path = tmp_path / "program.zap"
    save_program(tiny(), path)
    header = {**_header(path), "arrays": [{"dtype": "O", "shape": [1]}]}
    _sealed(path, json.dumps(header).encode(), bytes(64))
    assert _message(path) == "arrays of a program must hold numbers"


def test_a_graph_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    """A node that reads what nobody writes."""
    node = Node("n", "Relu", ("nowhere",), ("out",))
    graph = replace(tiny().graph, nodes=(*tiny().graph.nodes, node))
    path = tmp_path / "program.zap"
    save_program(replace(tiny(), graph=graph), path)
    with pytest.raises(Exception, match="value 'nowhere' must be defined before node 'n' reads it"):
        load_program(path)


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "program.zap"

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        save_program(tiny(), path)
    assert list(tmp_path.iterdir()) == []


def test_writing_over_a_file_that_is_in_use(tmp_path: Path) -> None:
    """The mapped weights of the old file stay what they were."""
    path = tmp_path / "program.zap"
    data = np.arange(100, dtype=np.int8)
    old = round_trip(with_constants((ElementType("int", 8), data)), tmp_path)
    save_program(with_constants((ElementType("int", 8), data[::-1])), path)
    kept = old.graph.values["constant0"].data
    assert kept is not None
    assert np.array_equal(kept, data)


def test_a_target_of_one_s_own_travels_with_the_program(tmp_path: Path) -> None:
    """The text of its file is in the program, and is read from there."""
    program = compiled(mlp(), target_name="tile64-sim")
    loaded = round_trip(program, tmp_path)
    assert loaded.target == program.target
    assert loaded.target != northpole()
    assert loaded.target != changed_target({}, "tile64-sim"), "its totals are there as well"
