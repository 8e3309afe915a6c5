"""Parameters: the slice of them that each core uses, where its parts are stored, who gets them.

Cores that use the same slice share it: its bytes are stored once, in equal parts over these cores
in the order of their numbers, and each part is sent to the others while the layer runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zapdeploy.compile.graph import Value
from zapdeploy.compile.layers import Layer
from zapdeploy.compile.mapping.cost import call_regions, parameter_slices, scale_bytes, storage_bits
from zapdeploy.compile.mapping.tiling import Cuts
from zapdeploy.compile.noc.mesh import Mesh
from zapdeploy.compile.noc.messages import Messages
from zapdeploy.compile.noc.multicast import multicast, numbered
from zapdeploy.compile.regions import IntArray, Region
from zapdeploy.hardware_targets import Target


@dataclass(frozen=True, eq=False)
class Constant:
    """One parameter in every core's slice: the box that the core uses [cores, rank].

    `first_byte` [cores]: where it begins in the slice.
    """

    value: Value
    needed: Region
    first_byte: IntArray


@dataclass(frozen=True, eq=False)
class Parameters:
    """All parameters of a layer.

    `slice_of` [cores]: cores with the same number share a slice, -1 uses none. `slice_bytes`
    [cores]. `constants`: in the order in which they lie in a slice; behind them the weights' scales
    of the core's output channels, `scale_bytes` [cores]. `stored_low`, `stored_high` [cores]: the
    bytes of its slice that a core stores. `messages`: parts on their way, boxes of bytes
    [parts, 1].
    """

    slice_of: IntArray
    slice_bytes: IntArray
    constants: tuple[Constant, ...]
    scale_bytes: IntArray
    stored_low: IntArray
    stored_high: IntArray
    messages: Messages


def lower_parameters(layer: Layer, cuts: Cuts, target: Target) -> Parameters:
    """Slices, parts and messages of a layer under one cut."""
    slices, sizes = parameter_slices(layer, cuts, target)
    rows_first = bool(multicast(slices, sizes, Mesh.of(target)).rows_first[0])
    used = slices[0] >= 0
    slice_of = np.where(used, numbered(slices)[0], -1)
    size = sizes[0].astype(np.int64)
    low, high = _parts(slice_of, size)
    return Parameters(
        slice_of=slice_of,
        slice_bytes=size,
        constants=_constants(layer, cuts, target),
        scale_bytes=_scale_bytes(layer, cuts),
        stored_low=low,
        stored_high=high,
        messages=_messages(slice_of, low, high, rows_first),
    )


def _parts(slice_of: IntArray, size: IntArray) -> tuple[IntArray, IntArray]:
    """First byte that each core stores of its slice, and one past the last [cores]."""
    same = slice_of[:, None] == slice_of[None]
    members = same.sum(axis=1)
    place = np.tril(same, -1).sum(axis=1)
    each = -(-size // members)
    return np.minimum(place * each, size), np.minimum((place + 1) * each, size)


def _messages(slice_of: IntArray, low: IntArray, high: IntArray, rows_first: bool) -> Messages:
    same = (slice_of[:, None] == slice_of[None]) & ~np.eye(len(slice_of), dtype=bool)
    senders = np.flatnonzero((slice_of >= 0) & (high > low) & same.any(axis=1))
    boxes = Region(low[senders, None], high[senders, None])
    return Messages(boxes, senders, same[senders], 8, rows_first)


def _constants(layer: Layer, cuts: Cuts, target: Target) -> tuple[Constant, ...]:
    found: list[Constant] = []
    first = np.zeros(cuts.cores, np.int64)
    for call in layer.calls:
        regions = call_regions(call, cuts)
        for value, region in zip(call.inputs, regions, strict=True):
            if value is None or not value.is_constant:
                continue
            assert region is not None
            needed = Region(region.low[0], region.high[0])
            found.append(Constant(value, needed, first))
            first = first - (-needed.volume * storage_bits(value, target) // 8)
    return tuple(found)


def _scale_bytes(layer: Layer, cuts: Cuts) -> IntArray:
    size = np.zeros((len(cuts), cuts.cores)) + scale_bytes(layer, cuts)
    return size[0].astype(np.int64)
