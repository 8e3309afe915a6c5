"""Elementwise operators, normalizations and reductions: the vector unit's work."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from zapdeploy.compile.frontend.errors import RefusedError
from zapdeploy.compile.frontend.graph_builder import GraphBuilder
from zapdeploy.compile.frontend.onnx_node import MICROSOFT, OnnxNode
from zapdeploy.compile.frontend.qdq import clip_codes, restrict_codes
from zapdeploy.compile.frontend.registry import translates
from zapdeploy.compile.frontend.tensors import element_type
from zapdeploy.compile.graph import Attribute


@translates("Gelu", "FastGelu", domains=(MICROSOFT,))
def microsoft_gelu(builder: GraphBuilder, node: OnnxNode) -> None:
    x = builder.real(node.required(0)).name
    if node.op == "FastGelu" and node.input(1):
        biased = builder.fresh(f"{node.output}_biased")
        x = builder.emit(node, "Add", (x, builder.real(node.input(1)).name), output=biased)
    builder.emit(node, "Gelu", (x,), {"approximate": "none" if node.op == "Gelu" else "tanh"})


@translates("Relu")
def relu(builder: GraphBuilder, node: OnnxNode) -> None:
    """On integers (opset 14) it is max(q, 0), which is Relu of codes whose zero point is 0."""
    x = builder.value(node.required(0))
    if x.element.is_integer and x.quantization is None:
        restrict_codes(builder, node, 0, x.element.limits[1])
        return
    if x.element.is_integer and x.quantization is not None:
        if x.quantization.zero_point.any():
            raise RefusedError("input must have zero point 0 for a Relu on integers")
        builder.emit(node, "Relu", (x.name,), element=x.element, quantization=x.quantization)
        return
    builder.emit(node, "Relu", (builder.real(x.name).name,))


@translates("Clip")
def clip(builder: GraphBuilder, node: OnnxNode) -> None:
    if builder.value(node.required(0)).element.is_integer:
        clip_codes(builder, node)
        return
    x = builder.real(node.required(0))
    low, high = -np.inf, np.inf
    if node.input(1):
        low = float(builder.array(node.input(1), "min").item())
    if node.input(2):
        high = float(builder.array(node.input(2), "max").item())
    builder.emit(node, "Clip", (x.name,), {"low": low, "high": high})


@translates("Identity", "Dropout")
def identity(builder: GraphBuilder, node: OnnxNode) -> None:
    """Removed later: a reshape to the same shape."""
    if len(node.outputs) > 1:
        raise RefusedError("the mask output must not be used")
    if len(node.inputs) > 2 and builder.array(node.input(2), "training_mode").any():
        raise RefusedError("training_mode must be false; export the model for inference")
    x = builder.value(node.required(0))
    builder.emit(
        node, "Reshape", (x.name,), shape=x.shape, element=x.element, quantization=x.quantization
    )


@translates("Cast")
def cast(builder: GraphBuilder, node: OnnxNode) -> None:
    x = builder.value(node.required(0))
    target = element_type(ir.DataType(node.integer("to", 0)), f"result of node '{node.name}'")
    if x.quantization is not None:
        raise RefusedError("input must not be quantized codes; put a DequantizeLinear before it")
    if x.element.kind == "float" and target.is_integer and target.bits < 8:
        raise RefusedError(
            f"result must have at least 8 bits, not {target.name}; "
            "put a QuantizeLinear in its place"
        )
    builder.emit(node, "Cast", (x.name,), element=target)


@translates("BatchNormalization")
def batch_normalization(builder: GraphBuilder, node: OnnxNode) -> None:
    """y = x a + b with constants a and b per channel; folded into a convolution where possible."""
    x = builder.real(node.required(0))
    if node.integer("training_mode", 0) or len(node.outputs) > 1:
        raise RefusedError("training_mode must be 0; export the model for inference")
    scale, bias, mean, variance = (
        np.asarray(builder.array(node.required(i), "parameters"), np.float64) for i in range(1, 5)
    )
    factor = scale / np.sqrt(variance + node.number("epsilon", 1e-5))
    if len(x.shape) < 2 or factor.shape != (x.shape[1],):
        raise RefusedError(f"parameters must have one entry per channel of {list(x.shape)}")
    column = (x.shape[1], *(1 for _ in x.shape[2:]))
    a = builder.constant(f"{node.name}_factor", factor.reshape(column))
    b = builder.constant(f"{node.name}_offset", (bias - mean * factor).reshape(column))
    scaled = builder.emit(node, "Mul", (x.name, a), output=builder.fresh(f"{node.output}_scaled"))
    builder.emit(node, "Add", (scaled, b))


@translates("LayerNormalization", "RMSNormalization")
def normalization(builder: GraphBuilder, node: OnnxNode) -> None:
    if len(node.outputs) > 1:
        raise RefusedError("mean and inverse deviation must not be used as outputs")
    names = tuple(builder.real(name).name if name else "" for name in node.inputs)
    attributes: dict[str, Attribute] = {
        "axis": node.integer("axis", -1),
        "epsilon": node.number("epsilon", 1e-5),
    }
    builder.emit(node, node.op, names, attributes)


@translates("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin")
def reduction(builder: GraphBuilder, node: OnnxNode) -> None:
    """The axes are an attribute in older opsets, an input in newer ones."""
    x = builder.plain(node.required(0))
    axes = node.integers("axes")
    if node.input(1):
        axes = tuple(int(v) for v in builder.array(node.input(1), "axes").ravel())
    if not axes:
        axes = () if node.integer("noop_with_empty_axes", 0) else tuple(range(len(x.shape)))
    attributes: dict[str, Attribute] = {"axes": axes, "keepdims": node.integer("keepdims", 1)}
    builder.emit(node, node.op, (x.name,), attributes, element=x.element)
