"""Exact sums of integer products through a float matrix product, on any machine.

A float32 holds every integer up to 2^24 in magnitude. While the sum of |x w| over a stretch of the
reduction stays within that, the float32 product is exact, in whatever order the library adds. So
the reduction is cut into stretches by the largest |x| that can occur and the real |w|; most layers
need no cut. Where float32 would need many, float64 (2^53) takes over.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from zapdeploy.arrays import Array
from zapdeploy.compile.kernels.gather import Gather
from zapdeploy.compile.kernels.product import Layer
from zapdeploy.compile.kernels.requantization import requantize_columns

CHUNK_BYTES = 4 << 20  # of gathered inputs at a time, to stay in the cache
MOST_FLOAT32_PARTS = 2  # a float64 product takes twice the time of a float32 one


def _largest_input(layer: Layer) -> int:
    """The largest |x - x_zero_point| that the input's type allows."""
    limits = np.iinfo(layer.x_dtype)
    return max(abs(int(limits.min) - layer.x_zero_point), abs(int(limits.max) - layer.x_zero_point))


def exact_cuts(weights: Array, largest_input: int, limit: int) -> list[int]:
    """Ends of stretches of the reduction within which sum |x w| <= limit. weights: [..., K]."""
    magnitude = np.abs(weights.astype(np.int64)).reshape(-1, weights.shape[-1]) * largest_input
    sums = np.concatenate(
        [np.zeros((len(magnitude), 1), np.int64), magnitude.cumsum(axis=1)], axis=1
    )
    cuts = [0]
    while cuts[-1] < weights.shape[-1]:
        fits = (sums - sums[:, cuts[-1], None]).max(axis=0, initial=0) <= limit
        end = int(np.flatnonzero(fits)[-1])
        cuts.append(max(end, cuts[-1] + 1))
    return cuts[1:]


def _stretches(weights: Array, largest_input: int) -> tuple[list[int], np.dtype[Any]]:
    """The cuts of the reduction, and the float type for which they are exact."""
    largest_product = largest_input * int(np.abs(weights.astype(np.int64)).max(initial=0))
    if largest_product <= 1 << 24:
        cuts = exact_cuts(weights, largest_input, 1 << 24)
        if len(cuts) <= MOST_FLOAT32_PARTS:
            return cuts, np.dtype(np.float32)
    return exact_cuts(weights, largest_input, 1 << 53), np.dtype(np.float64)


class BlasProduct:
    """A layer with its weights as float columns."""

    step = 1

    def __init__(self, layer: Layer) -> None:
        groups, outputs = layer.columns
        self._columns = groups, outputs
        self.operand = layer.x_dtype
        self._x_zero_point = layer.x_zero_point
        self._bias = layer.bias
        self._requantization = layer.requantization
        weights = layer.weights.reshape(groups, outputs, -1)
        self._cuts, self._dtype = _stretches(weights, _largest_input(layer))
        self._weights = np.ascontiguousarray(weights.transpose(0, 2, 1), dtype=self._dtype)
        if layer.requantization is not None:
            self._multipliers = layer.multipliers()

    def __call__(self, x: Array, gather: Gather) -> Array:
        groups, outputs = self._columns
        acc = np.empty((gather.rows.size, groups, outputs), dtype=np.int32)
        chunk = max(1, CHUNK_BYTES // (self._dtype.itemsize * max(1, self._weights.shape[1])))
        for group in range(groups):
            for start in range(0, gather.rows.size, chunk):
                rows = gather.rows[start : start + chunk] + group * gather.group_stride
                acc[start : start + chunk, group] = self._sums(x, rows, gather, group)
        return self._finish(acc, gather.groups_outermost)

    def _sums(
        self, x: Array, rows: npt.NDArray[np.int64], gather: Gather, group: int
    ) -> npt.NDArray[np.int32]:
        """int32 [rows, outputs] of one group."""
        runs = np.lib.stride_tricks.sliding_window_view(x, gather.run)
        inputs = runs[rows[:, None] + gather.taps].reshape(rows.size, -1).astype(self._dtype)
        inputs -= self._x_zero_point
        total = np.broadcast_to(self._bias[group], (rows.size, self._columns[1])).astype(np.int64)
        start = 0
        for end in self._cuts:
            total += (inputs[:, start:end] @ self._weights[group, start:end]).astype(np.int64)
            start = end
        return total.astype(np.int32)

    def _finish(self, acc: npt.NDArray[np.int32], groups_outermost: bool) -> Array:
        """acc [P, G, O] requantized if asked for, and in the shape that the caller wants."""
        result: Array = acc.reshape(len(acc), acc.shape[1] * acc.shape[2])
        if self._requantization is not None:
            result = requantize_columns(result, self._multipliers.reshape(-1), self._requantization)
        if groups_outermost:
            return np.ascontiguousarray(result.reshape(acc.shape).transpose(1, 0, 2))
        return result
