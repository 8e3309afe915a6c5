"""QDQ and QCDQ: quantizers and dequantizers around floating-point operators.

QCDQ keeps a tensor of fewer than 8 bits as int8 or uint8 with a Clip between the two; the Clip's
bounds are the true range.
"""

from __future__ import annotations

from dataclasses import replace
from math import frexp

import numpy as np
import onnx_ir as ir

from zapdeploy.compile.frontend.errors import RefusedError
from zapdeploy.compile.frontend.graph_builder import GraphBuilder
from zapdeploy.compile.frontend.onnx_node import MICROSOFT, STANDARD, OnnxNode
from zapdeploy.compile.frontend.parameters import parameters, scale_of, zero_point_of
from zapdeploy.compile.frontend.registry import translates
from zapdeploy.compile.frontend.tensors import element_type
from zapdeploy.compile.graph import ElementType, Quantization, Value
from zapdeploy.errors import ModelError

MOST_BITS = 16


@translates("QuantizeLinear", domains=(STANDARD, MICROSOFT))
def quantize_linear(builder: GraphBuilder, node: OnnxNode) -> None:
    x = builder.real(node.required(0))
    _refuse_blocks(node)
    declared = _declared_type(node, "output_dtype")
    axis = node.integer("axis", 1)
    zero_point = zero_point_of(builder, node, 2)
    if zero_point is not None and zero_point.element.bits > MOST_BITS:
        raise RefusedError(f"zero point must have at most {MOST_BITS} bits")
    element = declared if zero_point is None else zero_point.element
    element, quantization = parameters(builder, node, 1, x.shape, element, axis)
    builder.emit(node, "Quantize", (x.name,), element=element, quantization=quantization)


@translates("DequantizeLinear", domains=(STANDARD, MICROSOFT))
def dequantize_linear(builder: GraphBuilder, node: OnnxNode) -> None:
    x = builder.value(node.required(0))
    if node.integer("block_size", 0) and x.data is not None:
        _dequantize_blocks(builder, node, x)
        return
    _refuse_blocks(node)
    declared = _declared_type(node, "output_dtype")
    if declared is not None and declared.kind != "float":
        raise RefusedError(f"output_dtype must be float32, not {declared.name}")
    axis, constant = node.integer("axis", 1), x.data is not None
    _, quantization = parameters(builder, node, 1, x.shape, x.element, axis, may_be_zero=constant)
    if constant:
        x = _without_dead(builder, node, x, quantization)
    factor = _shift(x, quantization)
    if factor is None:
        builder.emit(node, "Dequantize", (builder.quantize_as(x.name, quantization),))
        return
    real = builder.emit(
        node, "Dequantize", (x.name,), output=builder.fresh(f"{node.output}_unshifted")
    )
    builder.emit(node, "Mul", (real, builder.constant(f"{node.name}_factor", factor)))


def _without_dead(builder: GraphBuilder, node: OnnxNode, x: Value, meaning: Quantization) -> Value:
    """A constant whose codes mean zero where the scale is zero, as pruned channels have it."""
    dead = np.asarray(builder.array(node.required(1), "scale")).ravel() == 0
    if not dead.any():
        return x
    assert x.data is not None
    shape = [1] * len(x.shape)
    if meaning.axis is not None:
        shape[meaning.axis] = -1
    zeros = np.asarray(meaning.zero_point, x.data.dtype).reshape(shape if shape else ())
    data = np.where(dead.reshape(shape if shape else ()), zeros, x.data)
    return builder.define(replace(x, name=builder.fresh(f"{x.name}_dead"), data=data))


def _dequantize_blocks(builder: GraphBuilder, node: OnnxNode, x: Value) -> None:
    """Weights with a scale for each block of rows: dequantized block by block, and joined."""
    size, axis = node.integer("block_size", 0), node.integer("axis", 1) % max(len(x.shape), 1)
    scales = scale_of(builder, node, 1)
    zeros = np.zeros(scales.shape, np.int32)
    if node.input(2):
        zeros = np.asarray(builder.array(node.input(2), "zero point"), np.int32)
    blocks = -(-x.shape[axis] // size)
    if len(x.shape) != 2 or scales.shape != (*x.shape[:axis], blocks, *x.shape[axis + 1 :]):
        raise RefusedError(
            f"operand '{x.name}' must be a matrix, one scale for each block, where it has blocks"
        )
    assert x.data is not None
    low, high = x.element.limits
    parts = []
    for block in range(blocks):
        data = x.data.take(range(block * size, min((block + 1) * size, x.shape[axis])), axis)
        row, zero = (np.asarray(v.take(block, axis)) for v in (scales, zeros))
        name = builder.fresh(f"{x.name}_block{block}")
        meaning = Quantization(row, zero, low, high, 1 - axis)
        builder.define(Value(name, data.shape, x.element, meaning, data))
        output = builder.fresh(f"{node.output}_block{block}")
        parts.append(builder.emit(node, "Dequantize", (name,), output=output))
    builder.emit(node, "Concat", tuple(parts), {"axis": axis})


def clip_codes(builder: GraphBuilder, node: OnnxNode) -> None:
    """Clip between a quantizer and a dequantizer: the same codes in a narrower range."""
    low, high = builder.value(node.required(0)).element.limits
    restrict_codes(builder, node, _bound(builder, node, 1, low), _bound(builder, node, 2, high))


def restrict_codes(builder: GraphBuilder, node: OnnxNode, low: int, high: int) -> None:
    """The node's input in a range. Whether the integers mean something may only be known later."""
    x = builder.value(node.required(0))
    lowest, highest = x.element.limits
    low, high = max(low, lowest), min(high, highest)
    if low > high:
        raise ModelError(
            f"Clip's min must be at most its max, not {low} > {high} (node '{node.name}')"
        )
    quantization = x.quantization
    if quantization is None:
        builder.ranges[node.output] = (low, high)
    else:
        quantization = quantization.within(low, high)
    builder.emit(node, "Requantize", (x.name,), element=x.element, quantization=quantization)


def _shift(x: Value, meaning: Quantization) -> float | None:
    """The power of two between the scale that codes were written with and the one they are read
    with, None where it is something else (or 1).

    Brevitas truncates sums so: it quantizes with a scale of 2^t s and dequantizes with s.
    """
    written = x.quantization
    if written is None or x.is_constant or written.axis is not None or meaning.axis is not None:
        return None
    factor = float(meaning.scale[0]) / float(written.scale[0])
    power = frexp(factor)[0] == 0.5 and factor != 1
    return factor if power and written.zero_point[0] == meaning.zero_point[0] else None


def _bound(builder: GraphBuilder, node: OnnxNode, index: int, default: int) -> int:
    name = node.input(index)
    return int(np.asarray(builder.array(name, "bound")).item()) if name else default


def _refuse_blocks(node: OnnxNode) -> None:
    if node.integer("block_size", 0):
        raise RefusedError(
            "block_size must be 0: one scale for a tensor or for each index of an axis"
        )


def _declared_type(node: OnnxNode, attribute: str) -> ElementType | None:
    code = node.integer(attribute, 0)
    return element_type(ir.DataType(code), f"{attribute} of node '{node.name}'") if code else None
