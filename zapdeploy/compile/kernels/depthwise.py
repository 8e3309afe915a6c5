"""Convolutions with each channel as its own group: a loop over taps, vectorized over channels."""

from __future__ import annotations

import numpy as np

from zapdeploy.arrays import Array
from zapdeploy.compile.kernels.gather import Gather
from zapdeploy.compile.kernels.jit import compiled
from zapdeploy.compile.kernels.product import Layer
from zapdeploy.compile.kernels.requantization import requantize_columns
from zapdeploy.compile.kernels.threads import run_parts


@compiled
def _sums(
    x: Array,
    rows: Array,
    taps: Array,
    weights: Array,
    correction: Array,
    out: Array,
    start: int,
    stop: int,
) -> None:
    for p in range(start, stop):
        sums = out[p]
        for c in range(sums.size):
            sums[c] = correction[c]
        for t in range(taps.size):
            first = rows[p] + taps[t]
            inputs, factors = x[first : first + sums.size], weights[t]
            for c in range(sums.size):  # indices that cannot be negative, so that it is vectorized
                sums[c] += np.int32(inputs[c]) * np.int32(factors[c])


def supports(layer: Layer) -> bool:
    """Whether every group has one input and one output channel, and the operands are small."""
    alone = layer.weights.shape[1] == 1 and layer.weights.shape[3] == 1
    return alone and layer.x_dtype.itemsize == 1 and layer.weights.dtype.itemsize <= 2


class DepthwiseProduct:
    """A layer with its weights as [taps, channels]."""

    step = 1

    def __init__(self, layer: Layer) -> None:
        self.operand = layer.x_dtype
        correction = layer.bias - layer.x_zero_point * layer.column_sums()
        self._correction = correction[:, 0].astype(np.int32)
        self._weights = np.ascontiguousarray(layer.weights[:, 0, :, 0].T, dtype=np.int16)
        self._requantization = layer.requantization
        if layer.requantization is not None:
            self._multipliers = layer.multipliers().reshape(-1)

    def __call__(self, x: Array, gather: Gather) -> Array:
        n_rows, channels = gather.rows.size, self._correction.size
        out = np.empty((n_rows, channels), dtype=np.int32)

        def run(start: int, stop: int) -> None:
            _sums(x, gather.rows, gather.taps, self._weights, self._correction, out, start, stop)

        run_parts(run, n_rows, 16 * out.size * gather.taps.size)
        if self._requantization is None:
            return out
        return requantize_columns(out, self._multipliers, self._requantization)
