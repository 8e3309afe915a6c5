"""Views that change nothing: Identity, Dropout, a reshape to the same shape."""

from __future__ import annotations

from dataclasses import dataclass, replace

from zapdeploy.compile.graph import Graph, Node
from zapdeploy.compile.passes.rewriting import reading


@dataclass(frozen=True)
class RemoveIdentity:
    """Whoever reads such a view reads its input.

    One between an input and an output of the network stays.
    """

    def __call__(self, graph: Graph) -> Graph:
        producers = graph.producers()
        renamed: dict[str, str] = {}  # output of a removed node -> what is read instead
        written: dict[str, str] = {}  # value -> the name under which it is a network output
        kept: list[Node] = []
        for node in (reading(node, renamed) for node in graph.nodes):
            if not _is_identity(graph, node):
                kept.append(node)
                continue
            source, output = node.inputs[0], node.outputs[0]
            if output not in graph.outputs:
                renamed[output] = source
            elif source in producers and source not in graph.outputs and source not in written:
                written[source] = output
            else:
                kept.append(node)
        nodes = tuple(_write(reading(node, written), written) for node in kept)
        return graph.with_nodes(nodes, graph.values)


def _is_identity(graph: Graph, node: Node) -> bool:
    if node.op != "Reshape":
        return False
    return graph.values[node.inputs[0]].shape == graph.values[node.outputs[0]].shape


def _write(node: Node, names: dict[str, str]) -> Node:
    if not any(name in names for name in node.outputs):
        return node
    return replace(node, outputs=tuple(names.get(name, name) for name in node.outputs))
