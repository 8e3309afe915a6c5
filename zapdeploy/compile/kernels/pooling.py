"""Pooling of 8-bit tensors [N, C, ...], equal to ONNX Runtime in every bit.

The answers have the channels as neighbours in memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zapdeploy.arrays import Array
from zapdeploy.compile.kernels.elementwise import Quantization
from zapdeploy.compile.kernels.gather import Window, convolution_gather
from zapdeploy.compile.kernels.jit import compiled
from zapdeploy.compile.kernels.layout import to_channels_first, to_channels_last
from zapdeploy.compile.kernels.operands import padded
from zapdeploy.compile.kernels.requantization import Requantization, requantize


def global_average_pool(x: Array, x_is: Quantization, out_is: Quantization) -> Array:
    """QLinearGlobalAveragePool: [N, C, 1, ...] of the type of x.

    q = clamp(round_half_even(float32(sum x - n z_x) * (s_x / (s_y n))) + z_y) over n positions
    """
    axes = tuple(range(2, x.ndim))
    count = int(np.prod(x.shape[2:], dtype=np.int64))
    acc = x.sum(axis=axes, dtype=np.int32, keepdims=True) - np.int32(count * x_is.zero_point)
    multiplier = np.float32(x_is.scale) / (np.float32(out_is.scale) * np.float32(count))
    return requantize(acc, Requantization(multiplier, out_is.zero_point, x.dtype))


@compiled
def _max(x: Array, rows: Array, taps: Array, out: Array) -> None:
    for p in range(rows.size):
        best = out[p]
        for t in range(taps.size):
            first = rows[p] + taps[t]
            inputs = x[first : first + best.size]
            for c in range(best.size):  # indices that cannot be negative, so that it is vectorized
                best[c] = max(best[c], inputs[c])


def max_pool(
    x: Array,
    kernel: Sequence[int],
    *,
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
) -> Array:
    """MaxPool of uint8 or int8; padding never wins."""
    window = Window(
        channels=x.shape[1],
        kernel=tuple(kernel),
        strides=tuple(strides),
        dilations=tuple(dilations),
        pads=tuple(pads),
        groups=1,
    )
    lowest = int(np.iinfo(x.dtype).min)
    gather = convolution_gather(window, x.shape[0], x.shape[2:])
    taps = (gather.taps[:, None] + np.arange(0, gather.run, x.shape[1])).reshape(-1)
    inputs = padded(to_channels_last(x), window, lowest, x.dtype, 0)
    out = np.full((gather.rows.size, x.shape[1]), lowest, dtype=x.dtype)
    _max(inputs, gather.rows, taps, out)
    return to_channels_first(out.reshape(*gather.row_shape, x.shape[1]))
