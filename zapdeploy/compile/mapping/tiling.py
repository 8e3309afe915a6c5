"""How a layer is cut over the array: cuts, and the box of the output that each core computes.

A cut is one factor per dimension of the layer's output and one for the reduction (the input
channels). Cores are numbered row by row. The core's number, written in mixed radix over the
factors, gives its place in the cut; the digits' order is: the output's dimensions as they stand but
the channels, then the channels, then the reduction fastest. So the cores of one frame are
neighbours, cores that exchange channels are near, and partial sums go to the next core.

Everything has a leading candidate axis: `Cuts` holds many cuts of one layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from zapdeploy.compile.graph import Shape
from zapdeploy.compile.layers import Layer
from zapdeploy.compile.ops.base import Unit, operator
from zapdeploy.compile.regions import IntArray, Region


@dataclass(frozen=True, eq=False)
class Space:
    """The dimensions a layer can be cut along: its output's, then the reduction."""

    shape: Shape
    reduction: int
    cuttable: tuple[bool, ...]
    digits: tuple[int, ...]  # dimensions from the slowest digit of the core's number to the fastest
    grain: tuple[int, ...] = ()  # what tiles are multiples of; (): of 1

    @property
    def extents(self) -> Shape:
        return (*self.shape, self.reduction)

    @property
    def steps(self) -> IntArray:
        """What tiles are multiples of along each dimension."""
        return np.array([*(self.grain or (1,) * len(self.shape)), 1], np.int64)

    @property
    def counts(self) -> IntArray:
        """Steps along each dimension: what there is to cut."""
        return -(-np.asarray(self.extents, np.int64) // self.steps)


def space_of(layer: Layer) -> Space:
    """The iteration space of a layer; epilogue nodes have the anchor's output shape."""
    op, call = layer.operator, layer.anchor
    shape = call.output.shape
    cuttable = list(op.cuttable(call))
    for other in layer.calls[1:]:
        for axis, allowed in enumerate(operator(other.node.op).cuttable(other)):
            cuttable[axis] &= allowed
    rank = len(shape)
    if op.unit is not Unit.MATRIX:
        return Space(shape, 1, (*cuttable, False), tuple(range(rank + 1)))
    channel = op.channel_axis(call) % rank
    digits = (*(d for d in range(rank) if d != channel), channel, rank)
    grain = op.grain(call)
    return Space(shape, op.reduction_size(call), (*cuttable, True), digits, grain)


@dataclass(frozen=True, eq=False)
class Cuts:
    """Candidate cuts of one layer over an array of `cores`.

    `factors`: int [candidates, rank + 1], one factor per output dimension, then the reduction's.
    """

    space: Space
    factors: IntArray
    cores: int

    def __len__(self) -> int:
        return len(self.factors)

    @cached_property
    def read_boxes(self) -> dict[int, tuple[Region | None, ...]]:
        """What calls of many inputs read of each, by the call's identity, as it was found out."""
        return {}

    def pick(self, index: int) -> Cuts:
        return Cuts(self.space, self.factors[index : index + 1], self.cores)

    @cached_property
    def tiles(self) -> IntArray:
        """Length of a tile along each dimension [candidates, rank + 1]; the last may be shorter."""
        return -(-self.space.counts // self.factors) * self.space.steps

    @cached_property
    def used(self) -> IntArray:
        """Cores with work [candidates]."""
        return np.prod(self.factors, axis=1)

    @cached_property
    def coordinates(self) -> IntArray:
        """Place of each core in the cut [candidates, cores, rank + 1]."""
        place = np.zeros((len(self), self.cores, self.factors.shape[1]), np.int64)
        rest = np.broadcast_to(np.arange(self.cores), (len(self), self.cores))
        for dimension in reversed(self.space.digits):
            rest, place[..., dimension] = np.divmod(rest, self.factors[:, dimension, None])
        return place

    @cached_property
    def boxes(self) -> Region:
        """Output box and reduction range each core works on [candidates, cores, rank + 1].

        Cores beyond the cut have empty boxes.
        """
        low = self.coordinates * self.tiles[:, None, :]
        high = np.minimum(low + self.tiles[:, None, :], self.space.extents)
        idle = np.arange(self.cores) >= self.used[:, None]
        low = np.minimum(low, high)
        return Region(low, np.where(idle[..., None], low, high))

    @property
    def output(self) -> Region:
        """Output boxes that cores compute, or sum a part of [candidates, cores, rank]."""
        boxes = self.boxes
        nothing = boxes.extent[..., -1:] == 0
        low = boxes.low[..., :-1]
        return Region(low, np.where(nothing, low, boxes.high[..., :-1]))

    @property
    def reduction(self) -> Region:
        """Reduction ranges [candidates, cores, 1]."""
        return Region(self.boxes.low[..., -1:], self.boxes.high[..., -1:])

    @cached_property
    def held(self) -> Region:
        """Output boxes that cores end up holding: of a reduction group, the last core's."""
        out = self.output
        last = self.coordinates[..., -1] == self.factors[:, None, -1] - 1
        return Region(out.low, np.where(last[..., None], out.high, out.low))


def enumerate_cuts(space: Space, cores: int) -> IntArray:
    """All sensible factor vectors [n, rank + 1]: products up to `cores`, no empty tiles."""
    options = [
        _factors(extent, cores) if allowed else np.ones(1, np.int64)
        for extent, allowed in zip(space.counts.tolist(), space.cuttable, strict=True)
    ]
    found = np.ones((1, 0), np.int64)
    product = np.ones(1, np.int64)
    for choice in options:
        grown = product[:, None] * choice
        keep = np.nonzero(grown <= cores)
        found = np.column_stack([found[keep[0]], choice[keep[1]]])
        product = grown[keep]
    return found


def _factors(extent: int, cores: int) -> IntArray:
    """Factors worth trying along one dimension.

    Powers of two, divisors of the extent and of the array, and small numbers; each in the form
    that leaves no tile empty, without repetitions.
    """
    most = min(extent, cores)
    tried = np.arange(1, most + 1)
    wanted = (extent % tried == 0) | (cores % tried == 0) | (tried <= 8) | (tried == most)
    tile = -(-extent // tried[wanted])
    return np.unique(-(-extent // tile))
