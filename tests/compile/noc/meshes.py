"""A mesh of cores, one link at a time: the slow and obvious way to count traffic.

A packet leaves its core along the row (or the column), to the left and to the right as far as it
is wanted, and turns off where some core of that column (or row) wants it. Every link it passes
carries it once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

Core = tuple[int, int]
Link = tuple[Core, Core]


def multicast_tree(source: Core, wanted: Iterable[Core], *, rows_first: bool = True) -> set[Link]:
    """Links from `source` to all of `wanted`, along one dimension and then along the other."""
    links: set[Link] = set()
    for target in wanted:
        corner = (source[0], target[1]) if rows_first else (target[0], source[1])
        links |= set(_straight(source, corner)) | set(_straight(corner, target))
    return links


def _straight(a: Core, b: Core) -> list[Link]:
    """Links from a to b, which lie in one row or one column."""
    found, here = [], a
    while here != b:
        step = (
            here[0] + (b[0] > here[0]) - (b[0] < here[0]),
            here[1] + (b[1] > here[1]) - (b[1] < here[1]),
        )
        found.append((here, step))
        here = step
    return found


@dataclass
class Loads:
    """Bytes on every link, and into and out of every core."""

    links: Counter[Link] = field(default_factory=Counter)
    sent: Counter[Core] = field(default_factory=Counter)
    received: Counter[Core] = field(default_factory=Counter)

    def send(
        self, source: Core, wanted: Iterable[Core], size: float, *, rows_first: bool = True
    ) -> None:
        """One packet to all cores that want it, but for the one that has it."""
        others = [core for core in wanted if core != source]
        for link in multicast_tree(source, others, rows_first=rows_first):
            self.links[link] += size  # type: ignore[assignment]
        for core in others:
            self.received[core] += size  # type: ignore[assignment]
        if others:
            self.sent[source] += size  # type: ignore[assignment]

    @property
    def busiest(self) -> float:
        return max((*self.links.values(), *self.sent.values(), *self.received.values()), default=0)

    @property
    def bit_hops(self) -> float:
        return 8 * sum(self.links.values())
