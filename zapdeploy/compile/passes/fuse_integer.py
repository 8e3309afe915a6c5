"""Dequantizers, an operator and a quantizer become one operator from codes to codes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from zapdeploy.compile.graph import Graph, Node
from zapdeploy.compile.ops.base import Trait, Unit, has, operator
from zapdeploy.compile.passes.rewriting import (
    only_consumer,
    producer_of,
    sources_of,
)


@dataclass(frozen=True)
class FuseInteger:
    """An operator reads codes where a dequantizer made its input, and writes codes where a
    quantizer alone reads its output; its meaning follows from the types of its values.

    The matrix unit multiplies codes only: a product is fused when both operands are codes. A
    Concat of codes of different parameters requantizes each. A dequantizer straight before a
    quantizer is a Requantize.
    """

    def __call__(self, graph: Graph) -> Graph:
        dequantizers, consumers = producer_of(graph, "Dequantize"), graph.consumers()
        gone: set[str] = set()
        nodes: list[Node] = []
        for node in graph.nodes:
            if node.name in gone:
                continue
            quantizer = _quantizer_after(graph, consumers, node)
            if node.op == "Quantize" and node.inputs[0] in dequantizers:
                before = dequantizers[node.inputs[0]]
                merged = sources_of((node, before))
                node = replace(node, op="Requantize", inputs=before.inputs, sources=merged)
            elif _reads_codes(graph, dequantizers, node, quantizer):
                node = _read(node, dequantizers)
                if quantizer is not None:
                    gone.add(quantizer.name)
                    merged = sources_of((node, quantizer))
                    node = replace(node, outputs=quantizer.outputs, sources=merged)
            nodes.append(node)
        return graph.with_nodes(tuple(nodes), graph.values)


def _quantizer_after(graph: Graph, consumers: dict[str, list[Node]], node: Node) -> Node | None:
    if has(node.op, Trait.CONVERTS):
        return None
    reader = only_consumer(graph, consumers, node.outputs[0])
    return reader if reader is not None and reader.op == "Quantize" else None


def _reads_codes(
    graph: Graph, dequantizers: dict[str, Node], node: Node, quantizer: Node | None
) -> bool:
    """Whether this operator is one that can be fused with what stands around it."""
    unit = operator(node.op).unit
    if unit is Unit.MATRIX:
        return all(name in dequantizers for name in node.inputs[:2])
    if unit is Unit.VECTOR:
        return not has(node.op, Trait.CONVERTS)
    return (
        len(node.inputs) > 1  # each is requantized; what moves one is behind its quantizer by now
        and quantizer is not None
        and all(name in dequantizers for name in node.inputs)
    )


def _read(node: Node, dequantizers: dict[str, Node]) -> Node:
    before = [dequantizers[name] for name in node.inputs if name in dequantizers]
    if not before:
        return node
    inputs = tuple(
        dequantizers[name].inputs[0] if name in dequantizers else name for name in node.inputs
    )
    return replace(node, inputs=inputs, sources=sources_of((node, *before)))
