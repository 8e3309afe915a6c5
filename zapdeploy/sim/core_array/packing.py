"""Elements as they lie in a core's memory: packed at their true width, the first one lowest.

Integers of 2 or 4 bits stand four or two to a byte. A float32 that the chip stores in 16 bits
occupies two bytes of memory; its lower half is kept beside them, in a second plane of cells at the
same address, so that storage is charged as on the chip and values stay those of float32.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zapdeploy import small_integers
from zapdeploy.compile.graph import Array, ElementType

Cells = NDArray[np.uint8]  # [planes, cores, bytes]


def planes(element: ElementType, bits: int) -> int:
    """Planes of cells that elements stored in `bits` occupy."""
    return max(-(-8 * element.numpy.itemsize // max(bits, 8)), 1)


def pack(values: Array, element: ElementType, bits: int) -> Cells:
    """values [cores, elements] as cells [planes, cores, bytes]."""
    rows, count = values.shape
    if bits < 8:
        return small_integers.pack(values, bits)[None]
    stored, depth = bits // 8, planes(element, bits)
    whole = np.zeros((rows, count, depth, stored), np.uint8)
    size = element.numpy.itemsize
    raw = np.ascontiguousarray(values).view(np.uint8).reshape(rows, count, size)
    whole.reshape(rows, count, depth * stored)[..., depth * stored - size :] = raw
    # Little endian: the last bytes are the most significant, and go to the first plane.
    return np.ascontiguousarray(whole[:, :, ::-1].transpose(2, 0, 1, 3)).reshape(depth, rows, -1)


def unpack(cells: Cells, element: ElementType, bits: int) -> Array:
    """cells [planes, cores, bytes] as values [cores, elements]; inverse of `pack`.

    The last byte of narrow integers may give elements that nobody packed.
    """
    rows = cells.shape[1]
    if bits < 8:
        return np.asarray(small_integers.unpack(cells[0], bits, signed=element.kind == "int"))
    stored, size = bits // 8, element.numpy.itemsize
    split = cells.reshape(len(cells), rows, cells.shape[2] // stored, stored)[::-1].transpose(
        1, 2, 0, 3
    )
    count = split.shape[1]
    raw = split.reshape(rows, count, len(cells) * stored)[..., -size:]
    return np.ascontiguousarray(raw).view(element.numpy).reshape(rows, count)
