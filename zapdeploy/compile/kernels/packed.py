"""A layer with its weights packed for the tiles of an instruction set: see tile.py."""

from __future__ import annotations

import ctypes

import numpy as np
import numpy.typing as npt

from zapdeploy.arrays import Array
from zapdeploy.compile.kernels.gather import Gather
from zapdeploy.compile.kernels.instruction_sets import InstructionSet
from zapdeploy.compile.kernels.operands import shift_between
from zapdeploy.compile.kernels.product import Layer
from zapdeploy.compile.kernels.threads import LINE_BYTES, parts_of, run_kernel
from zapdeploy.compile.kernels.tile import Arguments, tile_kernel

WEIGHT_BYTES = 2 << 20  # read in all by the parts of a layer that is shared, if it has fewer itself


def supports(layer: Layer) -> bool:
    """Whether the layer's input and its (shifted) weights are narrow enough."""
    small = layer.weights.dtype == np.int8 or np.abs(layer.weights).max(initial=0) <= 255
    return layer.x_dtype in (np.uint8, np.int8) and bool(small)


def _parts(weights: Array, dtype: npt.DTypeLike) -> list[Array]:
    """Arrays of `dtype` that add up to `weights`: one, unless a zero point took them out of int8's
    range and they must be int8.

    With n parts, part i is floor((w + i) / n); the sum over i is w for every integer w.
    """
    if weights.dtype == dtype:
        return [weights]
    low, high = int(weights.min(initial=0)), int(weights.max(initial=0))
    limits = np.iinfo(np.dtype(dtype))
    count = next(
        n for n in range(1, 4) if low // n >= limits.min and (high + n - 1) // n <= limits.max
    )
    return [((weights + i) // count).astype(dtype) for i in range(count)]


def _pack(parts: list[Array], how: InstructionSet) -> Array:
    """Parts [G, O, T, L] as panels [G, blocks, parts * T, steps, columns, group]."""
    groups, outputs, taps, run = parts[0].shape
    blocks, steps = -(-outputs // how.columns), -(-run // how.group)
    shape = (groups, blocks * how.columns, len(parts), taps, steps * how.group)
    padded = np.zeros(shape, dtype=how.w_type)
    for index, part in enumerate(parts):
        padded[:, :outputs, index, :, :run] = part
    words = padded.view(np.int32).reshape(groups, blocks, how.columns, len(parts) * taps, steps)
    return np.ascontiguousarray(words.transpose(0, 1, 3, 4, 2))


def _pad_columns(values: Array, multiple: int) -> Array:
    """[G, O] as contiguous [G, O rounded up to `multiple`], filled with 0."""
    groups, outputs = values.shape
    padded = np.zeros((groups, -(-outputs // multiple) * multiple), dtype=values.dtype)
    padded[:, :outputs] = values
    return padded


class PackedProduct:
    """A layer with its weights packed for tiles.

    An input that is converted to another type of 8 bits comes shifted by 128; that and its zero
    point are taken out again through the sums of the weights: sum (x - z) w = sum x w - z sum w.
    """

    def __init__(self, layer: Layer, how: InstructionSet) -> None:
        self.step, self.operand = how.group, how.x_type
        parts = _parts(layer.weights, how.w_type)
        zero_point = layer.x_zero_point + shift_between(layer.x_dtype, how.x_type)
        correction = layer.bias.astype(np.int64)
        if zero_point:
            correction = correction - zero_point * layer.column_sums()
        self._how = how
        self._groups, self._outputs = layer.columns
        self._inputs_per_output = layer.weights.shape[2] * layer.weights.shape[3]
        self._part_count = len(parts)
        self._weights = _pack(parts, how)
        self._correction = _pad_columns(correction.astype(np.int32), how.columns)
        self._requantization = layer.requantization
        self._shared = Arguments(
            weights=self._weights.ctypes.data,
            correction=self._correction.ctypes.data,
            steps=self._weights.shape[3],
            n_columns=self._outputs,
            panels=self._correction.size // how.columns,
        )
        if layer.requantization is not None:
            self._multiplier = _pad_columns(layer.multipliers(), how.columns)
            self._shared.multiplier = self._multiplier.ctypes.data
            limits = layer.requantization.arguments()
            self._shared.zero_point = int(limits[0])
            self._shared.low, self._shared.high = float(limits[1]), float(limits[2])

    def __call__(self, x: Array, gather: Gather) -> Array:
        n_rows, groups, outputs = gather.rows.size, self._groups, self._outputs
        outermost = gather.groups_outermost
        shape = (groups, n_rows, outputs) if outermost else (n_rows, groups * outputs)
        how = self._requantization
        out = np.empty(shape, dtype=np.int32 if how is None else how.dtype)
        if out.size == 0:
            return out
        rows = gather.padded_rows(self._how.rows)
        taps = np.tile(gather.taps, self._part_count) if self._part_count > 1 else gather.taps
        arguments = Arguments.from_buffer_copy(self._shared)
        arguments.x, arguments.out = x.ctypes.data, out.ctypes.data
        arguments.rows, arguments.n_rows = rows.ctypes.data, n_rows
        arguments.taps, arguments.n_taps = taps.ctypes.data, taps.size
        arguments.x_group = gather.group_stride
        arguments.out_group = n_rows * outputs if outermost else outputs
        arguments.out_stride = shape[-1]
        macs = rows.size * self._correction.size * self._inputs_per_output
        arguments.block, step = self._division(rows.size // self._how.rows, macs, out.itemsize)
        kernel = tile_kernel(self._how, requantized=how is not None)
        tiles = rows.size // self._how.rows * self._shared.panels
        run_kernel(kernel, ctypes.addressof(arguments), tiles, step, macs)
        return out

    def _division(self, tiles: int, macs: int, item_bytes: int) -> tuple[int, int]:
        """Tiles in a block of rows, and tiles that one thread computes at a time.

        Threads that write to one line of the cache hinder each other, so a part has panels enough
        to fill lines. Every block of rows reads all weights anew, so large ones allow few blocks.
        """
        panels = self._shared.panels
        together = min(panels, max(1, LINE_BYTES // (self._how.columns * item_bytes)))
        blocks = -(-parts_of(macs) * together // panels)
        blocks = max(1, min(blocks, WEIGHT_BYTES // self._weights.nbytes, tiles))
        block = -(-tiles // blocks)
        return block, block * together
