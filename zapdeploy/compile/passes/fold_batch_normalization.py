"""A factor per channel behind a matrix product is part of the scales of its weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from zapdeploy.compile.graph import Array, Graph, Node, Quantization, Value, frozen
from zapdeploy.compile.passes.matrix_nodes import (
    MatrixNode,
    constant_reals,
    matrix_node,
    per_channel,
)
from zapdeploy.compile.passes.rewriting import Names, only_consumer, producer_of, sources_of


@dataclass(frozen=True)
class FoldBatchNormalization:
    """(x * w) f = x * (w f): the codes of w stay, its scales are multiplied by f.

    BatchNormalization is imported as such a factor and an offset; the offset becomes bias in
    bind_bias. A negative factor turns the sign of its channel's codes, where they allow it.
    """

    def __call__(self, graph: Graph) -> Graph:
        dequantizers, consumers = producer_of(graph, "Dequantize"), graph.consumers()
        names, values = Names.of(graph), dict(graph.values)
        replaced: dict[str, list[Node]] = {}  # node name -> what stands in its place
        for node in graph.nodes:
            matrix = matrix_node(graph, dequantizers, node)
            factor = only_consumer(graph, consumers, node.outputs[0])
            if matrix is None or factor is None or factor.op != "Mul":
                continue
            numbers = _factors(graph, matrix, factor)
            new = None if numbers is None else _scaled_weights(matrix, numbers)
            if numbers is None or new is None:
                continue
            folder = _Folder(graph, names, values, dequantizers)
            folded = folder.fold(matrix, factor, numbers, new)
            if folded is not None:
                replaced[node.name], replaced[factor.name] = folded, []
        nodes = [new for node in graph.nodes for new in replaced.get(node.name, [node])]
        return graph.with_nodes(tuple(nodes), values)


def _factors(graph: Graph, matrix: MatrixNode, factor: Node) -> Array | None:
    """The factors [channels], when they are constant, not zero, and one for each channel."""
    product = matrix.node.outputs[0]
    other = factor.inputs[1] if factor.inputs[0] == product else factor.inputs[0]
    numbers = graph.values[other].data
    if numbers is None or graph.values[factor.outputs[0]].shape != graph.values[product].shape:
        return None
    if not per_channel(matrix, graph.values[product].shape, numbers.shape):
        return None
    if not np.isfinite(numbers).all() or not numbers.all():
        return None
    return np.broadcast_to(numbers.ravel(), (matrix.channels,))


def _scaled_weights(matrix: MatrixNode, factors: Array) -> Value | None:
    """The weights with their scales multiplied, and the sign of negative channels turned."""
    w, meaning = matrix.w, matrix.w.quantization
    assert meaning is not None
    if w.data is None or matrix.accumulator_scale() is None:
        return None
    shape = tuple(-1 if d == matrix.channel_axis else 1 for d in range(len(w.shape)))
    negative = (factors < 0).reshape(shape)
    data = w.data
    if negative.any():
        if meaning.zero_point.any() or -int(data.min()) > meaning.high:
            return None
        data = frozen(np.where(negative, -data, data))
    scale = np.broadcast_to(meaning.scale, factors.shape) * np.abs(factors)
    zeros = np.broadcast_to(meaning.zero_point, factors.shape).copy()
    new = Quantization(scale, zeros, meaning.low, meaning.high, matrix.channel_axis)
    return replace(w, quantization=new, data=data)


@dataclass(frozen=True, eq=False)
class _Folder:
    graph: Graph
    names: Names
    values: dict[str, Value]
    dequantizers: dict[str, Node]

    def fold(
        self, matrix: MatrixNode, factor: Node, factors: Array, weights: Value
    ) -> list[Node] | None:
        """The nodes in place of the product; None when its bias cannot be multiplied."""
        node = matrix.node
        nodes: list[Node] = []
        bias = node.inputs[2] if len(node.inputs) > 2 else ""
        if bias:
            bias = self._scaled_bias(bias, factors, nodes)
            if not bias:
                return None
        inputs = (node.inputs[0], self._weights(node, weights, nodes), bias)
        made = replace(
            node,
            inputs=inputs if bias else inputs[:2],
            outputs=factor.outputs,
            sources=sources_of((node, factor)),
        )
        return [*nodes, made]

    def _weights(self, node: Node, weights: Value, nodes: list[Node]) -> str:
        """Scaled weights and their dequantizer, under new names."""
        return self._dequantized(weights, self.dequantizers[node.inputs[1]], nodes)

    def _dequantized(self, codes: Value, like: Node, nodes: list[Node]) -> str:
        name = self.names.fresh(f"{codes.name}_folded")
        output = self.graph.values[like.outputs[0]]
        made = self.names.fresh(f"{output.name}_folded")
        self.values[name] = replace(codes, name=name)
        self.values[made] = replace(output, name=made)
        own = self.names.fresh(f"{like.name}_folded")
        nodes.append(replace(like, name=own, inputs=(name,), outputs=(made,)))
        return made

    def _scaled_bias(self, name: str, factors: Array, nodes: list[Node]) -> str:
        """The bias times the factors: codes keep their form, numbers are multiplied."""
        numbers = constant_reals(self.graph, self.dequantizers, name)
        if numbers is None:
            return ""
        like = self.dequantizers.get(name)
        codes = None if like is None else self.graph.values[like.inputs[0]]
        if like is not None and codes is not None and codes.quantization is not None:
            meaning = codes.quantization
            if codes.data is not None and not meaning.zero_point.any():
                scale = np.broadcast_to(meaning.scale, factors.shape) * np.abs(factors)
                zeros = np.zeros(factors.shape, np.int32)
                new = Quantization(scale, zeros, meaning.low, meaning.high, 0)
                signs = np.where(factors < 0, -1, 1).astype(codes.data.dtype)
                data = frozen(codes.data * signs)
                return self._dequantized(replace(codes, quantization=new, data=data), like, nodes)
        made = self.names.fresh(f"{name}_folded")
        data = frozen((numbers * factors).astype(np.float32))
        self.values[made] = replace(self.graph.values[name], name=made, data=data)
        return made
