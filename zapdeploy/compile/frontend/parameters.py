"""Scales and zero points of a quantizer, checked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from zapdeploy.compile.frontend.errors import RefusedError
from zapdeploy.compile.frontend.graph_builder import GraphBuilder
from zapdeploy.compile.frontend.onnx_node import OnnxNode
from zapdeploy.compile.graph import Array, ElementType, Quantization, Shape, Value
from zapdeploy.errors import ModelError


def scale_of(
    builder: GraphBuilder, node: OnnxNode, index: int, *, may_be_zero: bool = False
) -> Array:
    """The constant scales at an input: float32, positive and finite.

    `may_be_zero`: 0 is read as 1, of constants whose codes the caller makes zero there.
    """
    name = node.required(index)
    builder.real(name)
    scale = np.asarray(builder.array(name, "scale"))
    if may_be_zero:
        scale = np.where(scale == 0, np.float32(1), scale)
    wrong = ~(np.isfinite(scale) & (scale > 0))
    if wrong.any():
        raise ModelError(
            f"scale must be positive and finite, not {scale[wrong].flat[0]:g} "
            f"(node '{node.name}', input '{name}'); export the model again"
        )
    return scale


def zero_point_of(builder: GraphBuilder, node: OnnxNode, index: int) -> Value | None:
    """The constant zero points at an input, None when it is absent."""
    name = node.input(index)
    if not name:
        return None
    builder.array(name, "zero point")
    value = builder.value(name)
    if not value.element.is_integer:
        raise RefusedError(f"zero point must be integers, not {value.element.name} ('{name}')")
    return value


def parameters(
    builder: GraphBuilder,
    node: OnnxNode,
    first: int,
    shape: Shape,
    element: ElementType | None = None,
    axis: int | None = None,
    *,
    may_be_zero: bool = False,
) -> tuple[ElementType, Quantization]:
    """Type and quantization of a tensor of this shape from inputs `first` and `first` + 1.

    The type is the zero point's; `element`, when given, is the one it must have. `axis` is what
    more than one scale runs along. `may_be_zero`: as in scale_of.
    """
    scale = scale_of(builder, node, first, may_be_zero=may_be_zero)
    zero_point = zero_point_of(builder, node, first + 1)
    if zero_point is not None and element is not None and zero_point.element != element:
        raise ModelError(
            f"zero point must be {element.name} like the tensor, not {zero_point.element.name} "
            f"(node '{node.name}')"
        )
    if element is None:
        element = ElementType("uint", 8) if zero_point is None else zero_point.element
    zeros = np.zeros(1, np.int32) if zero_point is None else np.asarray(zero_point.data)
    return element, quantization(node, element, scale, zeros, shape, axis)


def quantization(
    node: OnnxNode,
    element: ElementType,
    scale: Array,
    zero_point: Array,
    shape: Shape,
    axis: int | None,
) -> Quantization:
    """Per tensor for one scale, otherwise along `axis`, which must have one for each index."""
    low, high = element.limits
    found = Quantization(scale.ravel(), zero_point.ravel(), low, high)
    if scale.size == 1 and zero_point.size == 1:
        return found
    if scale.ndim > 1 or axis is None:
        raise RefusedError("scales must be one for the tensor or one for each index of an axis")
    if scale.size > 1 and zero_point.size not in (1, scale.size):
        raise ModelError(
            f"zero points must be as many as scales, {scale.size}, not {zero_point.size} "
            f"(node '{node.name}'); export the model again"
        )
    if not -len(shape) <= axis < len(shape) or shape[axis] != scale.size:
        length = shape[axis] if -len(shape) <= axis < len(shape) else "no such axis"
        fitting = [index for index, found in enumerate(shape) if found == scale.size]
        advice = f"set its attribute axis to {fitting[0]}, or " if len(fitting) == 1 else ""
        raise ModelError(
            f"scales along axis {axis} must be as many as its length, {length}, "
            f"not {scale.size} (node '{node.name}'); {advice}export the model again"
        )
    zeros = np.broadcast_to(zero_point.ravel().astype(np.int32), scale.shape).copy()
    return replace(found, zero_point=zeros, axis=axis % len(shape))
