"""Inputs as a kernel takes them: padded, and in the type that it wants.

A type of 8 bits becomes the other one by 128 more or less, which is one flipped bit; wider types
take the values as they are.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from zapdeploy.arrays import Array
from zapdeploy.compile.kernels.gather import Window


def shift_between(given: np.dtype[Any], wanted: np.dtype[Any]) -> int:
    """What `convert` adds to every value."""
    if given == wanted or wanted.itemsize > given.itemsize:
        return 0
    return 128 if wanted.kind == "u" else -128


def convert(x: Array, out: Array) -> None:
    """x + shift_between(x.dtype, out.dtype), written to `out`, of the same shape."""
    if shift_between(x.dtype, out.dtype):
        np.bitwise_xor(x.view(np.uint8), np.uint8(128), out=out.view(np.uint8))
    else:
        out[...] = x


def padded(x: Array, window: Window, padding: int, operand: np.dtype[Any], slack: int) -> Array:
    """x [N, ..., C] converted to `operand`, padded for a window, flat and `slack` elements longer.

    padding: a value of x's type
    """
    shape = (x.shape[0], *window.padded(x.shape[1:-1]), x.shape[-1])
    size = prod(shape)
    buffer = np.empty(size + slack, dtype=operand)
    if any(window.pads):
        buffer.fill(padding + shift_between(x.dtype, operand))
    inside = [
        slice(begin, begin + length)
        for begin, length in zip(window.pads, x.shape[1:-1], strict=False)  # the ends come last
    ]
    convert(x, buffer[:size].reshape(shape)[:, *inside])
    return buffer
