"""What each core reads of a tensor, step by step through a layer.

A core works through its box in `accumulator_tiles` of equal length, along all dimensions but the
channels of a matrix product, in row-major order. Inside an accumulator tile the matrix unit reads
one input vector after the other; these are the steps of its input. Every other tensor is read
accumulator tile by accumulator tile.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zapdeploy.compile.layers import Read
from zapdeploy.compile.mapping.cost import output_tiles_and_vectors
from zapdeploy.compile.ops.base import Unit, operator
from zapdeploy.compile.program.activations import Delivery
from zapdeploy.compile.program.layer import LayerEvents
from zapdeploy.compile.regions import IntArray, Region
from zapdeploy.hardware_targets import Target

MOST_STAGES = 256  # more vectors than that are taken together, several to a stage


@dataclass(frozen=True, eq=False)
class AccessPattern:
    """The boxes that each core reads of one tensor [steps, cores, rank], step after step.

    Steps are accumulator tiles x `stages`; a stage is `vectors_each` input vectors of the matrix
    unit. Tensors that the matrix unit does not read as vectors have one stage, and `by_vector` is
    False.
    """

    boxes: Region
    by_vector: bool
    stages: int
    vectors_each: int


@dataclass(frozen=True, eq=False)
class LoopOrder:
    """How cores go through a layer: `accumulator_tile_order` [cores, accumulator tiles], and what
    they read of each tensor on the way."""

    accumulator_tile_order: IntArray
    patterns: tuple[AccessPattern, ...]


@dataclass(frozen=True, eq=False)
class Boxes:
    """What the cores read of a tensor [stages, accumulator tiles, cores, rank], accumulator tiles
    and vectors as they come, and the vectors of a stage (0: it is not read as vectors)."""

    region: Region
    vectors_each: int


def boxes_read(events: LayerEvents, accumulator_tiles: int, target: Target) -> tuple[Boxes, ...]:
    """Of every tensor that a layer fetches."""
    return tuple(
        _boxes(events, delivery, accumulator_tiles, target) for delivery in events.deliveries
    )


def loop_order(
    events: LayerEvents, found: tuple[Boxes, ...], accumulator_tiles: int, held_first: bool
) -> LoopOrder:
    """Put accumulator tiles and vectors into an order, and find what is read when.

    They are taken as they come, or `held_first`: a core first does what it holds the inputs of
    already, and then what it lacks least of. Cores that share their weights take vectors in the
    same order, as a tile pass of weights is sent to all; cores that add up partial sums take
    accumulator tiles in the same order.
    """
    lacking = np.zeros((events.cuts.cores, accumulator_tiles))
    if held_first:
        for boxes, delivery in zip(found, events.deliveries, strict=True):
            lacking += _missing(boxes.region, delivery).sum(axis=0).T
    accumulator_tile_order = _common_order(lacking, _chains(events))
    patterns = [
        _in_order(events, delivery, boxes, accumulator_tile_order, held_first)
        for boxes, delivery in zip(found, events.deliveries, strict=True)
    ]
    return LoopOrder(accumulator_tile_order, tuple(patterns))


def _boxes(
    events: LayerEvents, delivery: Delivery, accumulator_tiles: int, target: Target
) -> Boxes:
    read, layer = delivery.read, events.layer
    matrix = layer.operator.unit is Unit.MATRIX and read.call is layer.anchor
    axes = _walk_axes(events)
    whole = events.cuts.output if matrix else events.cuts.held
    parts = [
        _part(Region(whole.low[0], whole.high[0]), axes, c, accumulator_tiles)
        for c in range(accumulator_tiles)
    ]
    out = Region(np.stack([p.low for p in parts]), np.stack([p.high for p in parts]))
    reduction = events.cuts.reduction if matrix else None
    if matrix and read.input == 0:
        inputs = target.core.matrix_unit.inputs(events.work.mac_bits)
        length = layer.operator.reduction_size(layer.anchor)
        each = max(-(-length // (inputs * MOST_STAGES)), 1)
        found = layer.operator.vector_regions(read.call, out, reduction, inputs * each)
        if target.core.matrix_unit.packs_taps:
            found = _packed(found, -(-_most_vectors(events, target) // each))
        return Boxes(_through_views(read, found), each)
    region = operator(read.call.node.op).input_regions(read.call, out, reduction)[read.input]
    assert region is not None
    region = _through_views(read, region)
    return Boxes(Region(region.low[None], region.high[None]), 0)


def _most_vectors(events: LayerEvents, target: Target) -> int:
    layer, cuts = events.layer, events.cuts
    tiles = layer.operator.matrix_tiles(layer.anchor, cuts.output, cuts.reduction)
    bits = events.work.mac_bits
    return max(int(output_tiles_and_vectors(tile, bits, target)[1].max()) for tile in tiles)


def _packed(boxes: Region, vectors: int) -> Region:
    """Boxes [stages, ...] of short rows of a window, several of which share a vector: the smallest
    boxes around what each vector holds."""
    stages = len(boxes.low)
    if stages <= vectors:
        return boxes
    first = -(-np.arange(vectors) * stages // vectors)
    nothing = (boxes.volume == 0)[..., None]
    low = np.minimum.reduceat(np.where(nothing, np.iinfo(np.int64).max, boxes.low), first)
    high = np.maximum.reduceat(np.where(nothing, 0, boxes.high), first)
    return Region(np.minimum(low, high), high)


def _in_order(
    events: LayerEvents,
    delivery: Delivery,
    found: Boxes,
    accumulator_tile_order: IntArray,
    held_first: bool,
) -> AccessPattern:
    """Boxes in the order in which each core reads them."""
    boxes, each = found.region, found.vectors_each
    core = np.arange(events.cuts.cores)
    lacking = _missing(boxes, delivery)
    first = np.asarray(lacking[:, accumulator_tile_order[:, 0], core].T * held_first, np.float64)
    stage_order = _common_order(first, events.parameters.slice_of)
    index = (
        stage_order.T[None],
        accumulator_tile_order.T[:, None],
        core,
    )  # [accumulator tiles, stages, cores]
    low, high = boxes.low[index], boxes.high[index]
    shape = (low.shape[0] * low.shape[1], *low.shape[2:])  # a scalar's boxes have no dimension
    return AccessPattern(
        Region(low.reshape(shape), high.reshape(shape)), each > 0, len(boxes.low), max(each, 1)
    )


def _missing(boxes: Region, delivery: Delivery) -> IntArray:
    """Elements of boxes [..., cores, rank] that cores do not hold [..., cores]."""
    volume = boxes.volume
    if delivery.held is None:
        return volume
    return volume - np.where(volume > 0, boxes.intersect(delivery.held).volume, 0)


def _common_order(lacking: NDArray[np.float64], group: IntArray) -> IntArray:
    """Items [cores, items] from what is lacked least on, the same for cores of a group (-1: of
    none)."""
    cores = len(group)
    own = np.where(group >= 0, group, cores + np.arange(cores))
    _, index = np.unique(own, return_inverse=True)
    total = np.zeros((index.max() + 1, lacking.shape[1]))
    np.add.at(total, index, lacking)
    return np.argsort(total, axis=1, kind="stable")[index]


def _chains(events: LayerEvents) -> IntArray:
    """Cores that add up partial sums have the same number, -1: none [cores]."""
    cuts = events.cuts
    length = int(cuts.factors[0, -1])
    if length == 1:
        return np.full(cuts.cores, -1, np.int64)
    return np.arange(cuts.cores) - cuts.coordinates[0, :, -1]


def _walk_axes(events: LayerEvents) -> tuple[int, ...]:
    """The output's dimensions that accumulator tiles run along, slowest first."""
    layer = events.layer
    rank = len(layer.output.shape)
    if layer.operator.unit is not Unit.MATRIX:
        return tuple(range(rank))
    channel = layer.operator.channel_axis(layer.anchor) % rank
    return tuple(axis for axis in range(rank) if axis != channel)


def _part(
    region: Region, axes: tuple[int, ...], accumulator_tile: int, accumulator_tiles: int
) -> Region:
    """The smallest boxes around one of the accumulator tiles that cores walk through their boxes
    in."""
    low, high = region.low.copy(), region.high.copy()
    extent = np.where(region.volume[..., None] > 0, region.extent, 1)
    total = np.prod(extent[..., list(axes)], axis=-1)
    first, last = (
        accumulator_tile * total // accumulator_tiles,
        (accumulator_tile + 1) * total // accumulator_tiles - 1,
    )
    same: NDArray[np.bool_] = np.ones(total.shape, bool)
    stride = total
    for axis in axes:
        length = extent[..., axis]
        stride = stride // length
        a, b = first // stride % length, last // stride % length
        low[..., axis] = region.low[..., axis] + np.where(same, a, 0)
        high[..., axis] = region.low[..., axis] + np.where(same, b + 1, length)
        same &= a == b
    nothing = ((region.volume == 0) | (last < first))[..., None]
    return Region(np.where(nothing, region.low, low), np.where(nothing, region.low, high))


def _through_views(read: Read, region: Region) -> Region:
    """A box of what a node reads as boxes of the tensor that is stored."""
    for view in read.views:
        inner = operator(view.node.op).input_regions(view, region)[0]
        assert inner is not None
        region = inner
    return region
