"""Boxes of a tensor, many at once: which part of it a core computes, holds or needs.

A `Region` is a pair of integer arrays [..., rank]: the half-open box [low, high) along each
dimension. Leading axes run over candidates and cores, so every rule is written once and applies to
all of them in one NumPy call. An empty box has high <= low somewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import IntArray as IntArray
from zapdeploy.compile.graph import Shape


class Region(NamedTuple):
    """Boxes: the first index along each dimension, and one past the last [..., rank]."""

    low: IntArray
    high: IntArray

    @property
    def extent(self) -> IntArray:
        """Length along each dimension, at least 0."""
        return np.maximum(self.high - self.low, 0)

    @property
    def volume(self) -> IntArray:
        """Elements in each box."""
        return np.prod(self.extent, axis=-1)

    def intersect(self, other: Region) -> Region:
        return Region(np.maximum(self.low, other.low), np.minimum(self.high, other.high))

    def clip(self, shape: Shape) -> Region:
        """The part inside a tensor of this shape."""
        bound = np.asarray(shape, np.int64)
        return Region(np.clip(self.low, 0, bound), np.clip(self.high, 0, bound))

    def take(self, axes: tuple[int, ...]) -> Region:
        """The boxes with their dimensions in another order, or only some of them."""
        index: Any = list(axes)
        return Region(self.low[..., index], self.high[..., index])


@dataclass(frozen=True, eq=False)
class Slices:
    """Which parts of boxes of a tensor are read, where not all: along `axis`, slices of `width`.

    wanted bool [..., cores, slices]; its leading axes are those of the boxes.
    """

    axis: int
    width: int
    wanted: NDArray[np.bool_]

    @cached_property
    def _before(self) -> NDArray[np.int32]:
        """Wanted slices before each [boxes, slices + 1]."""
        flat = self.wanted.reshape(-1, self.wanted.shape[-1])
        found = np.zeros((len(flat), flat.shape[1] + 1), np.int32)
        np.cumsum(flat, axis=1, out=found[:, 1:])
        return found

    def lengths(self, low: IntArray, high: IntArray) -> IntArray:
        """Wanted indices in [low, high) along the axis; their last axes are those of boxes."""
        return np.asarray(np.maximum(self._upto(high) - self._upto(np.minimum(low, high)), 0))

    def _upto(self, end: IntArray) -> IntArray:
        leading = self.wanted.shape[:-1]
        row = np.arange(int(np.prod(leading))).reshape(leading)
        whole, rest = np.divmod(end, self.width)
        last = np.minimum(whole, self.wanted.shape[-1] - 1)
        inside = self.wanted.reshape(-1, self.wanted.shape[-1])[row, last]
        return np.asarray(self._before[row, whole] * self.width + inside * rest)

    def volume(self, region: Region) -> IntArray:
        """Wanted elements of boxes."""
        others = np.delete(region.extent, self.axis, axis=-1).prod(axis=-1)
        found = self.lengths(region.low[..., self.axis], region.high[..., self.axis])
        return np.asarray(np.where(region.volume > 0, others * found, 0))

    def pick(self, index: int) -> Slices:
        """Those of one candidate, still with a leading axis of length 1."""
        return Slices(self.axis, self.width, self.wanted[index : index + 1])


def wanted_volume(region: Region, slices: Slices | None) -> IntArray:
    """Elements of boxes that are read."""
    return region.volume if slices is None else slices.volume(region)


def whole(shape: Shape, leading: tuple[int, ...] = ()) -> Region:
    """The full tensor, repeated over the leading axes."""
    high = np.broadcast_to(np.asarray(shape, np.int64), (*leading, len(shape)))
    return Region(np.zeros_like(high), high)


def broadcast(out: Region, out_shape: Shape, in_shape: Shape) -> Region:
    """What an elementwise operator reads of an input that is broadcast to the output's shape."""
    lead = len(out_shape) - len(in_shape)
    low, high = out.low[..., lead:], out.high[..., lead:]
    stretched = np.asarray(in_shape) == 1
    nonempty = np.all(out.high > out.low, axis=-1, keepdims=True)
    low = np.where(stretched, 0, low)
    return Region(low, np.where(nonempty, np.where(stretched, 1, high), low))


def reshaped(out: Region, out_shape: Shape, in_shape: Shape) -> Region:
    """The smallest box of the input that covers a box of its reshaped form.

    Dimensions are matched in groups of equal product. Inside a group the box is exact when the cut
    runs along the group's outermost dimension of more than one element, and covering otherwise.
    """
    low = np.zeros((*out.low.shape[:-1], len(in_shape)), np.int64)
    high = np.zeros_like(low)
    for outs, ins in _groups(out_shape, in_shape):
        first, last = _flat_span(out, out_shape, outs)
        _unflatten(first, last, in_shape, ins, low, high)
    return Region(low, high)


def _groups(a: Shape, b: Shape) -> list[tuple[range, range]]:
    """Runs of dimensions of both shapes with equal products, as fine as possible."""
    found, i, j = [], 0, 0
    while i < len(a) or j < len(b):
        i0, j0 = i, j
        left = a[i] if i < len(a) else 1
        right = b[j] if j < len(b) else 1
        i, j = min(i + 1, len(a)), min(j + 1, len(b))
        while left != right:
            if left < right and i < len(a):
                left, i = left * a[i], i + 1
            else:
                right, j = right * b[j], j + 1
        found.append((range(i0, i), range(j0, j)))
    return found


def _flat_span(out: Region, shape: Shape, dims: range) -> tuple[IntArray, IntArray]:
    """First and last flat index inside the group (last < first for an empty box)."""
    first = np.zeros(out.low.shape[:-1], np.int64)
    last = np.zeros_like(first)
    for d in dims:
        first = first * shape[d] + out.low[..., d]
        last = last * shape[d] + out.high[..., d] - 1
    empty = np.any(out.high <= out.low, axis=-1)
    return first, np.where(empty, first - 1, last)


def _unflatten(
    first: IntArray, last: IntArray, shape: Shape, dims: range, low: IntArray, high: IntArray
) -> None:
    """Fill `low` and `high` along `dims` with the box that covers [first, last]."""
    empty = last < first
    same_so_far = np.ones(first.shape, bool)
    stride = int(np.prod([shape[d] for d in dims], dtype=np.int64))
    for d in dims:
        stride //= shape[d]
        a, b = (first // stride) % shape[d], (last // stride) % shape[d]
        low[..., d] = np.where(same_so_far, a, 0)
        high[..., d] = np.where(empty, low[..., d], np.where(same_so_far, b + 1, shape[d]))
        same_so_far &= a == b
