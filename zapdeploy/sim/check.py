"""Our integers against ONNX Runtime's, layer by layer and from end to end.

Layer by layer, each node is fed with the reference's own tensors, so that one layer's step does not
become the next one's input. There, an integer kernel must be met exactly, unless it strays from
what ONNX defines by more than rounding explains: then the definition judges, which is ONNX Runtime
with optimizations off on that layer alone, and the verdict says so. Where the reference
computes in float32, its sum may round across a tie: one step on one element in 1,000. From end to
end (free-running) such steps add up: they are counted and shown, and only a reference made of
integer kernels alone must be met exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from zapdeploy.compile.graph import Array, Graph, Node, Value
from zapdeploy.compile.ops.base import Trait, has
from zapdeploy.compile.ops.codes import bytes_alike
from zapdeploy.progress import StepProgress
from zapdeploy.sim.functional import constants, run, run_node, validate
from zapdeploy.sim.qonnx_executor import KIND as QONNX
from zapdeploy.sim.reference import FLOAT, INTEGER, Reference, reference
from zapdeploy.sim.ties import at_ties

Level = Literal["outputs", "layers"]

# Kernels of ONNX Runtime that compute what this package defines, to the bit: found by experiment,
# under ONNX Runtime's names, which are not those of operators.
EXACT_KERNELS = frozenset(
    (
        "QLinearConv",
        "QLinearMatMul",
        "QGemm",
        "ConvInteger",
        "MatMulInteger",
        "QLinearAdd",
        "QLinearMul",
        "QLinearGlobalAveragePool",
        "MaxPool",
        "NhwcMaxPool",
        "QuantizeLinear",
        "DequantizeLinear",
        "DequantizeLinear, QuantizeLinear",
        "MaxPool, QuantizeLinear",
        "QLinearConcat",
        "Concat",
        "Slice",
        "Split",
        "Flatten",
        "Reshape",
        "Transpose",
        "Gather",
        "GatherElements",
        "Tile",
        "Expand",
        "DepthToSpace",
        "SpaceToDepth",
    )
)
# Kernels that approximate: QLinearSoftmax divides integers with a whole 1/scale;
# DynamicQuantizeLSTM quantizes a float32 state at every step, so that a last bit which makes
# another code of it is handed on to all steps that follow.
APPROXIMATE_KERNELS = frozenset(("QLinearSoftmax", "DynamicQuantizeLSTM"))
# Functions between -1 and 1 that ONNX Runtime computes by quotients of polynomials: right to so
# much of 1, however small the result is.
BY_POLYNOMIALS = frozenset(("Sigmoid", "Tanh", "Erf"))
OF_ONE = 2.0**-22
TIES = 1000  # one element in so many may round across a tie
SEEN = 0.01  # of a step: floating-point numbers closer than this count as equal


@dataclass(frozen=True)
class Comparison:
    """One tensor, ours against the reference's, counted in steps of its quantizer (LSB)."""

    name: str
    op: str
    kernel: str
    elements: int
    equal: int
    max_lsb: float
    strays: str = ""  # how the kernel misses ONNX's definition, which then judged in its place
    ties: int = (
        0  # of those that differ: exactly between two codes, where float32 rounds either way
    )

    @property
    def different(self) -> int:
        return self.elements - self.equal

    def as_json(self) -> dict[str, Any]:
        found = {"name": self.name, "elements": self.elements, "equal": self.equal}
        found |= {"strays": self.strays} if self.strays else {}
        found |= {"ties": self.ties} if self.ties else {}
        return found | {"max_lsb": self.max_lsb, "op": self.op, "kernel": self.kernel}


@dataclass(frozen=True)
class CheckResult:
    """`outputs` and `free_running` are end to end; `nodes` are layer by layer.

    `failures` has one line for each comparison that breaks the rule; none means passed. `notes`:
    which reference judged where it was not the usual one, and why.
    """

    reference: str
    outputs: tuple[Comparison, ...]
    free_running: tuple[Comparison, ...]
    nodes: tuple[Comparison, ...]
    failures: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.failures

    def as_json(self) -> dict[str, Any]:
        """The keys of the command line's `check`, and what else there is to say."""
        return {
            "elements": sum(c.elements for c in self.outputs),
            "equal": sum(c.equal for c in self.outputs),
            "max_lsb": max((c.max_lsb for c in self.outputs), default=0),
            "reference": self.reference,
            "passed": self.passed,
            "failures": list(self.failures),
            "notes": list(self.notes),
            "nodes": [c.as_json() for c in self.nodes],
            "free_running": [c.as_json() for c in self.free_running],
        }


def check(
    graph: Graph,
    model_path: Path,
    inputs: Mapping[str, Array],
    *,
    level: Level = "layers",
    progress: StepProgress | None = None,
) -> CheckResult:
    """Compare the graph with ONNX Runtime on the file that it was made from.

    `level` "outputs" compares the network's outputs, "layers" also every tensor, free-running and
    fed with the reference's own. Raises DataError for unfit inputs, ModelError for an unfit file.
    """
    validate(graph, inputs)
    inputs = {name: np.asarray(array) for name, array in inputs.items()}
    judge = reference(graph, Path(model_path), inputs)
    common = [name for node in graph.nodes for name in node.outputs if name in judge.values]
    keep = common if level == "layers" else ()
    ours = run(graph, inputs, keep=keep, progress=progress)
    compared = {name: _compare(graph, judge, name, ours[name]) for name in common if name in ours}
    outputs = tuple(compared[name] for name in graph.outputs if name in compared)
    nodes = _layers(graph, judge, inputs) if level == "layers" else ()
    strayed = any(comparison.strays for comparison in nodes)
    failures = [*map(_end_failure, outputs)] if _is_exact(judge) and not strayed else []
    failures += [_layer_failure(graph, c, judge.kind) for c in nodes]
    free_running = tuple(compared.values()) if level == "layers" else ()
    notes = [judge.note, *(note(found) for found in nodes for note in (_stray_note, _tie_note))]
    return CheckResult(
        judge.kind,
        outputs,
        free_running,
        nodes,
        tuple(filter(None, failures)),
        tuple(filter(None, notes)),
    )


def reference_inputs(graph: Graph, seed: int = 0) -> dict[str, Array]:
    """Random inputs for a network of which nothing else is known, the same for the same seed.

    Where an input goes into a quantizer, its numbers are normal around the middle of the
    quantizer's range with a sixth of it as standard deviation, so that they use the codes without
    saturating. Other floating-point inputs are standard normal.
    """
    random = np.random.default_rng(seed)
    return {name: _random(graph, graph.values[name], random) for name in graph.inputs}


def _random(graph: Graph, value: Value, random: np.random.Generator) -> Array:
    quantized = value if value.quantization is not None else _quantizer_of(graph, value)
    if quantized is None or (value.quantization is None and value.element.kind != "float"):
        if value.element.kind == "float":
            return random.standard_normal(value.shape, np.float32)
        return _random_integers(graph, value, random)
    q = quantized.quantization
    assert q is not None
    low, high = float(q.low), float(q.high)
    codes = random.normal((low + high) / 2, (high - low) / 6, value.shape)
    if value.quantization is not None:
        return np.rint(np.clip(codes, low, high)).astype(value.element.numpy)
    zero_point, scale = (q.along(which, codes.ndim) for which in (q.zero_point, q.scale))
    return np.asarray((codes - zero_point) * scale, np.float32)


def _random_integers(graph: Graph, value: Value, random: np.random.Generator) -> Array:
    """Over the whole valid range: places of what is gathered from, else small numbers."""
    for node in graph.nodes:
        if node.op.startswith("Gather") and value.name in node.inputs[1:]:
            axis = dict(node.attributes).get("axis", 0)
            size = graph.values[node.inputs[0]].shape[axis if isinstance(axis, int) else 0]
            return random.integers(-size, size, value.shape).astype(value.element.numpy)
    if value.element.kind == "bool":
        return random.integers(0, 2, value.shape).astype(value.element.numpy)
    low, high = value.element.limits
    return random.integers(max(low, 0), min(high, 127) + 1, value.shape).astype(value.element.numpy)


def _quantizer_of(graph: Graph, value: Value) -> Value | None:
    """The quantized value that the first reader makes of a floating-point value."""
    for node in graph.nodes:
        if value.name in node.inputs:
            made = graph.values[node.outputs[0]]
            return made if made.quantization is not None else None
    return None


def _layers(graph: Graph, judge: Reference, inputs: Mapping[str, Array]) -> tuple[Comparison, ...]:
    """Each node fed with the reference's tensors, and with our own where it has none."""
    values = constants(graph) | dict(inputs)
    found = []
    for node in graph.nodes:
        for name, array in run_node(graph, node, values).items():
            if name in judge.values:
                compared = _judged(graph, judge, name, array, node)
                if compared.different and compared.kernel not in EXACT_KERNELS:
                    theirs, first = judge.values[name], judge.kind == QONNX
                    ties = at_ties(graph, node, values, array, theirs, zero_point_first=first)
                    compared = replace(compared, ties=ties)
                found.append(compared)
            values[name] = _as_read(judge.values.get(name, array), array)
    return tuple(found)


def _as_read(theirs: Array, ours: Array) -> Array:
    """The reference's tensor in the type in which the graph has it: codes of one sign may lie in
    the type of the other."""
    if theirs.dtype == ours.dtype or ours.dtype.kind not in "iu" or theirs.dtype.kind not in "iu":
        return theirs
    held = np.iinfo(ours.dtype)
    return theirs.clip(max(held.min, np.iinfo(theirs.dtype).min), held.max).astype(ours.dtype)


def _judged(graph: Graph, judge: Reference, name: str, ours: Array, node: Node) -> Comparison:
    """By the reference's kernel, or by ONNX's definition where that kernel strays from it: by more
    than rounding explains, or in just what ours, which meets the definition, differs in."""
    found = _compare(graph, judge, name, ours, node)
    if judge.kind != INTEGER or not _layer_failure(graph, found, judge.kind):
        return found
    defined = judge.definition(name)
    if defined is None or defined.shape != ours.shape or defined.dtype != ours.dtype:
        return found
    steps = _steps(graph, node, judge.values[name], defined)
    different, worst = int(np.count_nonzero(steps > SEEN)), float(steps.max(initial=0))
    rounded = worst <= 1 and different <= -(-defined.size // TIES)
    if rounded and not np.array_equal(ours, defined):
        return found
    strays = f"in {different:,} of {defined.size:,} elements by up to {worst:.3g} steps"
    by_definition = replace(judge, values={name: defined})
    return replace(_compare(graph, by_definition, name, ours, node), strays=strays)


def _stray_note(found: Comparison) -> str:
    if not found.strays:
        return ""
    return (
        f"'{found.name}' is judged by ONNX's definition (optimizations off): ONNX Runtime's "
        f"{found.kernel} strays from it {found.strays}"
    )


def _tie_note(found: Comparison) -> str:
    if not found.ties:
        return ""
    return (
        f"{found.ties:,} of {found.elements:,} elements of '{found.name}' lie exactly between two "
        "codes, where the reference rounds the other way (float32 sums; in QONNX odd zero points)"
    )


def _compare(
    graph: Graph, judge: Reference, name: str, ours: Array, node: Node | None = None
) -> Comparison:
    node = node or graph.producers()[name]
    theirs = judge.values[name]
    steps = _steps(graph, node, ours, theirs)
    equal = theirs.size - int(np.count_nonzero(steps > SEEN))
    worst = round(float(steps.max(initial=0)), 3)
    return Comparison(name, node.op, judge.kernels[name], theirs.size, equal, worst)


def _steps(graph: Graph, node: Node, ours: Array, theirs: Array) -> Array:
    """|ours - theirs| where they differ, in steps: of codes 1, of real numbers `_step`."""
    where = ours != theirs
    if theirs.dtype.kind != "f":
        return np.abs(ours[where].astype(np.int64) - theirs[where])
    with np.errstate(over="ignore"):  # what float16 cannot hold is infinite there
        if np.array_equal(theirs, theirs.astype(np.float16)):  # computed, or handed out, as float16
            where = ours.astype(np.float16) != theirs
    where &= ~(np.isnan(ours) & np.isnan(theirs))
    if node.op in BY_POLYNOMIALS:
        where &= ~(np.abs(ours.astype(np.float64) - theirs) <= OF_ONE)
    difference = np.abs(ours[where].astype(np.float64) - theirs[where])
    step = np.broadcast_to(_step(graph, node, theirs), theirs.shape)[where]
    return np.nan_to_num(difference / step, nan=np.inf)


def _step(graph: Graph, node: Node, theirs: Array) -> Array | float:
    """The final quantizer's scale; without one, a 127th of the largest absolute value."""
    source = graph.values[node.inputs[0]] if node.inputs[0] else None
    if node.op == "Dequantize" and source is not None and source.quantization is not None:
        quantization = source.quantization
        return quantization.along(quantization.scale, theirs.ndim).astype(np.float64)
    largest = np.abs(theirs).max(initial=0, where=np.isfinite(theirs))
    return max(float(largest) / 127, float(np.finfo(np.float32).tiny))


def _is_exact(judge: Reference) -> bool:
    """Whether the reference is made of kernels that must be met exactly."""
    return judge.kind == INTEGER and set(judge.kernels.values()) <= EXACT_KERNELS


def _end_failure(found: Comparison) -> str:
    if not found.different:
        return ""
    return f"output '{found.name}' must equal the reference, not {_deviation(found)}"


def _layer_failure(graph: Graph, found: Comparison, kind: str) -> str:
    allowed, steps = _allowed(graph, found, FLOAT if found.strays else kind)
    if found.different - found.ties <= allowed and found.max_lsb <= steps:
        return ""
    rule = f"differ in at most {allowed:,} elements by one step from" if allowed else "equal"
    return (
        f"'{found.name}' must {rule} the reference's {found.kernel}, not {_deviation(found)} "
        f"(operator {found.op})"
    )


def _deviation(found: Comparison) -> str:
    return (
        f"differ in {found.different:,} of {found.elements:,} elements "
        f"by up to {found.max_lsb:g} steps"
    )


def _allowed(graph: Graph, found: Comparison, kind: str) -> tuple[int, float]:
    """How many elements may differ, and by how many steps."""
    if kind == INTEGER and found.kernel in EXACT_KERNELS:
        return 0, SEEN
    if found.kernel in APPROXIMATE_KERNELS or (kind != INTEGER and _has_own_ties(graph, found)):
        return found.elements, 1
    return -(-found.elements // TIES), 1


def _has_own_ties(graph: Graph, found: Comparison) -> bool:
    """Whether the operator follows an integer kernel that adds the zero point before it rounds."""
    node = graph.producers()[found.name]
    return has(node.op, Trait.ZERO_POINT_FIRST) and bytes_alike(graph.call(node))
