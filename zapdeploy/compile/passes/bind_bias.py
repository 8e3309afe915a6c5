"""Biases become inputs of the matrix product: int32 in units of its accumulator, or float32."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from zapdeploy.compile.graph import FLOAT32, Array, Graph, Node, Value, frozen
from zapdeploy.compile.passes.matrix_nodes import (
    MatrixNode,
    constant_numbers,
    constant_reals,
    integer_bias,
    matrix_node,
    per_channel,
)
from zapdeploy.compile.passes.rewriting import Names, only_consumer, producer_of, sources_of


@dataclass(frozen=True)
class BindBias:
    """A quantized bias of scale s_x s_w is added to the accumulator; any other, to the result.

    An Add of a constant per output channel behind a product (torch's Linear on three dimensions, a
    BatchNormalization's offset) is such a bias too.
    """

    def __call__(self, graph: Graph) -> Graph:
        binder = _Binder(
            graph,
            Names.of(graph),
            dict(graph.values),
            producer_of(graph, "Dequantize"),
            graph.consumers(),
        )
        nodes = binder.bound()
        return graph.with_nodes(tuple(nodes), binder.values)


@dataclass(frozen=True, eq=False)
class _Binder:
    graph: Graph
    names: Names
    values: dict[str, Value]  # of the new graph
    dequantizers: dict[str, Node]
    consumers: dict[str, list[Node]]

    def bound(self) -> list[Node]:
        """The nodes of the new graph."""
        replaced: dict[str, Node | None] = {}
        for node in self.graph.nodes:
            matrix = matrix_node(self.graph, self.dequantizers, node)
            if matrix is None:
                continue
            own = self._with_own_bias(matrix)
            replaced[node.name] = own
            add = only_consumer(self.graph, self.consumers, node.outputs[0])
            numbers = None if add is None else self._addend(matrix, add)
            if add is None or numbers is None or not self._takes_more(own):
                continue
            replaced[node.name] = self._with_addend(matrix, own, add, numbers)
            replaced[add.name] = None
        found = (replaced.get(node.name, node) for node in self.graph.nodes)
        return [node for node in found if node is not None]

    def _with_own_bias(self, matrix: MatrixNode) -> Node:
        """The node with the bias it has, as codes or numbers instead of through a dequantizer."""
        node = matrix.node
        dequantizer = self.dequantizers.get(node.inputs[2]) if len(node.inputs) > 2 else None
        if dequantizer is None:
            return node
        numbers = constant_reals(self.graph, self.dequantizers, node.inputs[2])
        if numbers is None:
            return node
        bias = self._codes_or_numbers(matrix, dequantizer, numbers)
        merged = sources_of((node, dequantizer))
        return replace(node, inputs=(*node.inputs[:2], bias), sources=merged)

    def _takes_more(self, node: Node) -> bool:
        """Whether a bias can be added: the node has none, or a constant one."""
        return len(node.inputs) < 3 or self.values[node.inputs[2]].is_constant

    def _addend(self, matrix: MatrixNode, add: Node) -> Array | None:
        """The constant that an Add adds to each output channel."""
        if add.op != "Add":
            return None
        output = self.graph.values[matrix.node.outputs[0]]
        numbers = constant_reals(self.graph, self.dequantizers, self._other(matrix, add))
        if numbers is None or self.graph.values[add.outputs[0]].shape != output.shape:
            return None
        return numbers if per_channel(matrix, output.shape, numbers.shape) else None

    def _other(self, matrix: MatrixNode, add: Node) -> str:
        first, second = add.inputs
        return second if first == matrix.node.outputs[0] else first

    def _with_addend(self, matrix: MatrixNode, node: Node, add: Node, numbers: Array) -> Node:
        dequantizer = self.dequantizers.get(self._other(matrix, add))
        if len(node.inputs) > 2:
            own = constant_numbers(self.values[node.inputs[2]])
            assert own is not None
            bias = self._numbers(matrix, node.inputs[2], own + numbers.ravel())
        elif dequantizer is not None:
            bias = self._codes_or_numbers(matrix, dequantizer, numbers)
        else:
            bias = self._numbers(matrix, node.outputs[0], numbers)
        parts = (node, add) if dequantizer is None else (node, add, dequantizer)
        return replace(
            node,
            inputs=(*node.inputs[:2], bias),
            outputs=add.outputs,
            sources=sources_of(parts),
        )

    def _codes_or_numbers(self, matrix: MatrixNode, dequantizer: Node, numbers: Array) -> str:
        """The name of a bias in units of the accumulator where that is its scale, else float32."""
        codes = self.graph.values[dequantizer.inputs[0]]
        value = integer_bias(matrix, codes)
        if value is None:
            return self._numbers(matrix, dequantizer.outputs[0], numbers)
        readers = max(len(self.consumers[n]) for n in (codes.name, dequantizer.outputs[0]))
        if readers > 1 or codes.shape != value.shape:
            value = replace(value, name=self.names.fresh(f"{codes.name}_bias"))
        self.values[value.name] = value
        return value.name

    def _numbers(self, matrix: MatrixNode, wish: str, numbers: Array) -> str:
        name = self.names.fresh(f"{wish}_bias")
        data = np.broadcast_to(numbers.ravel(), (matrix.channels,)).astype(np.float32)
        self.values[name] = Value(name, data.shape, FLOAT32, data=frozen(data))
        return name
