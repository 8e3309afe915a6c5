"""Quantizers move up through data movement, to the operator that computes the numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from zapdeploy.compile.graph import FLOAT32, Graph, Node, Quantization, Value
from zapdeploy.compile.ops.base import Trait, has, operator
from zapdeploy.compile.passes.rewriting import Names, only_consumer
from zapdeploy.compile.passes.share_quantizers import same_codes


@dataclass(frozen=True)
class HoistQuantize:
    """Q(move(x)) = move(Q(x)): codes are moved instead of float32.

    Done where all that reads x leads to a quantizer of the same parameters, so that x itself need
    not be kept. A dequantizer above the move is left for sink_dequantize.
    """

    def __call__(self, graph: Graph) -> Graph:
        while True:
            hoisted = _once(graph)
            if hoisted is graph:
                return graph
            graph = hoisted


def _once(graph: Graph) -> Graph:
    consumers, producers = graph.consumers(), graph.producers()
    found = {
        node.name: quantizer
        for node in graph.nodes
        if (quantizer := _quantizer_after(graph, consumers, producers, node)) is not None
    }
    if not found:
        return graph
    gone = {quantizer.name for quantizer in found.values()}
    names, values, nodes = Names.of(graph), dict(graph.values), []
    for node in graph.nodes:
        if node.name in found:
            nodes += _exchanged(graph, names, values, node, found[node.name])
        elif node.name not in gone:
            nodes.append(node)
    return graph.with_nodes(tuple(nodes), values)


def _quantizer_after(
    graph: Graph,
    consumers: dict[str, list[Node]],
    producers: dict[str, Node],
    node: Node,
) -> Node | None:
    """The quantizer that can change places with a move of real numbers."""
    quantizer = _next_quantizer(graph, consumers, node)
    if quantizer is None:
        return None
    inputs = [graph.values[name] for name in node.inputs]
    origins = [producers.get(value.name) for value in inputs]
    if all(origin is not None and origin.op == "Dequantize" for origin in origins):
        return None
    target = graph.values[quantizer.outputs[0]]
    if _quantization_before(graph, node, target) is None:
        return None
    for value, origin in zip(inputs, origins, strict=True):
        if origin is not None and origin.op == "Dequantize":
            continue
        for reader in consumers[value.name]:
            other = reader if reader.op == "Quantize" else _next_quantizer(graph, consumers, reader)
            if other is None or not same_codes(graph.values[other.outputs[0]], target):
                return None
    return quantizer


def _next_quantizer(graph: Graph, consumers: dict[str, list[Node]], node: Node) -> Node | None:
    if not has(node.op, Trait.QUANTIZER_PASSES) or graph.values[node.outputs[0]].element != FLOAT32:
        return None
    reader = only_consumer(graph, consumers, node.outputs[0])
    return reader if reader is not None and reader.op == "Quantize" else None


def _quantization_before(graph: Graph, node: Node, target: Value) -> Quantization | None:
    """The quantization of the move's input, for one of its output."""
    quantization = target.quantization
    if quantization is None or quantization.axis is None:
        return quantization
    before = graph.values[node.inputs[0]].shape
    axis = operator(node.op).axis_before(node, before, target.shape, quantization.axis)
    return None if axis is None else replace(quantization, axis=axis)


def _exchanged(
    graph: Graph, names: Names, values: dict[str, Value], move: Node, quantizer: Node
) -> list[Node]:
    """The same quantizer before the move, once for each of its inputs."""
    target = graph.values[quantizer.outputs[0]]
    nodes, codes = [], []
    for index, name in enumerate(move.inputs):
        value = graph.values[name]
        made = names.fresh(f"{name}_quantized")
        values[made] = replace(
            target,
            name=made,
            shape=value.shape,
            quantization=_quantization_before(graph, move, target),
        )
        own = quantizer.name if index == 0 else names.fresh(f"{quantizer.name}_{index}")
        nodes.append(replace(quantizer, name=own, inputs=(name,), outputs=(made,)))
        codes.append(made)
    return [*nodes, replace(move, inputs=tuple(codes), outputs=quantizer.outputs)]
