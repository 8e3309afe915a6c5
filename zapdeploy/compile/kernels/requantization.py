"""From int32 accumulators to 8-bit values.

    q = clamp(round_half_even(float32(acc) * float32(m)) + z, low, high)

The product is one float32 product. `Requantization` has one m or one per channel, one z, and no
bias but that in the accumulator; `Epilogue` takes any of them along any axes. The kernels clamp
before they round, which gives the same integers because low - z and high - z are integers, and
keeps the conversion to int32 in range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from zapdeploy.arrays import Array
from zapdeploy.compile.kernels.jit import compiled, round_half_even
from zapdeploy.compile.kernels.layout import axes_by_stride, dense, flat
from zapdeploy.compile.kernels.threads import run_parts
from zapdeploy.errors import DataError

OPERATIONS = 16  # multiply-accumulates that take as long as one value here, to judge by


@dataclass(frozen=True, eq=False)
class Requantization:
    """How one layer's accumulators become its outputs.

    multiplier: float32, scalar or [O]; s_x s_w / s_y
    zero_point: of the output
    dtype: uint8 or int8
    low, high: the clamp, the limits of dtype if None
    """

    multiplier: npt.ArrayLike
    zero_point: int = 0
    dtype: npt.DTypeLike = np.uint8
    low: int | None = None
    high: int | None = None

    def __post_init__(self) -> None:
        if np.dtype(self.dtype) not in (np.uint8, np.int8):
            raise DataError(f"requantized dtype must be uint8 or int8, not {np.dtype(self.dtype)}")
        limits = np.iinfo(np.dtype(self.dtype))
        low, high = self.bounds
        if not limits.min <= low <= high <= limits.max:
            raise DataError(f"clamp must lie within {limits.min}..{limits.max}, not {low}..{high}")

    @property
    def bounds(self) -> tuple[int, int]:
        limits = np.iinfo(np.dtype(self.dtype))
        low = limits.min if self.low is None else self.low
        return int(low), int(limits.max if self.high is None else self.high)

    def arguments(self) -> tuple[np.int32, np.float32, np.float32]:
        """z, low - z, high - z as the kernels take them."""
        low, high = self.bounds
        zero_point = int(self.zero_point)
        return np.int32(zero_point), np.float32(low - zero_point), np.float32(high - zero_point)

    def multipliers(self, count: int) -> npt.NDArray[np.float32]:
        """The multiplier of each of `count` channels: float32 [count]."""
        given = np.asarray(self.multiplier, dtype=np.float32)
        if given.size not in (1, count):
            raise DataError(f"multiplier must have 1 or {count} values, not {given.size}")
        return np.ascontiguousarray(np.broadcast_to(given.reshape(-1), count))


@compiled
def _requantize_by_column(
    acc: Array,
    multiplier: Array,
    zero_point: np.int32,
    low: np.float32,
    high: np.float32,
    out: Array,
) -> None:
    for i in range(acc.shape[0]):
        for j in range(acc.shape[1]):
            value = np.float32(acc[i, j]) * multiplier[j]
            value = round_half_even(min(max(value, low), high))
            out[i, j] = np.int32(value) + zero_point


@compiled
def _requantize_by_row(
    acc: Array,
    multiplier: Array,
    zero_point: np.int32,
    low: np.float32,
    high: np.float32,
    out: Array,
) -> None:
    for i in range(acc.shape[0]):
        scale = multiplier[i]
        for j in range(acc.shape[1]):
            value = np.float32(acc[i, j]) * scale
            value = round_half_even(min(max(value, low), high))
            out[i, j] = np.int32(value) + zero_point


def requantize_columns(
    acc: npt.NDArray[np.int32], multiplier: npt.NDArray[np.float32], how: Requantization
) -> Array:
    """acc int32 [P, O] with one multiplier per column, float32 [O]; the answer has how.dtype."""
    out = np.empty(acc.shape, dtype=how.dtype)
    _requantize_by_column(acc, multiplier, *how.arguments(), out)
    return out


def requantize(acc: npt.NDArray[np.int32], how: Requantization, axis: int = 1) -> Array:
    """acc int32 of any shape, in any layout; `axis` is that of the multiplier, if it has one.

    The answer has the shape and the layout of acc, and how.dtype.
    """
    acc = dense(acc.astype(np.int32, copy=False))
    out = np.empty_like(acc, dtype=how.dtype)
    before, channels, after = (
        (1, 1, acc.size) if np.size(how.multiplier) == 1 else _split(acc, axis)
    )
    multiplier = how.multipliers(channels)
    if after == 1:
        shape, kernel = (before, channels), _requantize_by_column
    else:
        shape, kernel = (before * channels, after), _requantize_by_row
        multiplier = np.tile(multiplier, before)
    kernel(flat(acc).reshape(shape), multiplier, *how.arguments(), flat(out).reshape(shape))
    return out


def _split(x: Array, axis: int) -> tuple[int, int, int]:
    """The sizes of x before, along and after `axis`, in the order of memory."""
    order = axes_by_stride(x)
    place = order.index(axis % x.ndim)
    sizes = [x.shape[each] for each in order]
    return prod(sizes[:place]), sizes[place], prod(sizes[place + 1 :])


@compiled
def _finish(
    acc: Array, factor: Array, bias: Array, divisor: Array, zero_point: Array, steps: Array,
    low: np.int32, high: np.int32, out: Array, start: int, stop: int,
) -> None:  # fmt: skip
    for i in range(start, stop):
        for j in range(acc.shape[1]):
            value = np.float32(acc[i, j]) * factor[i * steps[0, 0] + j * steps[0, 1]]
            value = value + bias[i * steps[1, 0] + j * steps[1, 1]]
            value = value / divisor[i * steps[2, 0] + j * steps[2, 1]]
            zero = zero_point[i * steps[3, 0] + j * steps[3, 1]]
            least, most = np.float32(low - zero), np.float32(high - zero)
            value = round_half_even(min(max(value, least), most))
            out[i, j] = np.int32(value) + zero


@dataclass(frozen=True, eq=False)
class Epilogue:
    """q = clamp(round_half_even((float32(acc) * factor + bias) / divisor) + z, low, high).

    factor, bias (None: 0), divisor: float32; zero_point: int32; each of the rank of acc, its
    dimensions those of acc or 1.
    """

    factor: Array
    bias: Array | None
    divisor: Array
    zero_point: Array
    low: int
    high: int
    dtype: npt.DTypeLike

    def __call__(self, acc: npt.NDArray[np.int32]) -> Array:
        """The answer has the shape and the layout of acc."""
        acc = dense(acc)
        out = np.empty_like(acc, dtype=self.dtype)
        order = axes_by_stride(acc)
        shape = tuple(acc.shape[axis] for axis in order)
        rows = prod(shape[:-1])
        bias = np.zeros_like(self.divisor) if self.bias is None else self.bias
        given = (self.factor, bias, self.divisor, self.zero_point)
        arrays, steps = zip(*(_by_row(x.transpose(order), shape) for x in given), strict=True)
        factor, bias, divisor, zero_point = arrays
        limits = np.int32(self.low), np.int32(self.high)
        sums, codes = flat(acc).reshape(rows, -1), flat(out).reshape(rows, -1)

        def run(start: int, stop: int) -> None:
            _finish(
                sums, factor, bias, divisor, zero_point, np.array(steps), *limits, codes,
                start, stop,
            )  # fmt: skip

        run_parts(run, rows, OPERATIONS * acc.size)
        return out


def _by_row(given: Array, shape: Sequence[int]) -> tuple[Array, tuple[int, int]]:
    """Values that broadcast to `shape`, flat, with their steps from row to row and within a row."""
    columns = given.shape[-1]
    if given.size > columns:
        given = np.broadcast_to(given, (*shape[:-1], columns))
    by_row = np.ascontiguousarray(given).reshape(-1)
    return by_row, (columns if given.size > columns else 0, 1 if columns > 1 else 0)
