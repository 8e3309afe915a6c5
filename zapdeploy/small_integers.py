"""Integers below 8 bits, as many whole ones as a byte holds: the first in the lowest bits."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
_BLOCK_BYTES = 1 << 18  # unpacked at a time, so that both sides stay in the cache


def packed_bytes(count: int, bits: int) -> int:
    """Bytes that so many integers take."""
    return -(-count // (8 // bits))


def pack(values: NDArray[Any], bits: int) -> Bytes:
    """The lowest `bits` of 8-bit integers [..., n] as bytes [..., packed_bytes(n, bits)]."""
    each, count = 8 // bits, values.shape[-1]
    codes = np.ascontiguousarray(values).view(np.uint8)
    whole = np.zeros((*values.shape[:-1], packed_bytes(count, bits)), np.uint8)
    for place in range(each):
        lane = codes[..., place::each] & np.uint8((1 << bits) - 1)
        whole[..., : lane.shape[-1]] |= lane << np.uint8(place * bits)
    return whole


def unpack(packed: NDArray[Any], bits: int, *, signed: bool, count: int | None = None) -> Any:
    """int8 or uint8 [..., count] from bytes [..., packed_bytes(count, bits)].

    Without a count, all that the bytes hold, the last of which may be what fills up a byte.
    """
    words = _look_up(bits, signed)
    flat = np.ascontiguousarray(packed).reshape(-1)
    found = np.empty(flat.size, words.dtype)
    for start in range(0, flat.size, _BLOCK_BYTES):
        part = slice(start, start + _BLOCK_BYTES)
        np.take(words, flat[part], out=found[part])
    codes = found.view(np.int8 if signed else np.uint8)
    return codes.reshape(*packed.shape[:-1], packed.shape[-1] * (8 // bits))[..., :count]


@cache
def _look_up(bits: int, signed: bool) -> NDArray[Any]:
    """For each byte, its integers side by side in one word [256]."""
    shifts = np.arange(8 // bits, dtype=np.uint8) * np.uint8(bits)
    codes: NDArray[Any] = (np.arange(256, dtype=np.uint8)[:, None] >> shifts) & ((1 << bits) - 1)
    if signed:
        sign = 1 << (bits - 1)
        codes = (codes.astype(np.int8) ^ sign) - sign
    word: np.dtype[Any] = np.dtype(f"uint{8 * len(shifts)}")
    return np.ascontiguousarray(codes).view(word)[:, 0]
