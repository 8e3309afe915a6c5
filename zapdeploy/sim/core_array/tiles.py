"""A tensor in pieces: the box of it that each core has, and cores whose boxes are alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from zapdeploy.compile.graph import Array, Shape
from zapdeploy.compile.regions import IntArray, Region
from zapdeploy.sim.core_array.copying import as_bits, cut_boxes


@dataclass(frozen=True, eq=False)
class Tiles:
    """`box` [cores, rank]: what each core has. `values` [rows, elements]: each row the elements of
    a box in order, then anything. `row` [cores]: where each core's are; cores may share a row."""

    values: Array
    box: Region
    row: IntArray

    @classmethod
    def own(cls, values: Array, box: Region) -> Tiles:
        """One row for each core."""
        return cls(values, box, np.arange(len(values)))

    @classmethod
    def cut(cls, tensor: Array, box: Region) -> Tiles:
        """Boxes of a whole tensor."""
        source = np.ascontiguousarray(tensor).reshape(1, -1)
        frame = Region(*(np.array([b], np.int64) for b in ((0,) * tensor.ndim, tensor.shape)))
        row = np.zeros(len(box.low), np.int64)
        return cls.own(cut(source, frame, row, box), box)

    def stack(self, cores: IntArray) -> Array:
        """What some cores have [cores, *extent]; their boxes must be equally large."""
        extent = extent_of(self.box, cores)
        return self.values[self.row[cores], : prod(extent)].reshape(len(cores), *extent)

    def pick(self, cores: IntArray) -> Region:
        """The boxes of some cores."""
        return Region(self.box.low[cores], self.box.high[cores])


def extent_of(region: Region, cores: IntArray) -> Shape:
    """The extents that the boxes of some cores have in common."""
    return tuple(int(length) for length in region.extent[cores[0]])


def cut(source: Array, frame: Region, row: IntArray, box: Region) -> Array:
    """Boxes of rows of `source`, each of which holds the box `frame` [rows, rank] of a tensor."""
    out = np.zeros((len(row), int(box.volume.max(initial=0))), source.dtype)
    frame, box = filled_out(frame), filled_out(box)
    cut_boxes(as_bits(source), frame.low, frame.extent, row, box.low, box.high, as_bits(out))
    return out


def filled_out(region: Region) -> Region:
    """The same boxes with at least one dimension, as kernels need them; a scalar is one element."""
    if region.low.shape[-1]:
        return Region(np.ascontiguousarray(region.low), np.ascontiguousarray(region.high))
    shape = (*region.low.shape[:-1], 1)
    return Region(np.zeros(shape, np.int64), np.ones(shape, np.int64))


def alike(active: IntArray, keys: Sequence[Array]) -> Iterator[IntArray]:
    """Sets of cores with equal rows in all keys [cores, any]; together they are `active`."""
    if not len(active):
        return
    table = np.column_stack([np.zeros(len(keys[0]), np.int64), *keys])[active]
    _, number = np.unique(table, axis=0, return_inverse=True)
    number = number.reshape(-1)
    for each in range(int(number.max()) + 1):
        yield active[number == each]
