"""Padding that no value is: what TensorFlow's exporters write before a largest value is taken."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from onnx import NodeProto, helper

from zapdeploy.simplify.registry import expands
from zapdeploy.simplify.walking import Place

LOWEST = float(np.finfo(np.float32).min)


@expands("MaxPool")
def pool_of_padded(place: Place) -> Iterable[NodeProto] | None:
    """MaxPool(Pad(x) with minus infinity) pads x itself: the largest value never lies outside."""
    attributes, source = place.attributes, place.input(0)
    made = next((n for n in reversed(place.walk.nodes) if source in n.output), None)
    if made is None or made.op_type != "Pad" or len(place.node.output) > 1:
        return None
    if attributes.get("auto_pad", "NOTSET") != "NOTSET" or len(made.input) > 3:
        return None
    pads, value = place.value(made.input[1]), _padding(place, made)
    kernel = attributes["kernel_shape"]
    rank = len(kernel) + 2
    if value is None or value > LOWEST or pads is None or len(pads) != 2 * rank:
        return None
    total = np.asarray(attributes.get("pads", [0] * 2 * len(kernel))).reshape(2, -1)
    each = np.asarray(pads).reshape(2, rank)
    total = total + each[:, 2:]
    # ONNX wants windows that each hold a value.
    if each[:, :2].any() or (each < 0).any() or (total >= np.asarray(kernel)).any():
        return None
    attributes["pads"] = [int(v) for v in total.ravel()]
    return [helper.make_node("MaxPool", [made.input[0]], list(place.node.output), place.name,
                             **attributes)]  # fmt: skip


def _padding(place: Place, pad: NodeProto) -> float | None:
    """The number that a Pad writes; None where it writes something else or is not known."""
    mode = next((helper.get_attribute_value(a) for a in pad.attribute if a.name == "mode"), b"")
    if mode not in (b"", b"constant"):
        return None
    if len(pad.input) < 3 or not pad.input[2]:
        return 0.0
    value = place.value(pad.input[2])
    return None if value is None else float(value.ravel()[0])
