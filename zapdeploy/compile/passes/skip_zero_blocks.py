"""Products whose weights hold blocks of zeros multiply only the other blocks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from zapdeploy.compile.graph import Array, Graph, Node, Quantization, Value
from zapdeploy.compile.passes.find_block_sparse import block_sparse
from zapdeploy.compile.passes.rewriting import Names, producer_of
from zapdeploy.hardware_targets.schema import MatrixUnit


@dataclass(frozen=True)
class SkipZeroBlocks:
    """MatMul(x, w) becomes Reshape(BlockSparse(Reshape(x))) where that saves cycles of the `unit`.

    A block is what the unit holds of w at a time, or the largest part of it that divides w's
    dimensions. One that is all zero adds nothing to any sum: leaving it out is exact, and is asked
    for (`compile --skip-zero-blocks`), since a chip must be able to store such a network.
    """

    unit: MatrixUnit

    def __call__(self, graph: Graph) -> Graph:
        names, values, nodes = Names.of(graph), dict(graph.values), list[Node]()
        views = producer_of(graph, "Reshape")
        for node in graph.nodes:
            blocks = self._blocks(graph, node, views)
            nodes += (
                [node] if blocks is None else _sparse(graph, node, blocks, names, values, views)
            )
        return graph.with_nodes(tuple(nodes), values)

    def _blocks(self, graph: Graph, node: Node, views: dict[str, Node]) -> Array | None:
        """The weights [groups, blocks, outputs, inputs] if some of the blocks can be left out."""
        if node.op != "MatMul" or any(node.inputs[3:]):
            return None
        x, w, y = (graph.values[n] for n in (*node.inputs[:2], node.outputs[0]))
        bits = self.unit.fitting(max(x.element.bits, w.element.bits))
        if w.data is None or len(w.shape) != 2 or bits is None or not _plain(graph, x, w, y, views):
            return None
        inputs = _divisor(w.shape[0], self.unit.inputs(bits))
        outputs = _divisor(w.shape[1], int(self.unit.outputs))
        grid = (w.shape[1] // outputs, outputs, w.shape[0] // inputs, inputs)
        parts = np.asarray(w.data.T.reshape(grid).swapaxes(1, 2))
        dense = -(-w.shape[0] // self.unit.inputs(bits)) * -(-w.shape[1] // int(self.unit.outputs))
        left = int(parts.any(axis=(2, 3)).sum())
        return parts if 0 < left < dense else None


def _plain(graph: Graph, x: Value, w: Value, y: Value, views: dict[str, Node]) -> bool:
    """Whether scales, zero points and the way x is stored allow to take w in blocks."""
    x_, w_, y_ = x.quantization, w.quantization, y.quantization
    view = views.get(x.name)
    source = x if view is None else graph.values[view.inputs[0]]
    return (
        (x_ is None or x_.axis is None)
        and (w_ is None or not w_.zero_point.any())
        and (y_ is None or y_.axis in (None, len(y.shape) - 1))
        and source.shape[-1] == x.shape[-1]
        and source.name not in views
    )


def _divisor(length: int, most: int) -> int:
    """The largest divisor of a length that is at most so large."""
    return max(n for n in range(1, min(length, most) + 1) if length % n == 0)


def _sparse(
    graph: Graph,
    node: Node,
    parts: Array,
    names: Names,
    values: dict[str, Value],
    views: dict[str, Node],
) -> list[Node]:
    """The product over blocks, and the views before and behind it."""
    x, w, y = (graph.values[n] for n in (*node.inputs[:2], node.outputs[0]))
    read = views[x.name].inputs[0] if x.name in views else x.name
    rows = prod(x.shape[:-1])
    into = replace(x, name=names.fresh(f"{x.name}_by_block"), shape=(rows, *_grid(x, parts)))
    meaning = y.quantization
    if meaning is not None and meaning.axis is not None:
        meaning = Quantization(meaning.scale, meaning.zero_point, meaning.low, meaning.high, 1)
    out = replace(
        y, name=names.fresh(f"{y.name}_sums"), shape=(rows, y.shape[-1], 1), quantization=meaning
    )
    values.update({into.name: into, out.name: out})
    met = np.broadcast_to(np.arange(parts.shape[1]), parts.shape[:2])
    product = block_sparse(node, into, (parts, met), w, names, values)
    before, behind = (names.fresh(f"{node.name}_{part}") for part in ("blocks", "sums"))
    return [
        Node(before, "Reshape", (read,), (into.name,), {}),
        replace(product, outputs=(out.name,)),
        Node(behind, "Reshape", (out.name,), (y.name,), {}),
    ]


def _grid(x: Value, parts: Array) -> tuple[int, int]:
    return x.shape[-1] // parts.shape[3], parts.shape[3]
