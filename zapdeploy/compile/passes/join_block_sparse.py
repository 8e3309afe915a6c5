"""Sparse products of one tensor whose outputs are put together are one sparse product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from zapdeploy.compile.graph import Array, Call, Graph, Node, Value, frozen
from zapdeploy.compile.passes.find_block_sparse import digest, same_codes, taken_blocks
from zapdeploy.compile.passes.rewriting import Names, only_consumer, producer_of, sources_of
from zapdeploy.compile.regions import IntArray

WEIGHTS, BIAS, NUMBERS = 1, 2, 5  # inputs of a BlockSparse


@dataclass(frozen=True)
class JoinBlockSparse:
    """Concat(BlockSparse(x), BlockSparse(x), ...) along the outputs is one BlockSparse;
    Take(Reshape(BlockSparse(x))) of whole groups is the BlockSparse with its groups in that order.

    A file has a product for every size of a group, since groups of a convolution are equally large.
    As one, its groups stand in the order that the file wants, in which cores can have about as many
    weights each.
    """

    def __call__(self, graph: Graph) -> Graph:
        for rewrite in (_joined, _in_order):
            names, values, known = Names.of(graph), dict(graph.values), _Known.of(graph)
            nodes = [new for node in graph.nodes for new in rewrite(known, node, names, values)]
            graph = graph.with_nodes(tuple(nodes), values)
        return graph


@dataclass(frozen=True, eq=False)
class _Known:
    """A graph, and its products and views by what they make."""

    graph: Graph
    products: dict[str, Node]
    views: dict[str, Node]
    consumers: dict[str, list[Node]]

    @classmethod
    def of(cls, graph: Graph) -> _Known:
        products, views = producer_of(graph, "BlockSparse"), producer_of(graph, "Reshape")
        return cls(graph, products, views, graph.consumers())

    def alone(self, name: str, node: Node) -> bool:
        """Whether a value is read by this node, once, and by nothing else."""
        return only_consumer(self.graph, self.consumers, name) is node


@dataclass(frozen=True, eq=False)
class SparseMatrix:
    """The constants of a product by groups. sizes [G]: blocks of each. weights and numbers run over
    blocks, the bias (None where there is none) over outputs."""

    sizes: IntArray
    weights: Value
    numbers: Value
    bias: Value | None

    @classmethod
    def of(cls, call: Call) -> SparseMatrix:
        bias, count = call.optional(BIAS), call.output.shape[1]
        return cls(
            np.diff(call.ints("first")),
            _each(call.input(WEIGHTS), count),
            call.input(NUMBERS),
            None if bias is None else _each(bias, count),
        )

    @classmethod
    def stacked(cls, parts: Sequence[SparseMatrix]) -> SparseMatrix:
        biases = [part.bias for part in parts if part.bias is not None]
        return cls(
            np.concatenate([part.sizes for part in parts]),
            _stacked([part.weights for part in parts]),
            _stacked([part.numbers for part in parts]),
            _stacked(biases) if biases else None,
        )

    def taken(self, groups: IntArray) -> SparseMatrix:
        """These groups, in this order."""
        sizes, rows = self.sizes[groups], self.weights.shape[1]
        first, ends = np.cumsum(self.sizes) - self.sizes, np.cumsum(sizes)
        at = np.arange(sizes.sum()) + np.repeat(first[groups] - (ends - sizes), sizes)
        outputs = (groups[:, None] * rows + np.arange(rows)).reshape(-1)
        bias = None if self.bias is None else _taken(self.bias, outputs, outputs)
        weights = _taken(self.weights, at, outputs)
        return SparseMatrix(sizes, weights, _taken(self.numbers, at, at), bias)

    def product(
        self, like: Node, nodes: Sequence[Node], names: Names, values: dict[str, Value]
    ) -> Node:
        """A product like another, in place of `nodes`, of which the last says the output."""
        held = []
        for value in (self.weights, self.bias, self.numbers):
            name = "" if value is None else names.fresh(value.name)
            if value is not None:
                values[name] = replace(value, name=name)
            held.append(name)
        ends = np.concatenate([[0], np.cumsum(self.sizes)])
        assert self.numbers.data is not None
        return replace(
            like,
            inputs=(like.inputs[0], *held[:2], "", "", held[2]),
            outputs=nodes[-1].outputs,
            attributes={"first": tuple(ends.tolist()), "pattern": digest(self.numbers.data)},
            sources=sources_of(nodes),
        )


def _each(value: Value, count: int) -> Value:
    """With a scale for each of `count` outputs; zero points of such constants are 0."""
    known = value.quantization
    if known is None:
        return value
    scale = np.broadcast_to(known.scale, count).copy()
    return replace(value, quantization=replace(known, scale=scale, axis=0))


def _stacked(values: Sequence[Value]) -> Value:
    scales = [value.quantization.scale for value in values if value.quantization is not None]
    data = np.concatenate([value.data for value in values])
    return _holding(values[0], data, np.concatenate(scales) if scales else None)


def _taken(value: Value, at: IntArray, outputs: IntArray) -> Value:
    known = value.quantization
    assert value.data is not None
    return _holding(value, value.data[at], None if known is None else known.scale[outputs])


def _holding(value: Value, data: Array, scale: Array | None) -> Value:
    known = value.quantization
    if known is not None and scale is not None:
        known = replace(known, scale=scale, zero_point=np.zeros(1, np.int32))
    return replace(value, shape=data.shape, data=frozen(data), quantization=known)


def _joined(known: _Known, node: Node, names: Names, values: dict[str, Value]) -> tuple[Node, ...]:
    parts = [known.products[name] for name in node.inputs if name in known.products]
    if node.op != "Concat" or len(parts) != len(node.inputs) or not _alike(known, node, parts):
        return (node,)
    matrix = SparseMatrix.stacked([SparseMatrix.of(known.graph.call(part)) for part in parts])
    return (matrix.product(parts[0], (*parts, node), names, values),)


def _alike(known: _Known, node: Node, parts: list[Node]) -> bool:
    """Whether products multiply one tensor with weights of one kind, for this Concat alone."""
    graph, out = known.graph, known.graph.values[node.outputs[0]]
    return (
        graph.call(node).int("axis") == 1
        and all(known.alone(name, node) for name in node.inputs)
        and all(same_codes(graph.values[name], out) for name in node.inputs)
        and len({(part.inputs[0], part.inputs[3:5]) for part in parts}) == 1
        and len({_kind(graph.call(part)) for part in parts}) == 1
    )


def _kind(call: Call) -> tuple[object, ...]:
    """What constants must have in common to be put one behind the other."""
    found: list[object] = []
    for value in (call.input(WEIGHTS), call.optional(BIAS)):
        if value is not None:
            known = value.quantization
            limits = None if known is None else (known.low, known.high)
            found += [value.shape[1:], value.element, limits]
    return tuple(found)


def _in_order(
    known: _Known, node: Node, names: Names, values: dict[str, Value]
) -> tuple[Node, ...]:
    view = known.views.get(node.inputs[0]) if node.op in ("Take", "Slice") else None
    product = None if view is None else known.products.get(view.inputs[0])
    if view is None or product is None or not _whole_groups(known, node, view, product):
        return (node,)
    groups = taken_blocks(known.graph.call(node))
    assert groups is not None
    matrix = SparseMatrix.of(known.graph.call(product)).taken(groups)
    out = values[node.outputs[0]]
    name = names.fresh(f"{out.name}_sums")
    values[name] = replace(out, name=name, shape=(out.shape[0], out.shape[1] * out.shape[2], 1))
    made = matrix.product(product, (product, view, replace(node, outputs=(name,))), names, values)
    return made, Node(names.fresh(f"{node.name}_rows"), "Reshape", (name,), node.outputs, {})


def _whole_groups(known: _Known, node: Node, view: Node, product: Node) -> bool:
    """Whether a Take or a Slice chooses among the groups of a product, for itself alone."""
    graph = known.graph
    rows, out = graph.values[product.inputs[WEIGHTS]].shape[1], graph.values[node.outputs[0]]
    sums, seen = graph.values[view.inputs[0]], graph.values[view.outputs[0]]
    return (
        seen.shape == (sums.shape[0], sums.shape[1] // rows, rows)
        and taken_blocks(known.graph.call(node)) is not None
        and known.alone(sums.name, view)
        and known.alone(seen.name, node)
        and same_codes(sums, seen)
        and same_codes(sums, out)
    )
