"""Scales and zero points from what a tensor's values were seen to be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 2048
CHUNK_ELEMENTS = 2**16  # temporaries of this size stay in the processor's cache
NARROWEST = 1e-30  # a narrower range counts as a single value; float32 could not divide by its bins
OUTLIERS = 1e-5  # share of values that percentile calibration leaves out at either end
# Candidate clip ratios: the fraction of the seen range that the quantizer keeps at either end.
CLIP_RATIOS = np.linspace(1.0, 0.2, 33)
WHOLE = np.ones(1)


@dataclass(frozen=True)
class Quantizer:
    """q = clamp(round_half_even(x / scale) + zero_point) on [0, 2^bits - 1], unsigned.

    With an `axis`, scale float32 and zero_point int64 have an entry for each of its indices.
    `centre`, float32 [channels] along axis 1, is subtracted before, and its reader's bias makes up
    for it; None: nothing.
    """

    scale: np.float32 | NDArray[np.float32]
    zero_point: int | NDArray[np.int64]
    bits: int
    axis: int | None = None
    centre: NDArray[np.float32] | None = None

    @property
    def highest(self) -> int:
        """The largest quantized value."""
        return int(2**self.bits - 1)

    @property
    def reach(self) -> int:
        """The largest |q - zero_point|: what a multiply-accumulate can meet."""
        zeros = np.asarray(self.zero_point)
        return max(int(zeros.max()), self.highest - int(zeros.min()))


@dataclass(frozen=True)
class Histogram:
    """Counts [BINS] of a tensor's values over equal bins between `low` and `high`."""

    low: float
    high: float
    counts: NDArray[np.int64]

    @property
    def centres(self) -> NDArray[np.float64]:
        width = (self.high - self.low) / BINS
        return np.asarray(self.low + width * (np.arange(BINS) + 0.5), np.float64)


def count_values(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.int64]:
    """How many values lie in each of BINS equal bins between low and high."""
    if high - low < NARROWEST:
        counts = np.zeros(BINS, np.int64)
        counts[BINS // 2] = values.size
        return counts
    bins_per_unit = BINS / (high - low)
    flat, counts = values.ravel(), np.zeros(BINS, np.int64)
    for start in range(0, flat.size, CHUNK_ELEMENTS):
        chunk = flat[start : start + CHUNK_ELEMENTS]
        positions = chunk * np.float32(bins_per_unit) - np.float32(low * bins_per_unit)
        bins = np.clip(positions.astype(np.int32), 0, BINS - 1)
        counts += np.bincount(bins, minlength=BINS)
    return counts


def choose_quantizer(
    histogram: Histogram, bits: int, ratios: NDArray[np.float64] = CLIP_RATIOS
) -> Quantizer:
    """The unsigned quantizer with the least mean squared error over a grid of clip ratios.

    Zero is always representable. A tensor that is never negative gets zero point 0, so that the
    clamp at zero is also the ReLU before it.
    """
    low, high = min(histogram.low, 0.0), max(histogram.high, 0.0)
    levels = 2**bits - 1
    if high - low < float(np.finfo(np.float32).tiny) * levels:
        return Quantizer(np.float32(1.0 / levels), 0, bits)
    low_ends = low * ratios if low < 0 else np.zeros(1)
    high_ends = high * ratios if high > 0 else np.zeros(1)
    lows, highs = (grid.ravel() for grid in np.meshgrid(low_ends, high_ends, indexing="ij"))
    scales = ((highs - lows) / levels).astype(np.float32)
    zero_points = np.clip(np.rint(-lows / scales), 0, levels)
    best = int(np.argmin(_errors(histogram, scales, zero_points, levels)))
    return Quantizer(scales[best], int(zero_points[best]), bits)


def _errors(
    histogram: Histogram,
    scales: NDArray[np.float32],
    zero_points: NDArray[np.float64],
    levels: int,
) -> NDArray[np.float64]:
    """Summed squared error of every candidate [candidates] over the histogram."""
    seen = histogram.counts > 0
    values, counts = histogram.centres[seen], histogram.counts[seen]
    scale = scales.astype(np.float64)[:, None]
    zero = zero_points[:, None]
    quantized = np.clip(np.rint(values / scale) + zero, 0, levels)
    return np.asarray(((quantized - zero) * scale - values) ** 2 @ counts)


def percentile_quantizer(histogram: Histogram, bits: int) -> Quantizer:
    """The unsigned quantizer over the range that leaves out OUTLIERS of the values at either end.

    Zero is always representable; a tensor that is never negative gets zero point 0.
    """
    levels = 2**bits - 1
    share = np.cumsum(histogram.counts) / max(int(histogram.counts.sum()), 1)
    edges = np.linspace(histogram.low, histogram.high, BINS + 1)
    low = min(float(edges[np.searchsorted(share, OUTLIERS, side="right")]), 0.0)
    high = max(float(edges[np.searchsorted(share, 1 - OUTLIERS, side="left") + 1]), 0.0)
    if high - low < float(np.finfo(np.float32).tiny) * levels:
        return Quantizer(np.float32(1.0 / levels), 0, bits)
    scale = np.float32((high - low) / levels)
    return Quantizer(scale, int(np.clip(np.rint(-low / scale), 0, levels)), bits)
