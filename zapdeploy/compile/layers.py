"""Group the nodes of a graph into the layers that the chip runs one after another.

A layer is one anchor (a matrix product, a pooling, a data movement ...) and the elementwise nodes
that follow it in the vector and activation units without leaving the core. Views (Reshape) are no
layer: whoever reads them reads through them. The quantizer of a network input and the dequantizer
of a network output run on the host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zapdeploy.compile.graph import Call, Graph, Node, Value
from zapdeploy.compile.ops.base import Operator, Unit, operator


@dataclass(frozen=True, eq=False)
class Read:
    """One tensor that a layer fetches.

    `call` is the node that reads it, at `input`; `views` are the views in between, the nearest to
    the reader first; `source` is the stored tensor (a layer's output, or a network input).
    """

    call: Call
    input: int
    views: tuple[Call, ...]
    source: Value


@dataclass(frozen=True, eq=False)
class Layer:
    """Nodes that run together. `calls[0]` is the anchor; `output` is what the layer stores."""

    name: str
    calls: tuple[Call, ...]
    reads: tuple[Read, ...]
    parameters: tuple[Value, ...]
    output: Value

    @property
    def anchor(self) -> Call:
        return self.calls[0]

    @property
    def operator(self) -> Operator:
        return operator(self.anchor.node.op)

    @property
    def op(self) -> str:
        return "+".join(call.node.op for call in self.calls)


def host_nodes(graph: Graph) -> frozenset[str]:
    """Names of the nodes that convert network inputs and outputs on the host."""
    consumers = graph.consumers()
    found = set()
    for node in graph.nodes:
        reads_input = node.op == "Quantize" and node.inputs[0] in graph.inputs
        ends = all(name in graph.outputs and not consumers[name] for name in node.outputs)
        if reads_input or (node.op == "Dequantize" and ends):
            found.add(node.name)
    return frozenset(found)


def group_layers(graph: Graph) -> tuple[Layer, ...]:
    """The layers of a graph, in an order in which they can run."""
    producers = graph.producers()
    return tuple(_layer(graph, group, producers) for group in _group(graph))


def network_inputs(graph: Graph) -> tuple[Value, ...]:
    """The tensors that the host writes into the framebuffer (after its own quantizers).

    State is none of them: it stays in the cores.
    """
    state, hosted = {before for before, _ in graph.state}, host_nodes(graph)
    return tuple(
        value
        for name in graph.inputs
        if name not in state
        for value in _received(graph, name, hosted)
    )


def received(graph: Graph, name: str) -> tuple[Value, ...]:
    """The tensors that the chip is given for a graph input: what the host's quantizers make of it,
    and the input itself where some layer reads it so."""
    return _received(graph, name, host_nodes(graph))


def _received(graph: Graph, name: str, hosted: frozenset[str]) -> tuple[Value, ...]:
    readers = [node for node in graph.nodes if name in node.inputs]
    made = [n.outputs[0] for n in readers if n.name in hosted and n.op == "Quantize"]
    raw = [name] if any(node.name not in hosted for node in readers) else []
    if not readers and name in graph.outputs:
        raw = [name]
    return tuple(graph.values[n] for n in (*made, *raw))


def network_outputs(graph: Graph) -> tuple[Value, ...]:
    """The tensors that the host reads from the framebuffer (before its own dequantizers).

    What is constant it has already.
    """
    state = {after for _, after in graph.state}
    sent = [chip_output(graph, name) for name in graph.outputs if name not in state]
    return tuple({value.name: value for value in sent if not value.is_constant}.values())


def chip_output(graph: Graph, name: str) -> Value:
    """The tensor that the chip leaves for a graph output, before the host's own dequantizer."""
    node = graph.producers().get(name)
    hosted = node is not None and node.op == "Dequantize" and node.name in host_nodes(graph)
    return graph.values[node.inputs[0] if node is not None and hosted else name]


def stored(graph: Graph, value: Value) -> Value:
    """The tensor that a value is a view of; the value itself when it is none."""
    producers = graph.producers()
    while value.name in producers and _is_view(producers[value.name].op):
        value = graph.call(producers[value.name]).input(0)
    return value


def _group(graph: Graph) -> list[list[Call]]:
    """Lists of calls, each with its anchor first, ordered by their last node."""
    hosted = host_nodes(graph)
    consumers = graph.consumers()
    tail: dict[str, list[Call]] = {}  # output of a group -> the group
    order: dict[int, int] = {}  # id of a group -> position of its last node
    for position, call in enumerate(graph.calls()):
        if call.node.name in hosted or operator(call.node.op).unit is Unit.VIEW:
            continue
        kept = graph.exchanged.union(graph.outputs)
        group = _group_to_extend(call, tail, order, consumers, kept)
        if group is None:
            group = []
        else:
            del tail[group[-1].output.name]
        group.append(call)
        tail[call.output.name] = group
        order[id(group)] = position
    return sorted(tail.values(), key=lambda group: order[id(group)])


def _group_to_extend(
    call: Call,
    tail: dict[str, list[Call]],
    order: dict[int, int],
    consumers: Mapping[str, list[Node]],
    kept: frozenset[str],
) -> list[Call] | None:
    """The group whose output this elementwise node can take over in the same core, if any.

    Of several (a residual add has two), the one that runs last: the others are stored by then.
    """
    op = operator(call.node.op)
    if op.unit is not Unit.VECTOR or type(op).input_regions is not Operator.input_regions:
        return None
    found = [
        tail[value.name]
        for value in call.inputs
        if value is not None
        and value.name in tail
        and value.shape == call.output.shape
        and len(consumers[value.name]) == 1
        and value.name not in kept
        and operator(tail[value.name][0].node.op).unit is not Unit.MOVE
    ]
    return max(found, key=lambda group: order[id(group)], default=None)


def _layer(graph: Graph, calls: list[Call], producers: Mapping[str, Node]) -> Layer:
    inside = {call.output.name for call in calls}
    reads, parameters = [], []
    for call in calls:
        for index, value in enumerate(call.inputs):
            if value is None or value.name in inside:
                continue
            if value.is_constant:
                parameters.append(value)
                continue
            views = []
            while value.name in producers and _is_view(producers[value.name].op):
                views.append(graph.call(producers[value.name]))
                value = views[-1].input(0)
            reads.append(Read(call, index, tuple(views), value))
    return Layer(
        calls[0].node.name, tuple(calls), tuple(reads), tuple(parameters), calls[-1].output
    )


def _is_view(op: str) -> bool:
    return operator(op).unit is Unit.VIEW
