"""Sums and means of many, norms, and triangles of matrices, as simpler operators."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from onnx import NodeProto, helper

from zapdeploy.simplify.registry import expands
from zapdeploy.simplify.walking import Place


@expands("Sum", "Mean")
def of_many(place: Place) -> Iterable[NodeProto] | None:
    """One addition after the other."""
    out, names = place.writer(), list(place.node.input)
    mean = place.node.op_type == "Mean"
    total = names[0]
    for index, name in enumerate(names[1:], 1):
        last = index == len(names) - 1 and not mean
        total = out.node("Add", total, name, output=place.output(0) if last else "")
    if mean:
        share = out.constant("share", 1 / len(names))
        out.node("Mul", total, share, output=place.output(0))
    elif len(names) == 1:
        out.node("Identity", total, output=place.output(0))
    return out.nodes


@expands("LpNormalization")
def lp_normalization(place: Place) -> Iterable[NodeProto] | None:
    """x over its norm along an axis; 0 where the norm is 0."""
    out, attributes = place.writer(), place.attributes
    x, axis, p = place.input(0), attributes.get("axis", -1), attributes.get("p", 2)
    size = out.node("Abs", x) if p == 1 else out.node("Mul", x, x)
    axes = out.constant("axes", [axis])
    norm = out.node("ReduceSum", size, axes, keepdims=1)
    norm = norm if p == 1 else out.node("Sqrt", norm)
    zero = out.node("Equal", norm, out.constant("zero", 0.0))
    norm = out.node("Where", zero, out.constant("one", 1.0), norm)
    out.node("Div", x, norm, output=place.output(0))
    return out.nodes


@expands("LRN")
def local_response_normalization(place: Place) -> Iterable[NodeProto] | None:
    """x / (bias + alpha / size * sum of x^2 over neighbouring channels) ^ beta."""
    out, attributes, x = place.writer(), place.attributes, place.input(0)
    size = attributes["size"]
    if len(place.shape(x)) != 4:
        return None
    front, back = (size - 1) // 2, size // 2
    square = out.unsqueeze(out.node("Mul", x, x), 1)
    mean = out.node("AveragePool", square, kernel_shape=[size, 1, 1], count_include_pad=1,
                    pads=[front, 0, 0, back, 0, 0])  # fmt: skip
    scaled = out.node("Mul", out.squeeze(mean, 1), out.constant("a", attributes.get("alpha", 1e-4)))
    base = out.node("Add", scaled, out.constant("bias", attributes.get("bias", 1.0)))
    power = out.node("Pow", base, out.constant("beta", attributes.get("beta", 0.75)))
    out.node("Div", x, power, output=place.output(0))
    return out.nodes


@expands("Trilu")
def triangle(place: Place) -> Iterable[NodeProto] | None:
    """The upper or lower triangle of matrices, zero elsewhere."""
    x, upper = place.input(0), place.attributes.get("upper", 1)
    k = place.value(place.input(1)) if place.input(1) else np.asarray(0)
    kind = place.walk.types[x].tensor_type.elem_type if x in place.walk.types else 0
    if k is None or not kind:
        return None
    out, rank = place.writer(), len(place.shape(x))
    rows, columns = place.length(x, rank - 2), place.length(x, rank - 1)
    whole = np.ones((rows, columns), bool)
    kept = np.triu(whole, int(k.item())) if upper else np.tril(whole, int(k.item()))
    zero = out.constant("zero", np.zeros((), helper.tensor_dtype_to_np_dtype(kind)))
    out.node("Where", out.constant("kept", kept), x, zero, output=place.output(0))
    return out.nodes
