"""Requantizing to the same scale and zero point changes nothing but the range."""

from __future__ import annotations

from dataclasses import dataclass, replace

from zapdeploy.compile.graph import Graph, Node, Value
from zapdeploy.compile.ops.base import Unit, operator
from zapdeploy.compile.passes.rewriting import (
    only_consumer,
    reading,
    same_meaning,
    sources_of,
)


@dataclass(frozen=True)
class RemoveRequantize:
    """Remove such a node when its input fits the range already, or when the operator before it
    can clamp to it. The tensor keeps the name behind the node, which is the one that is read.
    """

    def __call__(self, graph: Graph) -> Graph:
        while True:
            node = next((n for n in graph.nodes if _removable(graph, n)), None)
            if node is None:
                return graph
            graph = _removed(graph, node)


def _removable(graph: Graph, node: Node) -> bool:
    if node.op != "Requantize" or node.outputs[0] == node.inputs[0]:
        return False
    before, after = graph.values[node.inputs[0]], graph.values[node.outputs[0]]
    if not same_meaning(before, after):
        return False
    if after.name in graph.outputs and not _renamable(graph, before):
        return False
    return _fits(before, after) or _can_clamp(graph, before, after)


def _fits(before: Value, after: Value) -> bool:
    a, b = before.quantization, after.quantization
    assert a is not None
    assert b is not None
    return b.low <= a.low and a.high <= b.high


def _can_clamp(graph: Graph, before: Value, after: Value) -> bool:
    """Whether the operator before writes these codes for this reader alone, with a clamp."""
    if not _renamable(graph, before):
        return False
    if only_consumer(graph, graph.consumers(), before.name) is None:
        return False
    producer = graph.producers()[before.name]
    return operator(producer.op).unit in (Unit.MATRIX, Unit.VECTOR)


def _renamable(graph: Graph, value: Value) -> bool:
    return not (value.is_constant or value.name in graph.inputs or value.name in graph.outputs)


def _removed(graph: Graph, node: Node) -> Graph:
    before, after = graph.values[node.inputs[0]], graph.values[node.outputs[0]]
    values = dict(graph.values)
    if _renamable(graph, before):
        survivor = after if not _fits(before, after) else _tighter(before, after)
        names = {before.name: survivor.name}
        values[survivor.name] = survivor
    else:
        names = {after.name: before.name}
    nodes = []
    for other in graph.nodes:
        if other.name == node.name:
            continue
        other = reading(other, names)
        if before.name in other.outputs:
            outputs = tuple(names.get(name, name) for name in other.outputs)
            other = replace(other, outputs=outputs, sources=sources_of((other, node)))
        nodes.append(other)
    return graph.with_nodes(tuple(nodes), values)


def _tighter(before: Value, after: Value) -> Value:
    """The value behind, with the type and range that its codes really have."""
    return replace(after, element=before.element, quantization=before.quantization)
