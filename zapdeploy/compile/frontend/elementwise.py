"""Elementwise operators, normalizations and reductions: the vector unit's work."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from zapdeploy.compile.frontend.draft import Draft
from zapdeploy.compile.frontend.errors import RefusedError
from zapdeploy.compile.frontend.onnx_node import MICROSOFT, OnnxNode
from zapdeploy.compile.frontend.qdq import clip_codes, restrict_codes
from zapdeploy.compile.frontend.registry import translates
from zapdeploy.compile.frontend.tensors import element_type
from zapdeploy.compile.graph import Attribute


@translates("Gelu", "FastGelu", domains=(MICROSOFT,))
def microsoft_gelu(draft: Draft, node: OnnxNode) -> None:
    x = draft.real(node.required(0)).name
    if node.op == "FastGelu" and node.input(1):
        biased = draft.fresh(f"{node.output}_biased")
        x = draft.emit(node, "Add", (x, draft.real(node.input(1)).name), output=biased)
    draft.emit(node, "Gelu", (x,), {"approximate": "none" if node.op == "Gelu" else "tanh"})


@translates("Relu")
def relu(draft: Draft, node: OnnxNode) -> None:
    """On integers (opset 14) it is max(q, 0), which is Relu of codes whose zero point is 0."""
    x = draft.value(node.required(0))
    if x.element.is_integer and x.quantization is None:
        restrict_codes(draft, node, 0, x.element.limits[1])
        return
    if x.element.is_integer and x.quantization is not None:
        if x.quantization.zero_point.any():
            raise RefusedError("input must have zero point 0 for a Relu on integers")
        draft.emit(node, "Relu", (x.name,), element=x.element, quantization=x.quantization)
        return
    draft.emit(node, "Relu", (draft.real(x.name).name,))


@translates("Clip")
def clip(draft: Draft, node: OnnxNode) -> None:
    if draft.value(node.required(0)).element.is_integer:
        clip_codes(draft, node)
        return
    x = draft.real(node.required(0))
    low, high = -np.inf, np.inf
    if node.input(1):
        low = float(draft.array(node.input(1), "min").item())
    if node.input(2):
        high = float(draft.array(node.input(2), "max").item())
    draft.emit(node, "Clip", (x.name,), {"low": low, "high": high})


@translates("Identity", "Dropout")
def identity(draft: Draft, node: OnnxNode) -> None:
    """Removed later: a reshape to the same shape."""
    if len(node.outputs) > 1:
        raise RefusedError("the mask output must not be used")
    if len(node.inputs) > 2 and draft.array(node.input(2), "training_mode").any():
        raise RefusedError("training_mode must be false; export the model for inference")
    x = draft.value(node.required(0))
    draft.emit(
        node, "Reshape", (x.name,), shape=x.shape, element=x.element, quantization=x.quantization
    )


@translates("Cast")
def cast(draft: Draft, node: OnnxNode) -> None:
    x = draft.value(node.required(0))
    target = element_type(ir.DataType(node.integer("to", 0)), f"result of node '{node.name}'")
    if x.quantization is not None:
        raise RefusedError("input must not be quantized codes; put a DequantizeLinear before it")
    if x.element.kind == "float" and target.is_integer and target.bits < 8:
        raise RefusedError(
            f"result must have at least 8 bits, not {target.name}; "
            "put a QuantizeLinear in its place"
        )
    draft.emit(node, "Cast", (x.name,), element=target)


@translates("BatchNormalization")
def batch_normalization(draft: Draft, node: OnnxNode) -> None:
    """y = x a + b with constants a and b per channel; folded into a convolution where possible."""
    x = draft.real(node.required(0))
    if node.integer("training_mode", 0) or len(node.outputs) > 1:
        raise RefusedError("training_mode must be 0; export the model for inference")
    scale, bias, mean, variance = (
        np.asarray(draft.array(node.required(i), "parameters"), np.float64) for i in range(1, 5)
    )
    factor = scale / np.sqrt(variance + node.number("epsilon", 1e-5))
    if len(x.shape) < 2 or factor.shape != (x.shape[1],):
        raise RefusedError(f"parameters must have one entry per channel of {list(x.shape)}")
    column = (x.shape[1], *(1 for _ in x.shape[2:]))
    a = draft.constant(f"{node.name}_factor", factor.reshape(column))
    b = draft.constant(f"{node.name}_offset", (bias - mean * factor).reshape(column))
    scaled = draft.emit(node, "Mul", (x.name, a), output=draft.fresh(f"{node.output}_scaled"))
    draft.emit(node, "Add", (scaled, b))


@translates("LayerNormalization", "RMSNormalization")
def normalization(draft: Draft, node: OnnxNode) -> None:
    if len(node.outputs) > 1:
        raise RefusedError("mean and inverse deviation must not be used as outputs")
    names = tuple(draft.real(name).name if name else "" for name in node.inputs)
    attributes: dict[str, Attribute] = {
        "axis": node.integer("axis", -1),
        "epsilon": node.number("epsilon", 1e-5),
    }
    draft.emit(node, node.op, names, attributes)


@translates("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin")
def reduction(draft: Draft, node: OnnxNode) -> None:
    """The axes are an attribute in older opsets, an input in newer ones."""
    x = draft.plain(node.required(0))
    axes = node.integers("axes")
    if node.input(1):
        axes = tuple(int(v) for v in draft.array(node.input(1), "axes").ravel())
    if not axes:
        axes = () if node.integer("noop_with_empty_axes", 0) else tuple(range(len(x.shape)))
    attributes: dict[str, Attribute] = {"axes": axes, "keepdims": node.integer("keepdims", 1)}
    draft.emit(node, node.op, (x.name,), attributes, element=x.element)
