"""What a card's layers wait for and what they send, and how much of each layer has to do with it.

A layer that reads a box with pieces of other cards begins with what needs none of them, and a layer
whose output others read begins with what they are sent. Which share of its work that is, is counted
at the core that has most of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zapdeploy.compile.layers import Layer, Read, group_layers, stored
from zapdeploy.compile.mapping.tiling import Cuts, space_of
from zapdeploy.compile.ops.base import operator
from zapdeploy.compile.program.program import LayerProgram, Program
from zapdeploy.compile.regions import IntArray, Region, whole
from zapdeploy.compile.space.cards import Cards
from zapdeploy.hardware_targets import Target


@dataclass(frozen=True, eq=False)
class Steps:
    """The layers of a kind of card, by their number.

    `joins`: values whose parts must all be there when the layer starts. `late`: boxes whose pieces
    must be there when its last `share` starts. `sends`: values that it makes, which others have
    parts of when its first `share` is done.
    """

    layers: tuple[str, ...]
    seconds: tuple[float, ...]
    joins: Mapping[int, tuple[str, ...]]
    late: Mapping[int, tuple[tuple[str, float], ...]]
    sends: Mapping[int, tuple[tuple[str, float], ...]]


def steps_of(cards: Cards, kind: int, program: Program, seconds: Sequence[float]) -> Steps:
    """The steps of a kind of card, whose layers take so many seconds."""
    layers, card, found = group_layers(program.graph), cards.models[kind], cards.exchanges
    joins: dict[int, tuple[str, ...]] = {}
    late: dict[int, tuple[tuple[str, float], ...]] = {}
    sends: dict[int, tuple[tuple[str, float], ...]] = {}
    by_parts = {joining.parts_name: joining.value for joining in found.joinings.values()}
    read: set[str] = set()
    for index, layer in enumerate(layers):
        names = [read.source.name for read in layer.reads]
        joins[index] = tuple(by_parts[name] for name in names if name in by_parts)
        first = [r for r in layer.reads if r.source.name in found.gatherings]
        first = [r for r in first if r.source.name not in read]
        read |= {r.source.name for r in first}
        cuts = _cuts(layer, program.layers[index], program.target)
        late[index] = tuple(
            (
                r.source.name,
                _waiting_share(cards, r, layer, card, Region(*(e[0] for e in cuts.output))),
            )
            for r in first
        )
    exchanged = {g.value for g in found.gatherings.values() if len(g.source)} | set(found.joinings)
    made = {layer.output.name: index for index, layer in enumerate(layers)}
    for value in sorted(exchanged):
        source = stored(program.graph, program.graph.values[value]).name
        if source in made:
            index = made[source]
            cuts = _cuts(layers[index], program.layers[index], program.target)
            share = _sending_share(cards, value, card, cuts) if source == value else 1.0
            sends[index] = (*sends.get(index, ()), (value, share))
    return Steps(tuple(layer.name for layer in layers), tuple(seconds), joins, late, sends)


def _cuts(layer: Layer, program: LayerProgram, target: Target) -> Cuts:
    return Cuts(space_of(layer), np.array([program.cut], np.int64), target.cores)


def _waiting_share(cards: Cards, read: Read, layer: Layer, card: int, made: Region) -> float:
    """The share of what a core makes that reads more of a box than its card's own part, where most.

    `made`: what each core makes of the layer's output [cores, rank].
    """
    gathering = cards.exchanges.gatherings[read.source.name]
    if not len(gathering.pieces_of(card)):
        return 0.0
    low, high = made.low.copy(), made.high.copy()
    before, after = cards.cut.axes[gathering.value], cards.cut.axes[layer.output.name]
    first, own = gathering.box.low[card], cards.cut.owned[gathering.value]
    for source, axis in zip(before, after, strict=True):
        if source is None:
            continue
        if axis is None:
            return 1.0
        needed = _needed(read, _slabs(layer.output.shape, axis))
        begins = needed.low[:, source] >= own.low[card, source] - first[source]
        inside = np.flatnonzero(
            begins & (needed.high[:, source] <= own.high[card, source] - first[source])
        )
        if not len(inside):
            return 1.0
        low[:, axis] = np.maximum(low[:, axis], inside[0])
        high[:, axis] = np.minimum(high[:, axis], inside[-1] + 1)
    return 1.0 - _least_ratio(Region(low, high).volume, made.volume)


def _slabs(shape: Sequence[int], axis: int) -> Region:
    """A tensor index by index along an axis [length, rank]."""
    slabs = whole(tuple(shape), (shape[axis],))
    low, high = slabs.low.copy(), slabs.high.copy()
    low[:, axis] = np.arange(shape[axis])
    high[:, axis] = low[:, axis] + 1
    return Region(low, high)


def _needed(read: Read, out: Region) -> Region:
    """What boxes of a layer's output need of a tensor that it reads."""
    found = operator(read.call.node.op).input_regions(read.call, out)[read.input]
    for view in read.views:
        assert found is not None
        found = operator(view.node.op).input_regions(view, found)[0]
    assert found is not None
    return Region(*(np.broadcast_to(edge, (len(out.low), edge.shape[-1])) for edge in found))


def _sending_share(cards: Cards, value: str, card: int, cuts: Cuts) -> float:
    """The share of what a core makes of a value that other cards are sent, where most."""
    if value in cards.exchanges.joinings:
        return 1.0
    own, held = cards.cut.owned[value].low[card], Region(cuts.held.low[0], cuts.held.high[0])
    sent = np.zeros(len(held.low), np.int64)
    for gathering in cards.exchanges.gatherings.values():
        if gathering.value == value:
            for piece in np.flatnonzero(gathering.source == card):
                part = Region(gathering.parts.low[piece] - own, gathering.parts.high[piece] - own)
                sent += held.intersect(part).volume
    return 1.0 - _least_ratio(np.maximum(held.volume - sent, 0), held.volume)


def _least_ratio(part: IntArray, whole: IntArray) -> float:
    busy = whole > 0
    return float((part[busy] / whole[busy]).min(initial=1.0))
