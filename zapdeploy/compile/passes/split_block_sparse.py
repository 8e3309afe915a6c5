"""A sparse product with more weights than a chip should hold alone is several, one a part."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from zapdeploy.compile.graph import Graph, Node, Value
from zapdeploy.compile.passes.join_block_sparse import WEIGHTS, SparseMatrix
from zapdeploy.compile.passes.rewriting import Names
from zapdeploy.compile.regions import IntArray


@dataclass(frozen=True)
class SplitBlockSparse:
    """BlockSparse(x) becomes Concat(BlockSparse(x), BlockSparse(x), ...), parts of its groups in
    their order, where its weights take more than `most` bytes. The inverse of `JoinBlockSparse`."""

    most: int

    def __call__(self, graph: Graph) -> Graph:
        names, values, nodes = Names.of(graph), dict(graph.values), list[Node]()
        for node in graph.nodes:
            parts = self._parts(graph, node)
            nodes += _split(graph, node, parts, names, values) if parts > 1 else [node]
        if len(nodes) == len(graph.nodes):
            return graph
        return graph.with_nodes(tuple(nodes), values)

    def _parts(self, graph: Graph, node: Node) -> int:
        if node.op != "BlockSparse":
            return 1
        weights = graph.values[node.inputs[WEIGHTS]]
        filled = np.count_nonzero(np.diff(graph.call(node).ints("first")))
        return min(-(-weights.size * weights.element.bits // 8 // self.most), int(filled))


def _split(
    graph: Graph, node: Node, parts: int, names: Names, values: dict[str, Value]
) -> list[Node]:
    call = graph.call(node)
    matrix, out = SparseMatrix.of(call), call.output
    rows, made = matrix.weights.shape[1], []
    for groups in _shared_out(matrix.sizes, parts):
        name = names.fresh(f"{out.name}_part")
        values[name] = replace(out, name=name, shape=(out.shape[0], groups.size * rows, 1))
        own = replace(node, name=names.fresh(f"{node.name}_part"), outputs=(name,))
        made.append(matrix.taken(groups).product(own, (own,), names, values))
    whole = tuple(part.outputs[0] for part in made)
    return [*made, replace(node, op="Concat", inputs=whole, attributes={"axis": 1})]


def _shared_out(sizes: IntArray, parts: int) -> list[IntArray]:
    """Groups in their order, in parts with about as many blocks, at least one."""
    before = np.cumsum(sizes) - sizes
    filled = np.flatnonzero(sizes)
    wanted = np.searchsorted(before[filled], np.arange(1, parts) * sizes.sum() / parts)
    room = np.arange(parts - 1)
    most = filled.size - parts + 1 + room
    starts = np.minimum(np.maximum.accumulate(wanted - room) + room, most)
    return np.split(np.arange(sizes.size), filled[np.maximum(starts, room + 1)])
