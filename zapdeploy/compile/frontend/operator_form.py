"""Operator form: integer operators that carry their scales and zero points as inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from zapdeploy.compile.frontend.errors import RefusedError
from zapdeploy.compile.frontend.graph_builder import GraphBuilder
from zapdeploy.compile.frontend.movement import moved
from zapdeploy.compile.frontend.onnx_node import MICROSOFT, STANDARD, OnnxNode
from zapdeploy.compile.frontend.parameters import parameters
from zapdeploy.compile.frontend.registry import translates
from zapdeploy.compile.frontend.windows import convolution_attributes, pooling_attributes
from zapdeploy.compile.graph import INT32, Attribute, Node, Quantization, Value

BOTH = (STANDARD, MICROSOFT)


@translates("QLinearConv", domains=BOTH)
def qlinear_conv(builder: GraphBuilder, node: OnnxNode) -> None:
    """x, w and y with their parameters, then a bias in units of s_x s_w."""
    _refuse_channels_last(node)
    x, w = operand(builder, node, 0), operand(builder, node, 3, axis=0)
    attributes = convolution_attributes(node, x.shape, w.shape)
    bias = matrix_bias(builder, x, w, node.input(8), w.shape[0])
    emit_result(builder, node, "Conv", (x.name, w.name, bias), 6, attributes)


@translates("QLinearMatMul", domains=BOTH)
def qlinear_matmul(builder: GraphBuilder, node: OnnxNode) -> None:
    a, b = operand(builder, node, 0), operand(builder, node, 3, axis=-1)
    emit_result(builder, node, "MatMul", (a.name, b.name), 6)


@translates("QGemm", domains=(MICROSOFT,))
def qgemm(builder: GraphBuilder, node: OnnxNode) -> None:
    """y = alpha A' B' + C with C in units of alpha s_a s_b; y is float32 without a scale."""
    a = operand(builder, node, 0)
    columns = 0 if node.integer("transB", 0) else 1
    b = operand(builder, node, 3, axis=columns, factor=node.number("alpha", 1.0))
    bias = matrix_bias(builder, a, b, node.input(6), b.shape[columns])
    left = _transposed(builder, node, a) if node.integer("transA", 0) else a.name
    right = _transposed(builder, node, b) if node.integer("transB", 0) else b.name
    if node.input(7):
        emit_result(builder, node, "MatMul", (left, right, bias), 7)
    else:
        builder.emit(node, "MatMul", (left, right, bias))


@translates("QLinearAdd", "QLinearMul", domains=(MICROSOFT,))
def qlinear_arithmetic(builder: GraphBuilder, node: OnnxNode) -> None:
    a, b = operand(builder, node, 0), operand(builder, node, 3)
    emit_result(builder, node, node.op.removeprefix("QLinear"), (a.name, b.name), 6)


@translates("QLinearConcat", domains=(MICROSOFT,))
def qlinear_concat(builder: GraphBuilder, node: OnnxNode) -> None:
    """The output's parameters come first; each input brings its own."""
    if len(node.inputs) < 5 or len(node.inputs) % 3 != 2:
        raise RefusedError("inputs must be the output's scale and zero point, then threes")
    values = [operand(builder, node, index) for index in range(2, len(node.inputs), 3)]
    names = tuple(value.name for value in values)
    axis = node.integer("axis", 0) % max(len(values[0].shape), 1)
    emit_result(builder, node, "Concat", names, 0, {"axis": axis})


@translates("QLinearGlobalAveragePool", "QLinearSigmoid", domains=(MICROSOFT,))
def qlinear_unary(builder: GraphBuilder, node: OnnxNode) -> None:
    _refuse_channels_last(node)
    x = operand(builder, node, 0)
    emit_result(builder, node, node.op.removeprefix("QLinear"), (x.name,), 3)


@translates("QLinearAveragePool", domains=(MICROSOFT,))
def qlinear_average_pool(builder: GraphBuilder, node: OnnxNode) -> None:
    _refuse_channels_last(node)
    x = operand(builder, node, 0)
    attributes = pooling_attributes(node, x.shape)
    attributes["count_include_pad"] = node.integer("count_include_pad", 0)
    emit_result(builder, node, "AveragePool", (x.name,), 3, attributes)


@translates("QLinearLeakyRelu", domains=(MICROSOFT,))
def qlinear_leaky_relu(builder: GraphBuilder, node: OnnxNode) -> None:
    x = operand(builder, node, 0)
    emit_result(builder, node, "LeakyRelu", (x.name,), 3, {"alpha": node.number("alpha", 0.01)})


@translates("QLinearSoftmax", domains=(MICROSOFT,))
def qlinear_softmax(builder: GraphBuilder, node: OnnxNode) -> None:
    """Before opset 13 the axes from `axis` on were normalized together."""
    x = operand(builder, node, 0)
    old = node.integer("opset", 13) < 13
    axis = node.integer("axis", 1 if old else -1) % max(len(x.shape), 1)
    if old and axis != len(x.shape) - 1:
        raise RefusedError("axis must be the last one for a softmax of an opset before 13")
    emit_result(builder, node, "Softmax", (x.name,), 3, {"axis": axis})


@translates("DynamicQuantizeLinear")
def dynamic_quantize_linear(builder: GraphBuilder, node: OnnxNode) -> None:
    builder.emit_dynamic_quantizer(node)


@translates("MatMulInteger")
def matmul_integer(builder: GraphBuilder, node: OnnxNode) -> None:
    a, a_zero = _unscaled(builder, node, 0, 2)
    b, b_zero = _unscaled(builder, node, 1, 3, axis=-1)
    builder.emit(node, "MatMul", (a.name, b.name, "", a_zero, b_zero), element=INT32)


@translates("ConvInteger")
def conv_integer(builder: GraphBuilder, node: OnnxNode) -> None:
    x, x_zero = _unscaled(builder, node, 0, 2)
    w, w_zero = _unscaled(builder, node, 1, 3, axis=0)
    attributes = convolution_attributes(node, x.shape, w.shape)
    builder.emit(node, "Conv", (x.name, w.name, "", x_zero, w_zero), attributes, element=INT32)


def operand(
    builder: GraphBuilder, node: OnnxNode, index: int, axis: int | None = None, factor: float = 1.0
) -> Value:
    """The quantized value at inputs `index` (codes), `index` + 1 (scale), `index` + 2 (zero point).

    `factor` multiplies what the codes stand for.
    """
    codes = builder.value(node.required(index))
    _, meaning = parameters(builder, node, index + 1, codes.shape, codes.element, axis)
    if factor != 1:
        if factor <= 0:
            raise RefusedError(f"alpha must be positive, not {factor}")
        meaning = replace(meaning, scale=meaning.scale * np.float32(factor))
    return builder.value(builder.quantize_as(codes.name, meaning))


def emit_result(
    builder: GraphBuilder,
    node: OnnxNode,
    op: str,
    inputs: tuple[str, ...],
    first: int,
    attributes: Mapping[str, Attribute] | None = None,
) -> None:
    """Emit a node whose output has the scale and zero point at inputs `first` and `first` + 1."""
    element, meaning = parameters(builder, node, first, ())
    builder.emit(node, op, inputs, attributes, element=element, quantization=meaning)


def matrix_bias(builder: GraphBuilder, x: Value, w: Value, name: str, columns: int) -> str:
    """The name of an int32 bias in units of the accumulator, empty when there is none."""
    if not name:
        return ""
    bias = builder.value(name)
    if bias.data is None or bias.element != INT32 or bias.size != columns:
        raise RefusedError(f"bias must be a constant of {columns} int32")
    assert x.quantization is not None
    assert w.quantization is not None
    scale = x.quantization.scale * w.quantization.scale
    low, high = INT32.limits
    axis = 0 if scale.size > 1 else None
    meaning = Quantization(scale, np.zeros(scale.shape, np.int32), low, high, axis)
    if bias.shape != (columns,):
        data = bias.data.reshape(columns)
        bias = builder.define(Value(builder.fresh(f"{name}_bias"), (columns,), INT32, data=data))
    return builder.quantize_as(bias.name, meaning)


def _transposed(builder: GraphBuilder, node: OnnxNode, value: Value) -> str:
    if len(value.shape) != 2:
        raise RefusedError(f"input must be a matrix, not {list(value.shape)}")
    attributes: dict[str, Attribute] = {"perm": (1, 0)}
    return builder.emit(
        node,
        "Transpose",
        (value.name,),
        attributes,
        output=builder.fresh(f"{value.name}_transposed"),
        element=value.element,
        quantization=moved(value, Node("", "Transpose", (), (), attributes), value.shape[::-1]),
    )


def _unscaled(
    builder: GraphBuilder, node: OnnxNode, index: int, zero: int, axis: int | None = None
) -> tuple[Value, str]:
    """An operand without a scale, and the name of its zero point where it is no part of it.

    Constant weights are quantized with scale 1 and the zero point; codes that were quantized keep
    their own scale; anything else is plain integers.
    """
    codes = builder.value(node.required(index))
    if not codes.element.is_integer or codes.element.bits > 8:
        raise RefusedError(f"input {index} must be 8-bit integers, not {codes.element.name}")
    zero_name = node.input(zero)
    constant = zero_name == "" or builder.value(zero_name).is_constant
    zeros = np.zeros(1, np.int32)
    if zero_name and constant:
        zeros = np.asarray(builder.array(zero_name, "zero point"), np.int32).ravel()
    if codes.quantization is None and codes.is_constant and constant:
        low, high = codes.element.limits
        count = zeros.size
        along = axis % len(codes.shape) if count > 1 and axis is not None else None
        meaning = Quantization(np.ones(count, np.float32), zeros, low, high, along)
        return builder.value(builder.quantize_as(codes.name, meaning)), ""
    if codes.quantization is None:
        return codes, zero_name
    if not constant or not np.array_equal(zeros, codes.quantization.zero_point):
        raise RefusedError(f"zero point of input {index} must be that of its quantizer")
    return codes, ""


def _refuse_channels_last(node: OnnxNode) -> None:
    if node.integer("channels_last", 0):
        raise RefusedError("channels_last must be 0; export the model with channels first")
