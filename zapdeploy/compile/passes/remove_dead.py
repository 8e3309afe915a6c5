"""Nodes whose results nobody reads."""

from __future__ import annotations

from dataclasses import dataclass

from zapdeploy.compile.graph import Graph, Node


@dataclass(frozen=True)
class RemoveDead:
    """Keep what some output of the network depends on."""

    def __call__(self, graph: Graph) -> Graph:
        needed = set(graph.outputs)
        kept: list[Node] = []
        for node in reversed(graph.nodes):
            if needed.intersection(node.outputs):
                needed.update(node.inputs)
                kept.append(node)
        return graph.with_nodes(tuple(reversed(kept)), graph.values)
