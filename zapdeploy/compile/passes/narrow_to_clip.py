"""QCDQ: the bounds of a Clip between quantizer and dequantizer are the true width."""

from __future__ import annotations

from dataclasses import dataclass, replace

from zapdeploy.compile.graph import ElementType, Graph, Node, Value
from zapdeploy.compile.ops.base import Trait, has
from zapdeploy.compile.passes.rewriting import only_consumer, same_quantization, sources_of
from zapdeploy.errors import ModelError

SMALLEST_BITS = 2


@dataclass(frozen=True)
class NarrowToClip:
    """Give clipped codes the smallest type that holds them, and let the quantizer write it."""

    def __call__(self, graph: Graph) -> Graph:
        values = dict(graph.values)
        consumers, producers = graph.consumers(), graph.producers()
        merged: dict[str, Node] = {}  # name of a quantizer -> the clip that it takes over
        for node in graph.nodes:
            if not _is_clip(graph, node):
                if len(node.inputs) == 1 and has(node.op, Trait.QUANTIZER_PASSES):
                    _move_range(values, node)
                continue
            values[node.outputs[0]] = _narrowed(graph.values[node.outputs[0]], node)
            quantizer = producers.get(node.inputs[0])
            alone = only_consumer(graph, consumers, node.inputs[0]) is not None
            if quantizer is not None and quantizer.op == "Quantize" and alone:
                merged[quantizer.name] = node
        gone = {node.name for node in merged.values()}
        nodes = tuple(
            _merge(node, merged.get(node.name)) for node in graph.nodes if node.name not in gone
        )
        return graph.with_nodes(nodes, values)


def narrowest(element: ElementType, low: int, high: int) -> ElementType:
    """The smallest type that holds low to high, never wider than the one given."""
    if low >= 0:
        found = ElementType("uint", max(high.bit_length(), SMALLEST_BITS))
    else:
        bits = 1 + max((-low - 1).bit_length(), high.bit_length())
        found = ElementType("int", max(bits, SMALLEST_BITS))
    return found if found.bits <= 8 and found.bits < element.bits else element


def _is_clip(graph: Graph, node: Node) -> bool:
    return node.op == "Requantize" and same_quantization(
        graph.values[node.inputs[0]], graph.values[node.outputs[0]]
    )


def _narrowed(value: Value, node: Node) -> Value:
    quantization = value.quantization
    assert quantization is not None
    low, high = quantization.low, quantization.high
    zero = quantization.zero_point
    if zero.min() < low or zero.max() > high:
        raise ModelError(
            f"zero point must be in the range [{low}, {high}] that the Clip leaves, "
            f"not {zero.max() if zero.max() > high else zero.min()} (node '{node.name}')"
        )
    if low == zero.max() and high == value.element.limits[1]:
        return value  # a Relu on codes: a range, not a width
    return replace(value, element=narrowest(value.element, low, high))


def _move_range(values: dict[str, Value], node: Node) -> None:
    """Codes that are only moved stay in the range of their source."""
    source, result = values[node.inputs[0]], values[node.outputs[0]]
    if source.quantization is None or result.quantization is None:
        return
    low, high = source.quantization.low, source.quantization.high
    meaning = replace(result.quantization, low=low, high=high)
    values[result.name] = replace(result, element=source.element, quantization=meaning)


def _merge(quantizer: Node, clip: Node | None) -> Node:
    if clip is None:
        return quantizer
    return replace(quantizer, outputs=clip.outputs, sources=sources_of((quantizer, clip)))
