"""A product with weights that are quantized in blocks of their inputs: a sum over the blocks.

x w = sum over b of x[b] w[b],   each with scales of its own behind its own accumulator
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from zapdeploy.compile.graph import FLOAT32, Graph, Node, Value
from zapdeploy.compile.passes.rewriting import Names, producer_of, sources_of


@dataclass(frozen=True)
class SplitBlocks:
    """MatMul(x, Concat(w1, w2, ...)) along the summed dimension becomes products of parts of x."""

    def __call__(self, graph: Graph) -> Graph:
        joins = producer_of(graph, "Concat")
        names, values = Names.of(graph), dict(graph.values)
        nodes: list[Node] = []
        for node in graph.nodes:
            join = joins.get(node.inputs[1]) if node.op == "MatMul" else None
            if join is None or not _is_split(graph, node, join):
                nodes.append(node)
                continue
            nodes += _split(graph, node, join, names, values)
        return graph.with_nodes(tuple(nodes), values)


def _is_split(graph: Graph, node: Node, join: Node) -> bool:
    """Whether the weights are parts that were dequantized one by one, along what is summed over."""
    rank = len(graph.values[join.outputs[0]].shape)
    dequantized = producer_of(graph, "Dequantize")
    axis = join.attributes["axis"]
    return (
        isinstance(axis, int)
        and axis % rank == rank - 2
        and len(node.inputs) == 2
        and all(
            name in dequantized and graph.values[dequantized[name].inputs[0]].is_constant
            for name in join.inputs
        )
    )


def _split(
    graph: Graph, node: Node, join: Node, names: Names, values: dict[str, Value]
) -> list[Node]:
    x, output = graph.values[node.inputs[0]], graph.values[node.outputs[0]]
    rank, start, made, total = len(x.shape), 0, list[Node](), ""
    sources = sources_of((node, join))
    for index, part in enumerate(join.inputs):
        length = graph.values[part].shape[-2]
        piece = names.fresh(f"{output.name}_x{index}")
        values[piece] = replace(x, name=piece, shape=(*x.shape[:-1], length))
        starts = (*(0,) * (rank - 1), start)
        attributes = {"starts": starts, "steps": (1,) * rank}
        made.append(Node(names.fresh(piece), "Slice", (x.name,), (piece,), attributes, sources))
        product = names.fresh(f"{output.name}_block{index}")
        values[product] = Value(product, output.shape, FLOAT32)
        made.append(Node(names.fresh(product), "MatMul", (piece, part), (product,), {}, sources))
        if total:
            last = index == len(join.inputs) - 1
            added = output.name if last else names.fresh(f"{output.name}_sum{index}")
            values.setdefault(added, Value(added, output.shape, FLOAT32))
            name = node.name if last else names.fresh(added)
            made.append(Node(name, "Add", (total, product), (added,), {}, sources))
            product = added
        total, start = product, start + length
    return made
