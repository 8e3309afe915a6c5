"""From an ONNX file to the integer graph: load, translate node by node, run the passes, judge."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx_ir as ir

import zapdeploy.compile.ops  # noqa: F401  (registers the operators)
from zapdeploy.compile.frontend import (  # noqa: F401  (importing a dialect registers it)
    choosing,
    comparison,
    elementwise,
    group_normalization,
    indexing,
    matrix,
    movement,
    operator_form,
    pooling,
    qdq,
    qonnx,
    resize,
    same_name,
    transposed,
)
from zapdeploy.compile.frontend.dialects import dialects_of
from zapdeploy.compile.frontend.errors import RefusedError, UnjudgedError
from zapdeploy.compile.frontend.folding import fold
from zapdeploy.compile.frontend.graph_builder import GraphBuilder
from zapdeploy.compile.frontend.inputs import network_inputs
from zapdeploy.compile.frontend.integer_kernels import mark_reals
from zapdeploy.compile.frontend.loading import Source, load
from zapdeploy.compile.frontend.onnx_node import OnnxNode, check_inputs, onnx_node
from zapdeploy.compile.frontend.registry import translator
from zapdeploy.compile.frontend.support_report import Decision, Outcome, UnsupportedModel, decide
from zapdeploy.compile.frontend.tensors import element_type
from zapdeploy.compile.graph import FLOAT32, Call, Graph, Value
from zapdeploy.compile.ops.base import Unit, operator
from zapdeploy.compile.ops.matrix import MatrixOperator
from zapdeploy.compile.passes import IMPORT_PASSES, Observer, run_passes
from zapdeploy.compile.passes.check_accumulators import CheckAccumulators
from zapdeploy.compile.passes.check_scales import CheckScales
from zapdeploy.compile.passes.real_products import with_real_products
from zapdeploy.compile.passes.rewriting import producer_of
from zapdeploy.compile.state import with_state
from zapdeploy.errors import ModelError
from zapdeploy.simplify import InputShapes
from zapdeploy.simplify.onnx_operators import CONTROL_FLOW

LISTED_REFUSALS = 8
STATE_KEY = "zapdeploy.state"  # among the file's metadata: JSON, input name to output name
OWN_NOTES = "zapdeploy."  # what the keys of metadata that is for us begin with


@dataclass(frozen=True)
class Origin:
    """Where a graph comes from. `dialects` says in words how the file writes quantization; `notes`
    is what its metadata holds for zapdeploy.
    """

    file: str
    sha256: str
    opset: int
    dialects: tuple[str, ...]
    producer: str
    notes: dict[str, str]


@dataclass(frozen=True, eq=False)
class Imported:
    """A network ready to be mapped, where it comes from, and what became of each of its nodes.

    `notes` say in words what was changed that a person may want to know.
    """

    graph: Graph
    origin: Origin
    decisions: tuple[Decision, ...]
    notes: tuple[str, ...] = ()


@dataclass
class _Translation:
    """What the walk over the file's nodes leaves behind."""

    builder: GraphBuilder
    nodes: list[OnnxNode] = field(default_factory=list)
    refused: dict[str, Decision] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)  # results of refused nodes

    def refuse(self, node: OnnxNode, outcome: Outcome, reason: str) -> None:
        self.refused[node.name] = Decision(node.name, node.operator, outcome, reason=reason)


def import_model(
    path: Path | str,
    *,
    batch: int | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    state: Mapping[str, str] | None = None,
    observe: Observer | None = None,
) -> Imported:
    """Read an ONNX file of any supported dialect.

    `batch` becomes the first dimension of every input (1 where the file leaves it open); `shapes`
    gives inputs with other open dimensions their whole shape by name. `state` names inputs and the
    outputs that they are in the next frame, beside those that the file's metadata names. `observe`
    is called with the graph before the passes and after each. Raises ModelError when the file is
    damaged or contradicts itself, and its subclass UnsupportedModel, naming every node in question,
    when the chip cannot run it.
    """
    path = Path(path)
    source = load(path, InputShapes(batch, shapes or {}))
    inputs = network_inputs(source.model.graph)
    builder = GraphBuilder(
        source.model.graph.name or path.stem,
        {str(name): value for name, value in source.model.graph.initializers.items()},
        source.batch,
    )
    for value in inputs:
        builder.define(value)
    translation = _translate(source, builder)
    graph = _finish(source, translation, tuple(value.name for value in inputs))
    graph = run_passes(mark_reals(graph, translation.nodes), IMPORT_PASSES, observe)
    if dialects_of(translation.nodes):
        graph = with_real_products(graph)
    dialects = dialects_of(translation.nodes)
    _judge_products(graph, translation)
    decisions = decide(translation.nodes, graph, translation.refused)
    if translation.refused:
        message = _refusal(translation.refused, path, quantized=bool(dialects))
        needs_quantizing = not dialects or not _others(translation.refused)
        raise UnsupportedModel(message, decisions, needs_quantizing=needs_quantizing)
    graph = CheckScales()(CheckAccumulators()(graph))
    graph = with_state(graph, {**_declared_state(source), **(state or {})})
    entries = source.model.metadata_props.items()
    notes = {str(key): str(text) for key, text in entries if str(key).startswith(OWN_NOTES)}
    origin = Origin(path.name, source.sha256, source.opset, dialects, source.producer, notes)
    return Imported(graph, origin, decisions, source.notes)


def _declared_state(source: Source) -> dict[str, str]:
    """State that the file itself declares."""
    text = source.model.metadata_props.get(STATE_KEY, "{}")
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise ModelError(
            f"metadata '{STATE_KEY}' must be a JSON object of input and output names, not {text!r}"
        )
    return found


def _translate(source: Source, builder: GraphBuilder) -> _Translation:
    result = _Translation(builder)
    originals = list(source.model.graph)
    builder.taken.update(str(v.name) for node in originals for v in node.outputs if v.name)
    builder.taken.update(builder.initializers)
    used: set[str] = set()
    wanted = _wanted(source.model.graph, originals)
    for index, original in enumerate(originals):
        name = original.name or f"{original.op_type}_{index}"
        name = f"{name}_{index}" if name in used else name
        used.add(name)
        node = onnx_node(original, name, source.opset)
        result.nodes.append(node)
        if id(original) in wanted:
            _translate_node(result, node, original)
    return result


def _wanted(graph: ir.Graph, nodes: list[ir.Node]) -> set[int]:
    """Identities of the nodes that some output depends on; a branch that leads nowhere is left."""
    needed = {id(value) for value in graph.outputs}
    found = set()
    for node in reversed(nodes):
        if needed.intersection(map(id, node.outputs)):
            found.add(id(node))
            needed.update(id(value) for value in node.inputs if value is not None)
            needed.update(_read_inside(node))
    return found


def _read_inside(node: ir.Node) -> Iterator[int]:
    """What the graphs inside a node read."""
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            for inner in attribute.value.all_nodes():
                yield from (id(value) for value in inner.inputs if value is not None)


# What translators run into where a damaged file contradicts its operators' definitions.
_UNFIT = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError),
    *(TypeError, ValueError, MemoryError, RecursionError),
)


def _translate_node(result: _Translation, node: OnnxNode, original: ir.Node) -> None:
    """Fold, translate or refuse one node; a refused one leaves results of unknown value."""
    check_inputs(node)
    try:
        if fold(result.builder, node, original):
            return
        function = translator(node)
        if function is None:
            raise RefusedError(_unknown_reason(node))
        function(result.builder, node)
    except UnjudgedError as reason:
        result.refuse(node, Outcome.UNJUDGED, str(reason))
    except RefusedError as reason:
        result.refuse(node, Outcome.REFUSED, str(reason))
        for value in original.outputs:
            _declare_unknown(result, value)
    except _UNFIT as error:
        text = str(error).partition("\n")[0] or type(error).__name__
        raise ModelError(
            f"node '{node.name}' ({node.op}) must have inputs and attributes that ONNX allows, and "
            f"has others: {text}; export the model again"
        ) from error


def _unknown_reason(node: OnnxNode) -> str:
    if node.op in CONTROL_FLOW:
        return (
            "what decides must be known when the network is read; give zapdeploy quantize "
            "--constant for the input that it depends on, or export the model without it"
        )
    return f"operator {node.operator} is not supported"


def _declare_unknown(result: _Translation, value: ir.Value) -> None:
    """Go on behind a refused node where the file says what its result looks like."""
    name, builder = str(value.name or ""), result.builder
    if not name or name in builder.values or value.shape is None or value.dtype is None:
        return
    dimensions = list(value.shape)
    if builder.batch is not None and dimensions and dimensions[0] == builder.batch.before:
        dimensions[0] = builder.batch.after
    if not all(isinstance(d, int) and d > 0 for d in dimensions):
        return
    shape = tuple(int(d) for d in dimensions if isinstance(d, int))
    try:
        element = element_type(value.dtype, f"tensor '{name}'")
    except ModelError:
        return
    builder.define(Value(name, shape, element))
    result.unknown.append(name)


def _finish(source: Source, result: _Translation, inputs: tuple[str, ...]) -> Graph:
    """The graph as translated.

    Where nodes were refused, what can be judged of it: their results count as inputs, and every
    loose end as an output.
    """
    outputs = tuple(str(value.name) for value in source.model.graph.outputs)
    builder = result.builder
    if result.refused:
        read = {name for node in builder.nodes for name in node.inputs}
        ends = tuple(name for name in builder.producers if name not in read)
        return builder.graph((*inputs, *result.unknown), ends)
    for value in source.model.graph.outputs:
        _check_declared(value, builder)
    return builder.graph(inputs, outputs)


def _check_declared(value: ir.Value, builder: GraphBuilder) -> None:
    """What the file says about an output's shape must agree with what its nodes compute."""
    shape = builder.value(str(value.name)).shape
    if value.shape is None or builder.batch is not None:
        return
    declared = [d if isinstance(d, int) and d > 0 else None for d in value.shape]
    if None not in declared and declared != list(shape):
        raise ModelError(
            f"output '{value.name}' must have shape {declared} as the file declares, "
            f"not {list(shape)}; export the model again"
        )


def _judge_products(graph: Graph, result: _Translation) -> None:
    """Refuse matrix products that did not become integer products."""
    by_name = {node.name: node for node in result.nodes}
    dequantized = producer_of(graph, "Dequantize")
    for call in graph.calls():
        if operator(call.node.op).unit is Unit.MATRIX:
            reason = _product_reason(call, dequantized.keys())
            if reason:
                result.refuse(by_name[call.node.sources[0]], Outcome.REFUSED, reason)


def _product_reason(call: Call, dequantized: Collection[str]) -> str:
    """Why the matrix unit cannot do this product, empty when it can."""
    x, w, bias = call.input(0), call.input(1), call.optional(2)
    reals = [value.name for value in (x, w) if value.element == FLOAT32]
    if reals:
        names = [name for name in reals if name not in dequantized] or reals
        listed = " and ".join(f"'{name}'" for name in names)
        return f"{_IN_FLOAT}, not float32 ({listed})"
    product = operator(call.node.op)
    assert isinstance(product, MatrixOperator)
    for index, value in enumerate((x, w)):
        fault = product.scale_fault(call, index)
        if fault:
            return f"{_SCALED}'{value.name}' {fault}"
    if bias is not None and bias.data is None:
        return f"bias '{bias.name}' must be constant"
    return ""


_IN_FLOAT = "operands must be quantized"
_SCALED = "operand "


def _refusal(refused: dict[str, Decision], path: Path, *, quantized: bool) -> str:
    """Every node that the chip cannot run; products in float are a matter for `quantize`."""
    rows = [d for d in refused.values() if d.outcome is Outcome.REFUSED]
    others = _others(refused)
    if not quantized and not others:
        return f"model must be quantized, not float32 throughout ('{path.name}'); {_quantize(path)}"
    rows = rows if quantized else others
    listed = "; ".join(f"node '{d.node}' ({d.op}): {d.reason}" for d in rows[:LISTED_REFUSALS])
    more = f"; and {len(rows) - LISTED_REFUSALS} more" if len(rows) > LISTED_REFUSALS else ""
    count = "1 node" if len(rows) == 1 else f"{len(rows)} nodes"
    advice = f"; {_quantize(path)}" if quantized and not others else ""
    return (
        f"every node must be one that the chip can run, and {count} cannot: {listed}{more}{advice}"
    )


def _others(refused: dict[str, Decision]) -> list[Decision]:
    """What quantizing would not cure."""
    rows = (d for d in refused.values() if d.outcome is Outcome.REFUSED)
    return [d for d in rows if not d.reason.startswith((_IN_FLOAT, _SCALED))]


def _quantize(path: Path) -> str:
    return (
        f"run: zapdeploy quantize {path.name} --weights 8 --activations 8 -o {path.stem}-int8.onnx"
    )
