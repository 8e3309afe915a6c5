"""Norms and other reductions as sums."""

from __future__ import annotations

from collections.abc import Iterable

from onnx import NodeProto

from zapdeploy.simplify.registry import expands
from zapdeploy.simplify.walking import Place


@expands("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare")
def reduction(place: Place) -> Iterable[NodeProto] | None:
    """ReduceSum of |x|, x^2, x or exp(x), and a root or a logarithm of it."""
    out, kind, x = place.writer(), place.node.op_type, place.input(0)
    attributes = place.attributes
    axes = place.input(1)
    if not axes and "axes" in attributes:  # until opset 17
        axes = out.constant("axes", list(attributes["axes"]))
    kept = {k: attributes[k] for k in ("keepdims", "noop_with_empty_axes") if k in attributes}
    if kind == "ReduceL1":
        x = out.node("Abs", x)
    elif kind in ("ReduceL2", "ReduceSumSquare"):
        x = out.node("Mul", x, x)
    elif kind == "ReduceLogSumExp":
        x = out.node("Exp", x)
    after = {"ReduceL2": "Sqrt", "ReduceLogSum": "Log", "ReduceLogSumExp": "Log"}.get(kind, "")
    inputs = (x, axes) if axes else (x,)
    total = out.node("ReduceSum", *inputs, output="" if after else place.output(0), **kept)
    if after:
        out.node(after, total, output=place.output(0))
    return out.nodes
