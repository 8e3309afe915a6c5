"""Quantizers of one tensor with equal parameters become one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from zapdeploy.compile.graph import Graph, Node, Value
from zapdeploy.compile.passes.rewriting import reading, same_quantization, sources_of


@dataclass(frozen=True)
class ShareQuantizers:
    """Exporters write one quantizer for each reader; a core writes a tensor once."""

    def __call__(self, graph: Graph) -> Graph:
        first: dict[str, list[Node]] = {}
        renamed: dict[str, str] = {}
        twins: dict[str, list[Node]] = {}  # name of a kept quantizer -> those it replaces
        kept = []
        for node in (reading(node, renamed) for node in graph.nodes):
            twin = _find(graph, first, node)
            if twin is None or node.outputs[0] in graph.outputs:
                kept.append(node)
                if node.op == "Quantize":
                    first.setdefault(node.inputs[0], []).append(node)
                continue
            renamed[node.outputs[0]] = twin.outputs[0]
            twins.setdefault(twin.name, []).append(node)
        nodes = tuple(
            replace(node, sources=sources_of((node, *twins[node.name])))
            if node.name in twins
            else node
            for node in kept
        )
        return graph.with_nodes(nodes, graph.values)


def _find(graph: Graph, first: dict[str, list[Node]], node: Node) -> Node | None:
    """An earlier quantizer of the same tensor that writes the same codes."""
    if node.op != "Quantize":
        return None
    written = graph.values[node.outputs[0]]
    return next(
        (
            other
            for other in first.get(node.inputs[0], ())
            if same_codes(graph.values[other.outputs[0]], written)
        ),
        None,
    )


def same_codes(a: Value, b: Value) -> bool:
    """Whether a quantizer writes the same codes into both."""
    if a.quantization is None or b.quantization is None or not same_quantization(a, b):
        return False
    ranges = [(v.quantization.low, v.quantization.high) for v in (a, b) if v.quantization]
    return a.element == b.element and ranges[0] == ranges[1]
