"""Scales for single indices of a dimension (for each neuron), where one for the tensor is coarse.

How far an index reaches is known from few samples. So every index gets the range that it was seen
in, all of them widened or narrowed by one factor: the one with the least absolute error on the
second half of the samples, with ranges from the first half. The same error, against that of one
scale for the tensor, says whether scales of single indices are worth having. Squared errors would
judge by the few values that lie outside a range.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from zapdeploy.arrays import Floats
from zapdeploy.quantize.ranges import Quantizer

ActivationScales = Literal["auto", "per tensor", "per neuron"]

FACTORS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.25, 1.5, 2.0, 3.0)
ROOM = 1.25  # least factor at 8 bits, which has codes to spare for what was not seen ...
MANY_VALUES = 4096  # ... until so many of each index were seen
NARROWEST_SHARE = 2.0**-10  # of the widest index's range: what was seen of an index may be nothing
LEAST_VALUES = 512  # seen of an index, below which "auto" does not judge
WORTH = 0.7  # of the error with one scale: less than that pays for the scales' storage


@dataclass
class IndexRanges:
    """Lowest and highest value of each index of `axis` in either half of the samples [2, count]."""

    axis: int
    low: Floats = field(default_factory=lambda: np.zeros((2, 0), np.float32))
    high: Floats = field(default_factory=lambda: np.zeros((2, 0), np.float32))
    seen: int = 0  # values of each index

    def widen(self, values: Floats, half: int) -> None:
        """Take values of one half (0 or 1) in; zero always belongs to a range."""
        others = tuple(d for d in range(values.ndim) if d != self.axis % values.ndim)
        low, high = values.min(axis=others), values.max(axis=others)
        if not self.low.size:
            self.low, self.high = np.zeros((2, 2, low.size), np.float32)
        self.seen += values.size // low.size
        self.low[half] = np.minimum(self.low[half], low)
        self.high[half] = np.maximum(self.high[half], high)

    def quantizer(self, bits: int, factor: float, *, first_half: bool = False) -> Quantizer:
        """Unsigned codes over `factor` times the range of each index."""
        parts = slice(0, 1) if first_half else slice(0, 2)
        low, high = self.low[parts].min(axis=0) * factor, self.high[parts].max(axis=0) * factor
        levels = 2**bits - 1
        smallest = float(np.finfo(np.float32).tiny) * levels
        least = max(float((high - low).max()) * NARROWEST_SHARE, smallest)
        scale = (np.maximum(high - low, least) / levels).astype(np.float32)
        zero_point = np.clip(np.rint(-low / scale), 0, levels).astype(np.int64)
        return Quantizer(scale, zero_point, bits, self.axis)


@dataclass
class Trial:
    """Absolute errors of one scale for the tensor and of every factor, on samples held back."""

    tensor: Quantizer
    ranges: IndexRanges

    def __post_init__(self) -> None:
        bits, many = self.tensor.bits, self.ranges.seen >= MANY_VALUES
        self._factors = [factor for factor in FACTORS if bits < 8 or many or factor >= ROOM]
        self._tried = [self.ranges.quantizer(bits, f, first_half=True) for f in self._factors]
        self._errors = np.zeros(1 + len(self._factors))

    def add(self, values: Floats, centred: Floats | None = None) -> None:
        """Values of the second half; `centred`: as the ranges saw them, where that differs."""
        self._errors[0] += absolute_error(values, self.tensor)
        for index, quantizer in enumerate(self._tried):
            error = absolute_error(values if centred is None else centred, quantizer)
            self._errors[1 + index] += error

    def choose(self, scales: ActivationScales) -> Quantizer:
        """The tensor's quantizer or, where it is worth it or asked for, one for each index."""
        best = int(np.argmin(self._errors[1:]))
        worth = self._errors[1 + best] <= WORTH * self._errors[0]
        if scales == "auto" and not (worth and self.ranges.seen >= LEAST_VALUES):
            return self.tensor
        return self.ranges.quantizer(self.tensor.bits, self._factors[best])


def absolute_error(values: Floats, quantizer: Quantizer) -> float:
    """The summed absolute error of values [..., count, ...]."""
    scale, zero_point = np.asarray(quantizer.scale), np.asarray(quantizer.zero_point)
    if quantizer.axis is not None:
        shape = [1] * values.ndim
        shape[quantizer.axis] = -1
        scale, zero_point = scale.reshape(shape), zero_point.reshape(shape)
    low = (np.float32(0) - zero_point).astype(np.float32)
    high = (np.float32(quantizer.highest) - zero_point).astype(np.float32)
    codes = np.rint(values / scale)
    np.clip(codes, low, high, out=codes)
    codes *= scale
    codes -= values
    return float(np.abs(codes, out=codes).sum(dtype=np.float64))
