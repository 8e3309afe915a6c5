"""Requantizing to the same scale and zero point changes nothing but the range."""

from __future__ import annotations

from dataclasses import dataclass, replace

from zapdeploy.compile.graph import Graph, Node, Value
from zapdeploy.compile.ops.base import Unit, operator
from zapdeploy.compile.passes.rewriting import (
    only_consumer,
    reading,
    same_quantization,
    sources_of,
)


@dataclass(frozen=True)
class RemoveRequantize:
    """Remove such a node when its input fits the range already, or when the operator before it
    can clamp to it. The tensor keeps the name behind the node, which is the one that is read.
    """

    def __call__(self, graph: Graph) -> Graph:
        while True:
            removed = _sweep(graph)
            if removed is graph:
                return graph
            graph = removed


def _sweep(graph: Graph) -> Graph:
    """Remove as many as there are, one for each tensor; the same graph when there is none."""
    around = _Neighbours(graph, graph.consumers(), graph.producers())
    values = dict(graph.values)
    names: dict[str, str] = {}  # value -> the name that takes its place
    writers: dict[str, Node] = {}  # name of the operator before -> the node that goes
    touched: set[str] = set()
    gone: set[str] = set()
    for node in graph.nodes:
        ends = {*node.inputs, *node.outputs}
        if not around.removable(node) or ends & touched:
            continue
        touched |= ends
        gone.add(node.name)
        before, after = graph.values[node.inputs[0]], graph.values[node.outputs[0]]
        if around.renamable(before):
            names[before.name] = after.name
            written = _tighter if _fits(before, after) else _both
            values[after.name] = written(before, after)
            writers[around.producers[before.name].name] = node
        else:
            names[after.name] = before.name
    if not gone:
        return graph
    nodes = tuple(
        _renamed(node, names, writers.get(node.name))
        for node in graph.nodes
        if node.name not in gone
    )
    return graph.with_nodes(nodes, values)


@dataclass(frozen=True, eq=False)
class _Neighbours:
    graph: Graph
    consumers: dict[str, list[Node]]
    producers: dict[str, Node]

    def removable(self, node: Node) -> bool:
        if node.op != "Requantize":
            return False
        before, after = (self.graph.values[name] for name in (node.inputs[0], node.outputs[0]))
        if not same_quantization(before, after):
            return False
        if after.name in self.graph.outputs and not self.renamable(before):
            return False
        return _fits(before, after) or self._can_clamp(before)

    def renamable(self, value: Value) -> bool:
        ends = (*self.graph.inputs, *self.graph.outputs)
        return not (value.is_constant or value.name in ends)

    def _can_clamp(self, before: Value) -> bool:
        """Whether the operator before writes these codes for this reader alone, with a clamp."""
        if not self.renamable(before):
            return False
        if only_consumer(self.graph, self.consumers, before.name) is None:
            return False
        return operator(self.producers[before.name].op).unit in (Unit.MATRIX, Unit.VECTOR)


def _fits(before: Value, after: Value) -> bool:
    a, b = before.quantization, after.quantization
    assert a is not None
    assert b is not None
    return b.low <= a.low and a.high <= b.high


def _tighter(before: Value, after: Value) -> Value:
    """The value behind, with the type and range that its codes really have."""
    return replace(after, element=before.element, quantization=before.quantization)


def _both(before: Value, after: Value) -> Value:
    """The value behind, clamped by one operator to the range before and then to its own."""
    a, b = before.quantization, after.quantization
    assert a is not None
    assert b is not None
    return replace(after, quantization=a.within(b.low, b.high))


def _renamed(node: Node, names: dict[str, str], gone: Node | None) -> Node:
    node = reading(node, names)
    if gone is None:
        return node
    outputs = tuple(names.get(name, name) for name in node.outputs)
    return replace(node, outputs=outputs, sources=sources_of((node, gone)))
