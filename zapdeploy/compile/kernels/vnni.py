"""A layer with its weights packed for the 8-bit dot-product instruction: see vnni_tile.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from zapdeploy.compile.kernels.gather import Gather
from zapdeploy.compile.kernels.product import Layer
from zapdeploy.compile.kernels.threads import run_parts
from zapdeploy.compile.kernels.vnni_tile import COLUMNS, QUAD, ROWS, store_requantized, store_sums

Array = npt.NDArray[Any]


def supports(layer: Layer) -> bool:
    """Whether the layer's input and its (shifted) weights are narrow enough."""
    small = layer.weights.dtype == np.int8 or np.abs(layer.weights).max(initial=0) <= 255
    return layer.x_dtype in (np.uint8, np.int8) and bool(small)


def _parts(weights: Array) -> list[Array]:
    """int8 arrays that add up to `weights`: one, unless a zero point took them out of int8's range.

    With n parts, part i is floor((w + i) / n); the sum over i is w for every integer w.
    """
    if weights.dtype == np.int8:
        return [weights]
    low, high = weights.min(initial=0), weights.max(initial=0)
    count = next(n for n in range(1, 4) if low // n >= -128 and (high + n - 1) // n <= 127)
    return [((weights + i) // count).astype(np.int8) for i in range(count)]


def _pack(parts: list[Array]) -> npt.NDArray[np.int8]:
    """int8 parts [G, O, T, L] as panels [G, blocks, parts * T, quads, COLUMNS, QUAD]."""
    groups, outputs, taps, run = parts[0].shape
    blocks, quads = -(-outputs // COLUMNS), -(-run // QUAD)
    padded = np.zeros((groups, blocks * COLUMNS, len(parts), taps, quads * QUAD), dtype=np.int8)
    for index, part in enumerate(parts):
        padded[:, :outputs, index, :, :run] = part
    words = padded.view(np.int32).reshape(groups, blocks, COLUMNS, len(parts) * taps, quads)
    return np.ascontiguousarray(words.transpose(0, 1, 3, 4, 2)).view(np.int8)


def _pad_columns(values: Array) -> Array:
    """[G, O] as contiguous [G, blocks * COLUMNS], filled with 0."""
    groups, outputs = values.shape
    padded = np.zeros((groups, -(-outputs // COLUMNS) * COLUMNS), dtype=values.dtype)
    padded[:, :outputs] = values
    return padded


class VnniProduct:
    """A layer with its weights packed for `vpdpbusd`.

    An int8 input comes with 128 added, as uint8; that and the zero point of the input are taken out
    again through the sums of the weights: sum (x - z) w = sum x w - z sum w.
    """

    step = QUAD

    def __init__(self, layer: Layer) -> None:
        parts = _parts(layer.weights)
        self.offset_binary = layer.x_dtype == np.int8
        zero_point = layer.x_zero_point + (128 if self.offset_binary else 0)
        correction = layer.bias.astype(np.int64)
        if zero_point:
            correction = correction - zero_point * layer.column_sums()
        self._groups, self._outputs = layer.columns
        self._inputs_per_output = layer.weights.shape[2] * layer.weights.shape[3]
        self._part_count = len(parts)
        self._quads = -(-layer.weights.shape[3] // QUAD)
        self._weights = _pack(parts)
        self._correction = _pad_columns(correction.astype(np.int32))
        self._requantization = layer.requantization
        if layer.requantization is not None:
            self._multiplier = _pad_columns(layer.multipliers())
            self._limits = layer.requantization.arguments()

    def __call__(self, x: Array, gather: Gather) -> Array:
        rows = gather.padded_rows(ROWS)
        taps = np.tile(gather.taps, self._part_count) if self._part_count > 1 else gather.taps
        n_rows, groups, outputs = gather.rows.size, self._groups, self._outputs
        shape = (groups, n_rows, outputs) if gather.groups_outermost else (n_rows, groups * outputs)
        out_group = n_rows * outputs if gather.groups_outermost else outputs
        how = self._requantization
        out = np.empty(shape, dtype=np.int32 if how is None else how.dtype)
        if out.size == 0:
            return out
        common = (
            x.ctypes.data, rows.ctypes.data, taps.ctypes.data, taps.size, self._quads,
            self._weights.ctypes.data, self._correction.ctypes.data, out.ctypes.data,
            n_rows, outputs, gather.group_stride, out_group, shape[-1],
        )  # fmt: skip
        panels = groups * -(-outputs // COLUMNS)
        macs = n_rows * panels * COLUMNS * self._inputs_per_output

        def run(start: int, stop: int) -> None:
            if how is None:
                store_sums(*common, start, stop)
            else:
                store_requantized(*common, self._multiplier.ctypes.data, *self._limits, start, stop)

        run_parts(run, panels * (rows.size // ROWS), macs)
        return out
