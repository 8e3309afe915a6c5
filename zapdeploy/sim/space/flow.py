"""One pass of all cards in time: layers one after the other, pieces over the host links meanwhile.

Every card has a link of its own, both ways at once, one transfer at a time each way, as between
stages (`sim/flow.py`): a piece goes to the host, and from there to its reader when the host has all
of it. Its card sends it as soon as it is made. The host's memory and work cost no time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zapdeploy.compile.mapping.cost import storage_bits
from zapdeploy.compile.regions import IntArray
from zapdeploy.compile.space.cards import Cards
from zapdeploy.compile.space.pieces import Gathering, Joining
from zapdeploy.hardware_targets import Target
from zapdeploy.sim.space.steps import Steps

Seconds = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Traffic:
    """Of one exchange: what it is of, and bytes out of each card and into each [cards]."""

    name: str
    value: str
    out_bytes: IntArray
    in_bytes: IntArray


@dataclass(frozen=True, eq=False)
class SpaceFlow:
    """One pass. `ended_s`: when each card is through [cards]; `halo_wait_s`, `sum_wait_s`: how long
    it stood still for pieces, and for sums; `spans`: of each card's layers, (start, end)."""

    ended_s: Seconds
    halo_wait_s: Seconds
    sum_wait_s: Seconds
    traffic: tuple[Traffic, ...]
    spans: tuple[tuple[tuple[float, float], ...], ...]

    @property
    def out_bytes(self) -> IntArray:
        return _total([each.out_bytes for each in self.traffic], len(self.ended_s))

    @property
    def in_bytes(self) -> IntArray:
        return _total([each.in_bytes for each in self.traffic], len(self.ended_s))


def _total(parts: Sequence[IntArray], cards: int) -> IntArray:
    found: IntArray = np.sum(parts, axis=0, dtype=np.int64) if parts else np.zeros(cards, np.int64)
    return found


def traffic_of(cards: Cards, target: Target) -> tuple[Traffic, ...]:
    """Bytes of all exchanges, in the order in which they are first read."""
    found = []
    for gathering in cards.exchanges.gatherings.values():
        size = piece_bytes(cards, gathering, target)
        out, into = (
            np.bincount(who, size, cards.number).astype(np.int64)
            for who in (gathering.source, gathering.reader)
        )
        found.append(Traffic(gathering.name, gathering.value, out, into))
    for joining in cards.exchanges.joinings.values():
        size_of_part = part_bytes(cards, joining, target)
        out = np.zeros(cards.number, np.int64)
        out[joining.adders] = size_of_part
        into = np.full(cards.number, size_of_part * len(joining.adders), np.int64)
        found.append(Traffic(joining.name, joining.value, out, into))
    return tuple(each for each in found if each.in_bytes.any())


def piece_bytes(cards: Cards, gathering: Gathering, target: Target) -> IntArray:
    """Bytes of each piece on a link."""
    bits = storage_bits(cards.cut.graph.values[gathering.value], target)
    return -(-gathering.parts.volume * bits // 8)


def part_bytes(cards: Cards, joining: Joining, target: Target) -> int:
    """Bytes of one card's part of a sum."""
    value = cards.cut.graph.values[joining.value]
    return -(-value.size * storage_bits(value, target) // 8)


def flow(cards: Cards, kinds: Sequence[Steps], target: Target) -> SpaceFlow:
    """Let all cards pass once."""
    run = _Pass(cards, kinds, target)
    run.go()
    return SpaceFlow(
        run.now, run.halo_wait, run.sum_wait, traffic_of(cards, target),
        tuple(map(tuple, run.spans)),
    )  # fmt: skip


@dataclass(eq=False)
class _Pass:
    cards: Cards
    kinds: Sequence[Steps]
    target: Target
    ready: dict[str, dict[int, float]] = field(default_factory=dict)
    arrived: dict[str, Mapping[int, float]] = field(default_factory=dict)
    spans: list[list[tuple[float, float]]] = field(init=False)

    def __post_init__(self) -> None:
        number = self.cards.number
        self.spans = [[] for _ in range(number)]
        self.now, self.out_free, self.in_free, self.halo_wait, self.sum_wait = np.zeros((5, number))

    def go(self) -> None:
        done = [0] * self.cards.number
        while any(k < len(self._steps(c).layers) for c, k in enumerate(done)):
            before = sum(done)
            for card in range(self.cards.number):
                while done[card] < len(self._steps(card).layers) and self._step(card, done[card]):
                    done[card] += 1
            assert sum(done) > before, "cards wait for one another"

    def _steps(self, card: int) -> Steps:
        return self.kinds[self.cards.kinds[card]]

    def _step(self, card: int, layer: int) -> bool:
        """Run a layer if all that it waits for is known to arrive; whether it ran."""
        steps = self._steps(card)
        joins, late = steps.joins[layer], steps.late[layer]
        if not all(self._arrives(name) for name in (*joins, *(name for name, _ in late))):
            return False
        now, seconds = float(self.now[card]), steps.seconds[layer]
        start = max([now, *(self.arrived[name][card] for name in joins)])
        self.sum_wait[card] += start - now
        end = start + seconds
        for name, share in late:
            end = max(end, self.arrived[name].get(card, 0.0) + share * seconds)
        waited = end - start - seconds
        self.halo_wait[card] += waited
        for value, share in steps.sends.get(layer, ()):
            # What waits for pieces itself is at the border, and is then made last.
            made = end if waited > 0 else start + share * seconds
            self.ready.setdefault(value, {})[card] = made
        self.now[card] = end
        self.spans[card].append((start, end))
        return True

    def _arrives(self, name: str) -> bool:
        """Whether all cards have made what an exchange needs; then it is sent."""
        if name in self.arrived:
            return True
        exchanges = self.cards.exchanges
        if name in exchanges.joinings:
            joining = exchanges.joinings[name]
            ready = self.ready.get(name, {})
            if not all(int(card) in ready for card in joining.adders):
                return False
            self.arrived[name] = self._join(joining, ready)
            return True
        gathering = exchanges.gatherings[name]
        ready = self.ready.get(gathering.value, {})
        if not all(card in ready for card in np.unique(gathering.source).tolist()):
            return False
        self.arrived[name] = self._gather(gathering, ready)
        return True

    def _gather(self, gathering: Gathering, ready: Mapping[int, float]) -> dict[int, float]:
        """When each reader has the last of its pieces."""
        rate, latency = self._link()
        size = piece_bytes(self.cards, gathering, self.target) / rate
        there = np.zeros(len(size))
        for piece in np.argsort(gathering.source, kind="stable").tolist():
            card = int(gathering.source[piece])
            self.out_free[card] = max(self.out_free[card], ready[card]) + size[piece]
            there[piece] = self.out_free[card] + latency
        found: dict[int, float] = {}
        for piece in np.argsort(there, kind="stable").tolist():
            card = int(gathering.reader[piece])
            self.in_free[card] = max(self.in_free[card], there[piece] + latency) + size[piece]
            found[card] = float(self.in_free[card])
        return found

    def _join(self, joining: Joining, ready: Mapping[int, float]) -> dict[int, float]:
        """When each card has the parts of all."""
        rate, latency = self._link()
        size = part_bytes(self.cards, joining, self.target) / rate
        last = 0.0
        for card in joining.adders.tolist():
            self.out_free[card] = max(self.out_free[card], ready[card]) + size
            last = max(last, float(self.out_free[card]) + latency)
        start = np.maximum(self.in_free, last + latency)
        self.in_free = start + size * len(joining.adders)
        return dict(enumerate(self.in_free.tolist()))

    def _link(self) -> tuple[float, float]:
        """Bytes a second, and seconds before the first byte."""
        host = self.target.host
        return float(host.bandwidth.value), float(host.transfer_latency_s)
