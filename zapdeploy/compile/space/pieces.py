"""What cards send each other: the parts of what a card reads that others have.

Every distinct box of a value that nodes read is put together once on each card, from the card's own
part and from pieces. A piece is a box that one card sends to one other. Parts of sums go to the
host, which hands all of them to every card; each adds them up in the order of the cards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from zapdeploy.compile.regions import IntArray, Region
from zapdeploy.compile.space.cutting import NodeCut, SpaceCut


@dataclass(frozen=True, eq=False)
class Gathering:
    """A box of a value that cards read, and where its parts come from.

    `box` [cards, rank]; piece i goes from card `source[i]` to card `reader[i]`, in the order of
    the readers and then of the sources, and is the box `parts` [pieces, rank] of the whole value.
    """

    value: str
    name: str  # of what is put together, on every card
    box: Region
    source: IntArray
    reader: IntArray
    parts: Region

    def pieces_of(self, card: int) -> IntArray:
        """The numbers of the pieces that a card receives."""
        return np.flatnonzero(self.reader == card)

    def input_name(self, piece: int) -> str:
        """Under what name the reader's network takes a piece."""
        first = int(np.searchsorted(self.reader, self.reader[piece]))
        return f"{self.name}/{piece - first}"


@dataclass(frozen=True, eq=False)
class Joining:
    """A value of which `adders` have a part each, to be summed on every card that reads it."""

    value: str
    adders: IntArray

    @property
    def parts_name(self) -> str:
        """Of the parts of all cards, [adders, ...], as the network of every card takes them."""
        return f"{self.value}@parts"

    @property
    def name(self) -> str:
        """Of the sum."""
        return f"{self.value}@sum"


@dataclass(frozen=True, eq=False)
class Exchanges:
    """All that crosses between cards, by the value and what is put together of it.

    `read`: under which name a node (by its name) finds its input of a number.
    """

    gatherings: Mapping[str, Gathering]
    joinings: Mapping[str, Joining]
    read: Mapping[tuple[str, int], str]


def exchanges_of(cut: SpaceCut) -> Exchanges:
    """What has to cross so that every card can read what its nodes need."""
    gatherings: dict[str, Gathering] = {}
    joinings: dict[str, Joining] = {}
    read: dict[tuple[str, int], str] = {}
    known: dict[str, list[Gathering]] = {}
    for node, index, name, need in _reads(cut):
        key = (node.node.name, index)
        if name in node.joined:
            joinings[name] = Joining(name, cut.adders(name))
            read[key] = joinings[name].name
        elif _same(need, cut.owned[name]):
            read[key] = name
        else:
            of_value = known.setdefault(name, [])
            found = next((each for each in of_value if _same(each.box, need)), None)
            if found is None:
                found = _gathering(cut, name, f"{name}@{len(of_value)}", need)
                of_value.append(found)
                gatherings[found.name] = found
            read[key] = found.name
    return Exchanges(gatherings, joinings, read)


def _reads(cut: SpaceCut) -> Iterator[tuple[NodeCut, int, str, Region]]:
    for node in cut.nodes:
        for index, (name, need) in enumerate(zip(node.node.inputs, node.needs, strict=True)):
            if name and need is not None and not cut.graph.values[name].is_constant:
                yield node, index, name, need


def _same(a: Region, b: Region) -> bool:
    return np.array_equal(a.low, b.low) and np.array_equal(a.high, b.high)


def _gathering(cut: SpaceCut, value: str, name: str, need: Region) -> Gathering:
    own = cut.owned[value]
    low = np.maximum(need.low[:, None], own.low[None])
    high = np.minimum(need.high[:, None], own.high[None])
    there = np.all(high > low, axis=-1) & cut.holders(value)
    np.fill_diagonal(there, val=False)
    if value in cut.hosted:
        there[:] = False  # the host gave the card all that it reads
    reader, source = np.nonzero(there)
    parts = Region(low[reader, source], high[reader, source])
    return Gathering(value, name, need, source, reader, parts)
