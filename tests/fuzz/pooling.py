"""Pools by their definition, in any type. onnx's reference implementation strays where `ceil_mode`
lets the last window of AveragePool reach beyond the padding, and mixes up MaxPool's pads that are
not alike; ONNX Runtime pads MaxPool by itself as if there were no dilations.

A tap counts where it lies on the input, or with `count_include_pad` on the input's padding; what a
window reaches beyond both is nothing. A window that would begin behind input and padding at the
front is left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tests.compile.frontend.onnx_files import Array


def pool(op: str, x: Array, attributes: Mapping[str, Any]) -> Array:
    """AveragePool or MaxPool of x [N, C, *S]."""
    rank = x.ndim - 2
    kernel = attributes["kernel_shape"]
    strides = attributes.get("strides", [1] * rank)
    dilations = attributes.get("dilations", [1] * rank)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    front, back = _pads(x.shape[2:], spans, strides, attributes)
    lengths = [
        _positions(n + f + b - s, step, n + f, attributes.get("ceil_mode", 0))
        for n, f, b, s, step in zip(x.shape[2:], front, back, spans, strides, strict=True)
    ]
    out = np.zeros((*x.shape[:2], *lengths), x.dtype)
    for place in itertools.product(*map(range, lengths)):
        taps, counted = [], 1
        for axis, position in enumerate(place):
            begin = position * strides[axis] - front[axis]
            all_taps = begin + dilations[axis] * np.arange(kernel[axis])
            low, high = 0, x.shape[2 + axis]
            taps.append(all_taps[(all_taps >= low) & (all_taps < high)])
            if attributes.get("count_include_pad", 0):
                low, high = -front[axis], high + back[axis]
            counted *= int(((all_taps >= low) & (all_taps < high)).sum())
        window = x[(slice(None), slice(None), *np.ix_(*taps))]
        axes = tuple(range(2, x.ndim))
        mean = op == "AveragePool"
        out[(slice(None), slice(None), *place)] = (
            window.sum(axis=axes) / counted if mean else window.max(axis=axes)
        )
    return out


def _positions(room: int, stride: int, begins: int, ceil_mode: int) -> int:
    if not ceil_mode:
        return room // stride + 1
    found = -(-room // stride) + 1
    return found - 1 if (found - 1) * stride >= begins else found


def _pads(
    lengths: Sequence[int],
    spans: Sequence[int],
    strides: Sequence[int],
    attributes: Mapping[str, Any],
) -> tuple[list[int], list[int]]:
    """Padding in front and behind, by dimension."""
    auto = attributes.get("auto_pad", "NOTSET")
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        pads = attributes.get("pads", [0] * 2 * len(lengths))
        return list(pads[: len(lengths)]), list(pads[len(lengths) :])
    total = [
        max((-(-n // step) - 1) * step + s - n, 0)
        for n, s, step in zip(lengths, spans, strides, strict=True)
    ]
    less, more = [t // 2 for t in total], [t - t // 2 for t in total]
    return (less, more) if auto == "SAME_UPPER" else (more, less)
