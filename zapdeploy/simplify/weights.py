"""Weights that are kept as integers while all else is in float: read as real numbers again."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, numpy_helper

from zapdeploy.arrays import Array, Floats
from zapdeploy.simplify.graphs import all_nodes
from zapdeploy.simplify.onnx_operators import CLAMPS, MOVES, PRODUCTS, RECURRENT
from zapdeploy.simplify.registry import MICROSOFT, expands
from zapdeploy.simplify.walking import Place
from zapdeploy.small_integers import unpack

# What hands on numbers as they are, so that a product behind it reads what was dequantized.
_HANDED_ON = MOVES | CLAMPS | {"MaxPool", "Pad"}


@expands("MatMulNBits", domains=(MICROSOFT,))
def matmul_n_bits(place: Place) -> Iterable[NodeProto] | None:
    """x [..., K] times weights [N, K] of few bits, with a scale for each block of one row."""
    attributes = place.attributes
    k, n, bits = attributes["K"], attributes["N"], attributes.get("bits", 4)
    size = attributes["block_size"]
    if place.input(4):  # an order of the inputs
        return None
    blocks = -(-k // size)
    codes = _codes(place.weights(place.input(1)).reshape(n, blocks, -1), bits)
    scales = place.weights(place.input(2)).reshape(n, blocks, 1).astype(np.float32)
    zeros: Array = np.full((n, blocks, 1), 1 << (bits - 1))
    if place.input(3):
        given = place.weights(place.input(3))
        if given.dtype == np.uint8:
            given = _codes(given.reshape(n, -1), bits)[:, :blocks]
        zeros = given.reshape(n, blocks, 1)
    reals = ((codes - zeros) * scales).astype(np.float32).reshape(n, -1)[:, :k]
    out = place.writer()
    weights = out.constant("weights", np.ascontiguousarray(reals.T))
    bias = place.input(5)
    product = out.node("MatMul", place.input(0), weights, output="" if bias else place.output(0))
    if bias:
        out.node("Add", product, bias, output=place.output(0))
    return out.nodes


def _codes(data: Array, bits: int) -> Array:
    return np.asarray(unpack(data, bits, signed=False), np.int32)


def is_partly_quantized(graph: onnx.GraphProto) -> bool:
    """Whether a file with QDQ pairs leaves some product in float."""
    producers = {name: node for node in graph.node for name in node.output}

    def dequantized(name: str) -> bool:
        node = producers.get(name)
        while node is not None and node.op_type in _HANDED_ON:
            node = producers.get(node.input[0])
        return node is not None and node.op_type == "DequantizeLinear"

    products = [node for node in graph.node if node.op_type in PRODUCTS | RECURRENT]
    return any(not dequantized(name) for node in products for name in node.input[:2])


def without_quantizers(model: onnx.ModelProto) -> bool:
    """Put real numbers in the place of dequantized constants, and take QDQ pairs away, in place.

    Returns whether there was any. What is quantized in another form stays.
    """
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            tensors[node.output[0]] = node.attribute[0].t
    names: dict[str, str] = {}
    quantized = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "QuantizeLinear"}
    kept, made = [], []
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in tensors:
            made.append(numpy_helper.from_array(_reals(node, tensors), node.output[0]))
        elif node.op_type == "DequantizeLinear" and node.input[0] in quantized:
            names[node.output[0]] = quantized[node.input[0]]
        else:
            kept.append(node)
    _rename(graph, kept, names)
    del graph.node[:]
    graph.node.extend(kept)
    graph.initializer.extend(made)
    return bool(made or names)


def _rename(graph: onnx.GraphProto, nodes: list[NodeProto], names: dict[str, str]) -> None:
    """Readers of what was dequantized read what was quantized; outputs keep their names."""

    def source(name: str) -> str:
        while name in names:
            name = names[name]
        return name

    holder = onnx.GraphProto(node=nodes)
    for node in all_nodes(holder):
        node.input[:] = [source(name) for name in node.input]
    nodes[:] = list(holder.node)
    for value in graph.output:
        if value.name in names:
            nodes.append(onnx.helper.make_node("Identity", [source(value.name)], [value.name]))
    read = {name for node in all_nodes(onnx.GraphProto(node=nodes)) for name in node.input}
    read |= {value.name for value in graph.output}
    nodes[:] = [n for n in nodes if n.op_type != "QuantizeLinear" or read & set(n.output)]


def _reals(node: NodeProto, tensors: dict[str, TensorProto]) -> Floats:
    """(codes - zero point) * scale, with scales for the tensor, along an axis, or in blocks."""
    codes, scale, *rest = [numpy_helper.to_array(tensors[name]) for name in node.input if name]
    whole = np.asarray(codes).astype(np.int32)
    zero = np.asarray(rest[0]).astype(np.int32) if rest else np.zeros(np.shape(scale), np.int32)
    given = {a.name: a.i for a in node.attribute}
    axis, block = given.get("axis", 1), given.get("block_size", 0)
    scale = np.asarray(scale, np.float32)
    if block:
        length = whole.shape[axis]
        scale, zero = (
            np.repeat(v, block, axis).take(np.arange(length), axis) for v in (scale, zero)
        )
    elif scale.size > 1:
        shape = [1] * whole.ndim
        shape[axis] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    else:
        scale, zero = scale.reshape(()), zero.reshape(())
    return np.asarray((whole - zero) * scale, np.float32)
