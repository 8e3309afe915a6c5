"""A reshape of a reshape is one reshape."""

from __future__ import annotations

from dataclasses import dataclass, replace

from zapdeploy.compile.graph import Graph, Node, Value
from zapdeploy.compile.passes.rewriting import producer_of, sources_of


@dataclass(frozen=True)
class MergeViews:
    """Reshape(Reshape(x)) = Reshape(x), where the first one leaves the numbers' form as it is.

    Whoever reads through two views knows less of what it needs: a box of the last shape may be no
    box of the one in between.
    """

    def __call__(self, graph: Graph) -> Graph:
        views = producer_of(graph, "Reshape")
        nodes = []
        for node in graph.nodes:
            if node.op == "Reshape":
                node = _from_the_start(graph, views, node)
                views[node.outputs[0]] = node
            nodes.append(node)
        return graph.with_nodes(tuple(nodes), graph.values)


def _from_the_start(graph: Graph, views: dict[str, Node], node: Node) -> Node:
    before = views.get(node.inputs[0])
    if before is None:
        return node
    source, between = graph.values[before.inputs[0]], graph.values[node.inputs[0]]
    if not _alike(source, between):
        return node
    return replace(node, inputs=before.inputs, sources=sources_of((node, before)))


def _alike(source: Value, between: Value) -> bool:
    """Whether both hold the same numbers or codes, and no scales along an axis."""
    if source.element != between.element:
        return False
    a, b = source.quantization, between.quantization
    if a is None or b is None:
        return a is b
    return a.axis is None and a.same(b) and (a.low, a.high) == (b.low, b.high)
