"""Inputs in the type in which a kernel takes them.

A type of 8 bits becomes the other one by 128 more or less, which is one flipped bit; wider types
take the values as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


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
