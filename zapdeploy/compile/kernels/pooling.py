"""Pooling of 8-bit tensors [N, C, ...], equal to ONNX Runtime in every bit.

The answers have the channels as neighbours in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from zapdeploy.compile.kernels.elementwise import Quantization
from zapdeploy.compile.kernels.gather import Window
from zapdeploy.compile.kernels.layout import to_channels_first, to_channels_last
from zapdeploy.compile.kernels.requantization import Requantization, requantize

Array = npt.NDArray[Any]


def global_average_pool(x: Array, x_is: Quantization, out_is: Quantization) -> Array:
    """QLinearGlobalAveragePool: [N, C, 1, ...] of the type of x.

    q = clamp(round_half_even(float32(sum x - n z_x) * (s_x / (s_y n))) + z_y) over n positions
    """
    axes = tuple(range(2, x.ndim))
    count = int(np.prod(x.shape[2:], dtype=np.int64))
    acc = x.sum(axis=axes, dtype=np.int32, keepdims=True) - np.int32(count * x_is.zero_point)
    multiplier = np.float32(x_is.scale) / (np.float32(out_is.scale) * np.float32(count))
    return requantize(acc, Requantization(multiplier, out_is.zero_point, x.dtype))


def average_pool(
    x: Array,
    kernel: Sequence[int],
    x_is: Quantization,
    out_is: Quantization,
    *,
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    count_include_pad: bool = False,
) -> Array:
    """QLinearAveragePool, which ONNX Runtime computes in float32.

        v = s_x (x - z_x)
        q = clamp(round_half_even((sum v / n) / s_y + z_y))

    summing a window in the order of its positions; n without the padding unless count_include_pad.
    """
    value = np.float32(x_is.scale) * (x.astype(np.int32) - x_is.zero_point).astype(np.float32)
    window = _window(x, kernel, strides, pads)
    total = _pool(value, window, np.float32(0), np.add)
    count: Any = np.float32(np.prod(kernel))
    if not count_include_pad:
        count = _pool(np.ones((1, 1, *x.shape[2:]), np.float32), window, np.float32(0), np.add)
    limits = np.iinfo(x.dtype)
    scaled = total / count / np.float32(out_is.scale) + np.float32(out_is.zero_point)
    out: Array = np.clip(np.rint(scaled), limits.min, limits.max).astype(x.dtype)
    return out


def max_pool(
    x: Array,
    kernel: Sequence[int],
    *,
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
) -> Array:
    """MaxPool; padding never wins."""
    window = _window(x, kernel, strides, pads, dilations)
    return _pool(x, window, np.iinfo(x.dtype).min, np.maximum)


def _window(
    x: Array,
    kernel: Sequence[int],
    strides: Sequence[int] | None,
    pads: Sequence[int] | None,
    dilations: Sequence[int] | None = None,
) -> Window:
    ones = (1,) * len(kernel)
    return Window(
        channels=x.shape[1],
        kernel=tuple(kernel),
        strides=tuple(strides or ones),
        dilations=tuple(dilations or ones),
        pads=tuple(pads or (0, 0) * len(kernel)),
        groups=1,
    )


def _pool(x: Array, window: Window, start: Any, combine: Callable[..., Array]) -> Array:
    """combine over each window of x [N, C, ...], tap by tap in order, beginning with `start`."""
    inputs = to_channels_last(x)
    sizes = window.output(x.shape[2:])
    out = np.full((x.shape[0], *sizes, x.shape[1]), start, dtype=x.dtype)
    for target, source in _overlaps(window, x.shape[2:], sizes):
        combine(out[:, *target], inputs[:, *source], out=out[:, *target])
    return to_channels_first(out)


def _overlaps(
    window: Window, spatial: tuple[int, ...], sizes: tuple[int, ...]
) -> Iterator[tuple[list[slice], list[slice]]]:
    """For each tap: the outputs for which it falls on the input, and those inputs."""
    for tap in product(*(range(k) for k in window.kernel)):
        target, source = [], []
        for axis, place in enumerate(tap):
            stride, shift = window.strides[axis], place * window.dilations[axis] - window.pads[axis]
            first = max(0, -(shift // stride))
            end = max(first, min(sizes[axis], -((shift - spatial[axis]) // stride)))
            target.append(slice(first, end))
            begin = first * stride + shift
            source.append(slice(begin, begin + (end - first) * stride, stride))
        yield target, source
