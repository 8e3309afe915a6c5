"""Attributes of sliding windows: defaults, and automatic padding worked out."""

from __future__ import annotations

from zapdeploy.compile.frontend.errors import RefusedError
from zapdeploy.compile.frontend.onnx_node import OnnxNode
from zapdeploy.compile.graph import Attribute, Shape


def convolution_attributes(node: OnnxNode, x: Shape, w: Shape) -> dict[str, Attribute]:
    """strides, dilations, pads and group of a convolution of shapes x and w."""
    if not 3 <= len(x) <= 5 or len(w) != len(x):
        raise RefusedError(
            f"input and weights must have the same 3 to 5 dimensions, not {list(x)} and {list(w)}"
        )
    kernel = node.integers("kernel_shape", w[2:])
    if kernel != w[2:]:
        raise RefusedError(
            f"kernel_shape must be that of the weights, {list(w[2:])}, not {list(kernel)}"
        )
    return {**window_attributes(node, x, kernel), "group": node.integer("group", 1)}


def pooling_attributes(node: OnnxNode, x: Shape) -> dict[str, Attribute]:
    """kernel_shape, strides, dilations, pads and ceil_mode of a pooling of shape x."""
    if len(x) < 3:
        raise RefusedError(f"input must have at least 3 dimensions, not {list(x)}")
    kernel = node.integers("kernel_shape")
    return {
        "kernel_shape": kernel,
        **window_attributes(node, x, kernel),
        "ceil_mode": node.integer("ceil_mode", 0),
    }


def window_attributes(node: OnnxNode, x: Shape, kernel: Shape) -> dict[str, Attribute]:
    """strides, dilations and pads (begins, then ends) over the spatial dimensions of x."""
    rank = len(kernel)
    strides = node.integers("strides", (1,) * rank)
    dilations = node.integers("dilations", (1,) * rank)
    pads = node.integers("pads", (0,) * 2 * rank)
    mode = node.text("auto_pad", "NOTSET")
    if mode == "VALID":
        pads = (0,) * 2 * rank
    elif mode in ("SAME_UPPER", "SAME_LOWER"):
        if not len(x) - 2 == rank == len(strides) == len(dilations):
            raise RefusedError(
                f"kernel_shape, strides and dilations must have {len(x) - 2} numbers"
            )
        pads = _same_pads(x[2:], kernel, strides, dilations, upper=mode == "SAME_UPPER")
    elif mode != "NOTSET":
        raise RefusedError(f"auto_pad must be NOTSET, VALID, SAME_UPPER or SAME_LOWER, not {mode}")
    if min(pads, default=0) < 0:
        raise RefusedError(f"pads must not be negative, not {list(pads)}")
    return {"strides": strides, "dilations": dilations, "pads": pads}


def _same_pads(
    spatial: Shape, kernel: Shape, strides: Shape, dilations: Shape, *, upper: bool
) -> tuple[int, ...]:
    """Padding that gives every stride-th position an output; an odd one at the end if upper."""
    small, large = [], []
    for length, k, stride, dilation in zip(spatial, kernel, strides, dilations, strict=True):
        positions = -(-length // stride)
        total = max((positions - 1) * stride + dilation * (k - 1) + 1 - length, 0)
        small.append(total // 2)
        large.append(total - total // 2)
    return (*small, *large) if upper else (*large, *small)
