"""The cuts worth pricing exactly: the best few hundredths of all that could be made.

All cuts of a layer are ranked by their largest tile alone. The best are kept, and the best for each
way of sharing the weights, since what suits a layer by itself may not suit its neighbours; then the
neighbours' own cuts are added, since keeping the layout costs no traffic.
"""

from __future__ import annotations

import numpy as np

from zapdeploy.arrays import FloatArray
from zapdeploy.compile.layers import Layer
from zapdeploy.compile.mapping.cost import core_work, parameter_slices
from zapdeploy.compile.mapping.tiling import Cuts, Space, enumerate_cuts
from zapdeploy.compile.regions import IntArray
from zapdeploy.hardware_targets import Target

BEST = 10
PER_SHARING = 2
MOST = 20
NEIGHBOURS = 5  # cuts of each neighbour that are tried here, too
_WORTH = 0.5  # of the largest number of cores that any cut keeps busy


def rank_cuts(layer: Layer, space: Space, target: Target, width: float = 1.0) -> IntArray:
    """Factor vectors of the kept cuts, best first [n, rank + 1]; `width` times as many as usual."""
    factors = enumerate_cuts(space, target.array.usable_cores)
    used = np.prod(factors, axis=1)
    factors = factors[used >= _WORTH / max(width, 1.0) * used.max()]
    cost = _largest_tile_cost(layer, Cuts(space, factors, 1), target)
    order = np.argsort(cost, kind="stable")
    factors = factors[order]
    sharing = _sharing(space, factors)
    seen: dict[tuple[int, ...], int] = {}
    kept: list[int] = []
    for index, key in enumerate(map(tuple, sharing)):
        seen[key] = seen.get(key, 0) + 1
        if index < width * BEST or (seen[key] <= PER_SHARING and len(kept) < width * MOST):
            kept.append(index)
    return factors[kept]


def with_neighbours(space: Space, own: IntArray, others: list[IntArray]) -> IntArray:
    """`own` and the neighbours' factor vectors that fit this space, each once."""
    fitting = [_fit(space, factors) for factors in others if factors.shape[1] == own.shape[1]]
    every = np.concatenate([own, *fitting])
    _, first = np.unique(every, axis=0, return_index=True)
    return every[np.sort(first)]


def _fit(space: Space, factors: IntArray) -> IntArray:
    """The same factors, where the space allows them; the reduction stays whole."""
    allowed = np.array([*space.cuttable[:-1], False])
    counts = space.counts
    clipped = np.where(allowed, np.minimum(factors, counts), 1)
    return np.asarray(-(-counts // -(-counts // clipped)), np.int64)


def _sharing(space: Space, factors: IntArray) -> IntArray:
    """What tells cuts apart for their neighbours: frames, channels and partial sums."""
    channel = space.digits[-2] if len(space.digits) > 1 else 0
    keys = factors[:, [0, channel, -1]]
    return np.asarray(keys, np.int64)


def _largest_tile_cost(layer: Layer, cuts: Cuts, target: Target) -> FloatArray:
    """Cycles of the first core, whose tile is the largest, and of its share of the weights."""
    work = core_work(layer, cuts, target)
    _, slice_bytes = parameter_slices(layer, cuts, target)
    channel = cuts.space.digits[-2] if len(cuts.space.digits) > 1 else 0
    slices = cuts.factors[:, channel] * cuts.factors[:, -1]
    loads = np.where(work.accumulator_tiles > 0, slice_bytes * work.accumulator_tiles, 0.0)
    shared = (cuts.used > slices)[:, None] & (target.core.weights == "shared")
    inside = work.unit_cycles(target, np.where(shared, 0.0, loads))
    weights = np.where(shared, loads / target.networks.model.width.value, 0.0)
    busiest = np.maximum.reduce([*inside.values(), weights])[:, 0]
    busiest = np.maximum(busiest, work.partial.cycles)
    output_moves = work.held_bytes[:, 0] / target.networks.activation.width.value
    return np.asarray(busiest + work.partial.latency + 0.01 * output_moves, np.float64)
