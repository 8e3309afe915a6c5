"""A gather of blocks by constant indices and a grouped convolution are one sparse product."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from zapdeploy.compile.graph import (
    Array,
    Call,
    ElementType,
    Graph,
    Node,
    Quantization,
    Value,
    frozen,
)
from zapdeploy.compile.ops.selection import tables
from zapdeploy.compile.passes.rewriting import (
    Names,
    only_consumer,
    producer_of,
    same_quantization,
    sources_of,
)
from zapdeploy.compile.regions import IntArray

UINT16, INT32 = ElementType("uint", 16), ElementType("int", 32)


@dataclass(frozen=True, eq=False)
class _Found:
    """The parts of a product: y = Conv(Reshape(Take(x)))."""

    conv: Node
    take: Node
    reshape: Node


@dataclass(frozen=True)
class FindBlockSparse:
    """Conv(Reshape(Take(x))) becomes BlockSparse(x) where x [M, blocks, B] is taken along its
    blocks and the convolution multiplies each group of outputs with blocks of its own. Blocks at
    equal distances are a Slice.

    Blocks of weights that are all zero, as fill a group up to the size of others, are left out.
    """

    def __call__(self, graph: Graph) -> Graph:
        takes = producer_of(graph, "Take") | producer_of(graph, "Slice")
        reshapes = producer_of(graph, "Reshape")
        names, values = Names.of(graph), dict(graph.values)
        nodes = []
        for node in graph.nodes:
            found = _found(graph, node, takes, reshapes)
            nodes.append(node if found is None else _product(graph, found, names, values))
        return graph.with_nodes(tuple(nodes), values)


def _found(
    graph: Graph, node: Node, takes: dict[str, Node], reshapes: dict[str, Node]
) -> _Found | None:
    reshape = reshapes.get(node.inputs[0]) if node.op == "Conv" else None
    take = None if reshape is None else takes.get(reshape.inputs[0])
    if reshape is None or take is None:
        return None
    consumers = graph.consumers()
    alone = (
        only_consumer(graph, consumers, take.outputs[0]) is reshape
        and only_consumer(graph, consumers, reshape.outputs[0]) is node
    )
    found = _Found(node, take, reshape)
    return found if alone and _fits(graph, found, reshapes) else None


def _fits(graph: Graph, found: _Found, reshapes: dict[str, Node]) -> bool:
    """Whether shapes, types and attributes are those of blocks."""
    x, taken = graph.values[found.take.inputs[0]], graph.values[found.take.outputs[0]]
    read, w = graph.values[found.reshape.outputs[0]], graph.values[found.conv.inputs[1]]
    call, group = graph.call(found.conv), found.conv.attributes["group"]
    assert isinstance(group, int)
    return (
        len(x.shape) == 3
        and taken_blocks(graph.call(found.take)) is not None
        and read.shape == (x.shape[0], taken.shape[1] * x.shape[2], 1)
        and w.data is not None
        and w.element.is_integer
        and len(w.shape) == 3
        and w.shape[2] == 1
        and w.shape[1] % x.shape[2] == 0
        and bool(w.data.any())
        and (w.quantization is None or not w.quantization.zero_point.any())
        and not any(found.conv.inputs[3:])
        and (*call.ints("strides"), *call.ints("dilations"), *call.ints("pads")) == (1, 1, 0, 0)
        and same_codes(x, taken)
        and same_codes(x, read)
        and _is_last(graph, x, reshapes)
    )


def taken_blocks(call: Call) -> IntArray | None:
    """What a Take or a Slice takes along axis 1 of three, if it takes all of the others."""
    if call.node.op == "Take":
        return tables(call)[1] if call.ints("axes") == (1,) else None
    before, after = call.input(0).shape, call.output.shape
    (first, start, last), (_, step, _) = call.ints("starts"), call.ints("steps")
    whole = (before[0], before[2]) == (after[0], after[2]) and first == last == 0
    return start + step * np.arange(after[1]) if whole else None


def same_codes(a: Value, b: Value) -> bool:
    """Whether two values have the same type, and one meaning of their codes for all."""
    if a.quantization is None or b.quantization is None:
        return a.quantization is b.quantization and a.element == b.element
    return same_quantization(a, b) and a.element == b.element and a.quantization.axis is None


def _is_last(graph: Graph, x: Value, reshapes: dict[str, Node]) -> bool:
    """Whether blocks are pieces of the last dimension of the tensor that is stored."""
    view = reshapes.get(x.name)
    if view is None:
        return True
    source = graph.values[view.inputs[0]]
    return view.inputs[0] not in reshapes and source.shape[-1] == x.shape[1] * x.shape[2]


def _product(graph: Graph, found: _Found, names: Names, values: dict[str, Value]) -> Node:
    call, w = graph.call(found.conv), graph.values[found.conv.inputs[1]]
    group, x = call.int("group"), values[found.take.inputs[0]]
    assert w.data is not None
    taken = taken_blocks(graph.call(found.take))
    assert taken is not None
    parts = w.data.reshape(group, w.shape[0] // group, -1, x.shape[2]).swapaxes(1, 2)
    sparse = block_sparse(found.conv, x, (parts, taken.reshape(group, -1)), w, names, values)
    return replace(sparse, sources=sources_of((found.conv, found.reshape, found.take)))


def block_sparse(
    node: Node,
    x: Value,
    blocks: tuple[Array, Array],
    w: Value,
    names: Names,
    values: dict[str, Value],
) -> Node:
    """The product `node` of x [M, blocks, B] with `blocks`: weights [G, K, R, B] of the groups and
    the blocks of x [G, K] that they meet. Those that are all zero are left out."""
    parts, met = blocks
    kept = parts.any(axis=(2, 3))
    first = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    meaning = w.quantization
    if meaning is not None:
        axis = None if meaning.scale.size == 1 else 0
        meaning = Quantization(
            meaning.scale, np.zeros(1, np.int32), meaning.low, meaning.high, axis
        )
    weights = names.fresh(f"{w.name}_blocks")
    values[weights] = _constant(weights, np.ascontiguousarray(parts[kept]), w.element, meaning)
    numbers = names.fresh(f"{node.name}_numbers")
    element = UINT16 if x.shape[1] <= 1 << 16 else INT32
    values[numbers] = _constant(numbers, met[kept].astype(element.numpy), element, None)
    bias = node.inputs[2] if len(node.inputs) > 2 else ""
    return replace(
        node,
        op="BlockSparse",
        inputs=(x.name, weights, bias, "", "", numbers),
        attributes={"first": tuple(first.tolist()), "pattern": digest(met[kept])},
    )


def digest(blocks: Array) -> str:
    """Tells layers of the same shape with other blocks apart."""
    return hashlib.sha256(blocks.astype(np.int64).tobytes()).hexdigest()[:16]


def _constant(
    name: str, data: Array, element: ElementType, quantization: Quantization | None
) -> Value:
    return Value(name, data.shape, element, quantization, frozen(data))
