"""Building blocks of `input_regions`: boxes put together one dimension at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from zapdeploy.compile.graph import Shape, Value
from zapdeploy.compile.regions import IntArray, Region, whole

Span = tuple[IntArray, IntArray]  # [low, high) along one dimension, over the leading axes


def is_empty(region: Region) -> NDArray[np.bool_]:
    """Which boxes hold no element."""
    empty: NDArray[np.bool_] = np.any(region.high <= region.low, axis=-1)
    return empty


def span(region: Region, dimension: int) -> Span:
    """The boxes along one dimension."""
    return region.low[..., dimension], region.high[..., dimension]


def full(length: int) -> Span:
    """All of a dimension of this length."""
    return np.asarray(0, np.int64), np.asarray(length, np.int64)


def box(spans: Sequence[Span], empty: NDArray[np.bool_]) -> Region:
    """Boxes with these spans; an empty box has no extent anywhere."""
    leading = np.broadcast_shapes(empty.shape, *(low.shape for low, _ in spans))
    low = np.empty((*leading, len(spans)), np.int64)
    high = np.empty_like(low)
    for dimension, (first, last) in enumerate(spans):
        low[..., dimension] = first
        high[..., dimension] = last
    return Region(low, np.where(empty[..., None], low, high))


def everything(shape: Shape, empty: NDArray[np.bool_]) -> Region:
    """All of a tensor for every box that is not empty."""
    region = whole(shape, empty.shape)
    return Region(region.low, np.where(empty[..., None], 0, region.high))


def spread(region: Region, axes: Sequence[int], shape: Shape) -> Region:
    """The same boxes, whole along `axes` of a tensor of this shape."""
    empty = is_empty(region)
    spans = [full(shape[d]) if d in axes else span(region, d) for d in range(len(shape))]
    return box(spans, empty)


def part_of(reduction: Region | None, length: int) -> Span:
    """The part of the reduced dimension a core sums over."""
    return full(length) if reduction is None else span(reduction, 0)


def per_channel(
    value: Value | None, channels: int, columns: Span, empty: NDArray[np.bool_]
) -> Region | None:
    """What boxes need of a vector with one entry per output channel, or of a scalar."""
    if value is None:
        return None
    if value.shape == (channels,):
        return box([columns], empty)
    return everything(value.shape, empty)
