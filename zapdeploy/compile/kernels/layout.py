"""Arrays whose axes lie in memory in another order than in their shape.

A convolution returns shape [N, C, ...] over memory in which the channels are neighbours. Kernels
that work value by value take such arrays as they are and answer in the same layout.
"""

from __future__ import annotations

import numpy as np

from zapdeploy.arrays import Array


def axes_by_stride(x: Array) -> tuple[int, ...]:
    """The axes of x, the one with the largest step in memory first."""
    return tuple(sorted(range(x.ndim), key=lambda axis: (-x.strides[axis], axis)))


def is_dense(x: Array) -> bool:
    """Whether x fills one stretch of memory, in whatever order of its axes."""
    return bool(x.transpose(axes_by_stride(x)).flags.c_contiguous)


def dense(x: Array) -> Array:
    """x itself if it is dense and may be written to, else a copy in row-major order."""
    return x if is_dense(x) and x.flags.writeable else np.array(x, order="C")


def flat(x: Array) -> Array:
    """The elements of a dense array in the order of memory, without a copy."""
    return x.transpose(axes_by_stride(x)).reshape(-1)


def like(x: Array, layout: Array) -> Array:
    """x broadcast to the shape of `layout`, in its order of memory; a copy only where needed."""
    if x.shape == layout.shape and x.strides == layout.strides and x.flags.writeable:
        return x
    copy = np.empty_like(layout, dtype=x.dtype)
    copy[...] = x
    return copy


def channels_last(x: Array) -> Array:
    """x [N, C, ...] over memory in which the channels are neighbours."""
    return to_channels_first(np.ascontiguousarray(to_channels_last(x)))


def to_channels_last(x: Array) -> Array:
    """[N, C, ...] seen as [N, ..., C]."""
    return x.transpose(0, *range(2, x.ndim), 1)


def to_channels_first(x: Array) -> Array:
    """[N, ..., C] seen as [N, C, ...]."""
    return x.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))
