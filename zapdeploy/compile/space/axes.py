"""Which dimension of which tensor runs over which dimension of space, found by asking operators.

No list of operators says so: an output's first and last index are asked what they need of an input.
Where that is less than all along a dimension that runs over space, the output's runs over it, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from zapdeploy.compile.graph import Call, Graph, Value
from zapdeploy.compile.ops.base import operator
from zapdeploy.compile.regions import Region

Axes = tuple[int | None, ...]  # for each dimension of space, the tensor's own; None: it has none


def space_axes(graph: Graph, dimensions: int) -> dict[str, Axes]:
    """The axes of every value that is not constant, for a space of so many dimensions.

    Network inputs [frames, channels, *space] bring them in; others lie whole on every card.
    """
    nowhere: Axes = (None,) * dimensions
    found: dict[str, Axes] = {}
    for name in graph.inputs:
        rank = len(graph.values[name].shape)
        found[name] = tuple(range(2, rank)) if rank == 2 + dimensions else nowhere
    for call in graph.calls():
        axes = axes_after(call, found, dimensions) if len(call.outputs) == 1 else nowhere
        found.update({value.name: axes for value in call.outputs})
    return found


def axes_after(call: Call, axes: Mapping[str, Axes], dimensions: int) -> Axes:
    """The output's axes, from those of the inputs that have any."""
    probes = _ends(call.output)
    needs = operator(call.node.op).input_regions(call, probes)
    found: list[int | None] = [None] * dimensions
    for d in range(dimensions):
        inputs = [
            (value, need, own)
            for value, need in zip(call.inputs, needs, strict=True)
            if value is not None
            and need is not None
            and (own := axes.get(value.name, (None,) * dimensions)[d]) is not None
            and value.shape[own] > 1
        ]
        follow = [
            _following(value, need, own, len(call.output.shape)) for value, need, own in inputs
        ]
        if follow and all(len(each) == 1 and each == follow[0] for each in follow):
            found[d] = follow[0][0]
    taken = [axis for axis in found if axis is not None]
    return tuple(axis if taken.count(axis) == 1 else None for axis in found)  # type: ignore[arg-type]


def _ends(value: Value) -> Region:
    """Along each dimension, the first index and the last [rank, 2, rank]."""
    rank = len(value.shape)
    shape = np.asarray(value.shape, np.int64)
    low = np.zeros((rank, 2, rank), np.int64)
    high = np.broadcast_to(shape, low.shape).copy()
    for d, length in enumerate(value.shape):
        high[d, 0, d] = min(1, length)
        low[d, 1, d] = max(length - 1, 0)
    return Region(low, high)


def _following(value: Value, need: Region, axis: int, rank: int) -> Sequence[int]:
    """The output's dimensions whose two ends need different parts of the input along `axis`."""
    low, high = (
        np.broadcast_to(edge, (rank, 2, len(value.shape)))[..., axis]
        for edge in (need.low, need.high)
    )
    length = value.shape[axis]
    return [d for d in range(rank) if high[d, 0] < length or low[d, 1] > 0]
