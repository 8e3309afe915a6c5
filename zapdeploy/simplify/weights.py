"""Weights that are kept as integers while all else is in float: read as real numbers again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, numpy_helper

from zapdeploy.arrays import Array, Floats
from zapdeploy.simplify.graphs import all_nodes
from zapdeploy.simplify.onnx_operators import CLAMPS, CONVOLUTIONS, MOVES, PRODUCTS, RECURRENT
from zapdeploy.simplify.registry import MICROSOFT, expands
from zapdeploy.simplify.walking import Place
from zapdeploy.small_integers import unpack

# What hands on numbers as they are, so that a product behind it reads what was dequantized.
_HANDED_ON = MOVES | CLAMPS | {"MaxPool", "Pad"}
_WIDE = {TensorProto.INT16, TensorProto.UINT16}


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
    """Whether a file with QDQ pairs leaves some product in float, or quantizes one as no integer
    product can be: with scales along what it sums over, or with more than 8 bits."""
    producers = {name: node for node in graph.node for name in node.output}
    tensors = constants_of(graph)

    def is_integer(product: NodeProto, index: int) -> bool:
        node, moved = producers.get(product.input[index]), False
        while node is not None and node.op_type in _HANDED_ON:
            node, moved = producers.get(node.input[0]), True
        if node is None or node.op_type != "DequantizeLinear":
            return False
        scale = tensors.get(node.input[1])
        several = scale is not None and prod(scale.dims) > 1
        along = _output_axis(product) if index else None
        summed = several and not moved and _axis(node, tensors) not in (along, None)
        wide = {tensors[name].data_type for name in (node.input[0], *node.input[2:])
                if name in tensors} & _WIDE  # fmt: skip
        return not summed and not wide

    products = [node for node in graph.node if node.op_type in PRODUCTS | RECURRENT]
    return any(not is_integer(node, index) for node in products for index in (0, 1))


def constants_of(graph: onnx.GraphProto) -> dict[str, TensorProto]:
    """Initializers and what Constant nodes hold, by name."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            found[node.output[0]] = node.attribute[0].t
    return found


def _output_axis(product: NodeProto) -> int:
    """Which axis of the weights is not summed over; from the end where that is how it is told."""
    given = {a.name: a.i for a in product.attribute}
    if product.op_type in CONVOLUTIONS:
        return int(product.op_type == "ConvTranspose")
    return -1 if product.op_type == "MatMul" or not given.get("transB", 0) else 0


def _axis(dequantizer: NodeProto, tensors: Mapping[str, TensorProto]) -> int | None:
    """The axis of a constant's scales as `_output_axis` would name it; None where it is open."""
    codes = tensors.get(dequantizer.input[0])
    given = {a.name: a.i for a in dequantizer.attribute}
    if codes is None or (given.get("block_size", 0) and len(codes.dims) == 2):
        return None  # matrices are cut along the blocks
    rank = len(codes.dims)
    axis = given.get("axis", 1) % max(rank, 1)
    return -1 if rank == 2 and axis == 1 else axis


def without_quantizers(model: onnx.ModelProto) -> bool:
    """Put real numbers in the place of dequantized constants, and take QDQ pairs away, in place.

    Returns whether there was any. What is quantized in another form stays.
    """
    graph = model.graph
    tensors = constants_of(graph)
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
