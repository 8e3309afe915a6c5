"""Per-channel symmetric weights and their integer biases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CHUNK_ELEMENTS = 1 << 20
# A long row's scale is chosen from this many of its weights, evenly spread.
SAMPLED_PER_CHANNEL = 4096
CLIP_RATIOS = np.linspace(1.0, 0.4, 31)
DEAD_CHANNEL = np.float32(1e-7)
INT32_MAX = 2**31 - 1
# How much of it weights and bias may fill; the rest is for the correction of the bias.
FILL = 0.98


@dataclass(frozen=True)
class QuantizedWeight:
    """One layer's integers.

    values: int8, shaped as the float weight, round(w / scale). scales: float32 [channels] along
    `axis`. bits: how many of the eight are used. bias: int32 [channels] in units of bias_scales,
    which are input scale x scales, or None.
    """

    values: NDArray[np.int8]
    scales: NDArray[np.float32]
    axis: int
    bits: int
    bias: NDArray[np.int32] | None
    bias_scales: NDArray[np.float32]

    def real_values(self) -> NDArray[np.float32]:
        """The weights that the integers stand for."""
        shape = [1] * self.values.ndim
        shape[self.axis] = -1
        return np.asarray(self.values * self.scales.reshape(shape), np.float32)

    def real_bias(self) -> NDArray[np.float32] | None:
        """The bias that its integers stand for."""
        return None if self.bias is None else (self.bias * self.bias_scales).astype(np.float32)


# Codes int8 for rows [channels, weights] and their scales [channels], within the lowest and the
# highest code.
Rounder = Callable[[NDArray[np.float32], NDArray[np.float32], int, int], NDArray[np.int8]]


@dataclass(frozen=True)
class LayerInput:
    """What a layer reads: its smallest step, the largest |q - zero_point|, and its mean values.

    means: float64 [groups, weights per channel], the mean of the input that each weight multiplies;
    a convolution in groups has one row per group.
    """

    scale: np.float32
    reach: int
    means: NDArray[np.float64]


def quantize_weight(
    weight: NDArray[np.float32],
    bias: NDArray[np.float32] | None,
    axis: int,
    bits: int,
    source: LayerInput,
    rounder: Rounder | None = None,
) -> QuantizedWeight:
    """Quantize one layer's weights, per output channel along `axis`, and its bias.

    A channel's scale is widened where its int32 accumulator could otherwise overflow. The bias also
    takes back what rounding the weights adds to the channel's mean output (Nagel et al. 2019, bias
    correction), which at 4 bits is the larger part of the error. rounder: chooses the codes for the
    scales; None takes the nearest.
    """
    front = np.moveaxis(weight, axis, 0)
    rows = front.reshape(len(front), -1)
    biases = np.zeros(len(rows), np.float32) if bias is None else bias
    values, scales = _quantized_rows(rows, biases, bits, source)
    if rounder is not None:
        codes = rounder(rows, scales, *_bounds(bits))
        steps = biases / (source.scale * scales)
        fits = _overflow(codes, steps, source.reach) <= 1
        values = np.where(fits[:, None], codes, values)
    bias_scales = (source.scale * scales).astype(np.float32)
    return QuantizedWeight(
        values=np.ascontiguousarray(np.moveaxis(values.reshape(front.shape), 0, axis)),
        scales=scales,
        axis=axis,
        bits=bits,
        bias=None if bias is None else _corrected_bias(rows, bias, values, scales, source),
        bias_scales=bias_scales,
    )


def channel_scales(
    rows: NDArray[np.float32], biases: NDArray[np.float32], bits: int, scale: float, reach: int
) -> NDArray[np.float32]:
    """The scales [channels] that `quantize_weight` would choose for rows [channels, weights].

    scale, reach: step and largest |q - zero_point| of what the layer reads.
    """
    source = LayerInput(np.float32(scale), reach, np.zeros((1, rows.shape[1])))
    return _quantized_rows(rows, biases, bits, source)[1]


def _quantized_rows(
    rows: NDArray[np.float32], biases: NDArray[np.float32], bits: int, source: LayerInput
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Integers and scales of rows [channels, weights], some channels at a time."""
    scales = np.empty(len(rows), np.float32)
    values = np.empty(rows.shape, np.int8)
    largest = _largest(rows)
    for chunk in _chunks(rows):
        chosen = _channel_scales(rows[chunk], largest[chunk], bits)
        chosen = np.maximum(chosen, _bias_floor(biases[chunk], source.scale))
        quantized = _rounded(rows[chunk], chosen, bits)
        overflow = _overflow(quantized, biases[chunk] / (source.scale * chosen), source.reach)
        if (overflow > 1).any():
            chosen = chosen * np.where(overflow > 1, overflow * np.float32(1.01), np.float32(1))
            quantized = _rounded(rows[chunk], chosen, bits)
        scales[chunk], values[chunk] = chosen, quantized
    return values, scales


def _corrected_bias(
    rows: NDArray[np.float32],
    bias: NDArray[np.float32],
    values: NDArray[np.int8],
    scales: NDArray[np.float32],
    source: LayerInput,
) -> NDArray[np.int32]:
    """The bias less the mean that rounding the weights adds, in input x weight scales."""
    shift = np.empty(len(rows), np.float64)
    group_of_row = np.arange(len(rows)) * len(source.means) // max(len(rows), 1)
    for chunk in _chunks(rows):
        error = values[chunk] * scales[chunk, None] - rows[chunk]
        shift[chunk] = np.einsum("cw,cw->c", error, source.means[group_of_row[chunk]])
    units = (source.scale * scales).astype(np.float64)
    return np.rint((bias - shift) / units).astype(np.int32)


def _chunks(rows: NDArray[np.float32]) -> Iterator[slice]:
    """Slices of whole rows, about CHUNK_ELEMENTS each: temporaries stay small."""
    step = max(1, CHUNK_ELEMENTS // max(rows.shape[1], 1))
    for start in range(0, len(rows), step):
        yield slice(start, start + step)


def _largest(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest |weight| per channel. A dead channel gets a sliver of the layer's, not zero."""
    largest = np.maximum(rows.max(axis=1), -rows.min(axis=1))
    least = (largest.max() or np.float32(1)) * DEAD_CHANNEL
    return np.asarray(np.maximum(largest, least), np.float32)


def _channel_scales(
    rows: NDArray[np.float32], largest: NDArray[np.float32], bits: int
) -> NDArray[np.float32]:
    """Scale [channels] of rows [channels, weights] with the least squared error over clip ratios.

    At 8 bits clipping gains nothing, so the largest weight sets the scale.
    """
    full: NDArray[np.float32] = (largest / (2 ** (bits - 1) - 1)).astype(np.float32)
    if bits == 8:
        return full
    sample = rows[:, :: -(-rows.shape[1] // SAMPLED_PER_CHANNEL)]
    best, least = full.copy(), np.full(len(rows), np.inf, np.float32)
    for ratio in CLIP_RATIOS.astype(np.float32):
        scales = full * ratio
        quantized = np.clip(np.rint(sample / scales[:, None]), *_bounds(bits))
        quantized *= scales[:, None]
        quantized -= sample
        error = np.einsum("cw,cw->c", quantized, quantized)
        better = error < least
        best[better], least[better] = scales[better], error[better]
    return best


def _rounded(rows: NDArray[np.float32], scales: NDArray[np.float32], bits: int) -> NDArray[np.int8]:
    quantized = np.clip(np.rint(rows / scales[:, None]), *_bounds(bits))
    return np.asarray(quantized, np.int8)


def _bounds(bits: int) -> tuple[int, int]:
    """Smallest and largest weight. At 8 bits -128 stays unused, which keeps the range symmetric."""
    return (-127, 127) if bits == 8 else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _bias_floor(biases: NDArray[np.float32], input_scale: np.float32) -> NDArray[np.float32]:
    """The least scale [channels] at which the bias takes up under half of an int32."""
    half = np.float64(INT32_MAX // 2)
    return np.asarray(np.abs(biases) / (np.float64(input_scale) * half), np.float32)


def _overflow(
    values: NDArray[np.int8], bias_steps: NDArray[np.float32], input_reach: int
) -> NDArray[np.float32]:
    """The largest possible |accumulator| over what int32 allows, [channels]."""
    magnitude = np.abs(values.astype(np.int16)).sum(axis=1, dtype=np.int64)
    return np.asarray(
        (magnitude * input_reach + np.abs(bias_steps)) / (FILL * INT32_MAX), np.float32
    )
