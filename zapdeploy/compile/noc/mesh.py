"""The array as a mesh: where cores lie and how far apart, its links, and the tree of links that
each message takes. Nothing else in the package derives any of this.

Cores are numbered row by row. The framebuffer lies at the west: its port into row r sends to the
row's first core, and stands as -1 - r where a sending core would. Links are numbered: east from
core k is k, west is cores + k, then south, north; then the port through which core k sends, the
port through which it receives, and the framebuffer's link into the first core of each row.

A message leaves its core along the row, to the left and to the right as far as any receiver's
column, and turns off into these columns (or columns first, then rows). Its head takes `hop_latency`
cycles from core to core, so a link that is h cores away is entered h hops later.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zapdeploy.compile.kernels.jit import compiled, inlined
from zapdeploy.compile.noc.messages import Messages
from zapdeploy.compile.regions import IntArray
from zapdeploy.hardware_targets import Target

NetworkName = Literal["model", "activation", "partial_sum", "instruction"]
DIRECTIONS = ("east", "west", "south", "north", "send", "receive")
_EAST, _WEST, _SOUTH, _NORTH, SEND, RECEIVE = range(6)


@dataclass(frozen=True)
class Mesh:
    """An array, and the cycles from core to core of one of its networks."""

    rows: int
    columns: int
    hop_latency: int = 1

    @classmethod
    def of(cls, target: Target, network: NetworkName | None = None) -> Mesh:
        """A target's array, with the whole cycles that a hop of this network takes."""
        array = target.array
        latency = 1 if network is None else getattr(target.networks, network).hop_latency.value
        return cls(int(array.rows), int(array.columns), ceil(latency))

    @property
    def cores(self) -> int:
        return self.rows * self.columns

    @property
    def diameter(self) -> int:
        """Hops between opposite corners."""
        return self.rows + self.columns - 2

    @property
    def mean_distance(self) -> float:
        """Hops between two cores of which nothing is known, about."""
        return (self.rows + self.columns) / 3

    @property
    def hops_along_row(self) -> int:
        """Hops from end to end of a row."""
        return self.columns - 1

    @property
    def mean_hops_outside(self) -> float:
        """Hops from a core into the framebuffer, over all of a row."""
        return (self.columns + 1) / 2

    def position(self, core: Any) -> tuple[Any, Any]:
        """Row and column of a core, or of an array of them."""
        row, column = divmod(core, self.columns)
        return row, column

    def core(self, row: Any, column: Any) -> Any:
        """The number of the core at a position."""
        return row * self.columns + column

    def grid(self, values: NDArray[Any]) -> NDArray[Any]:
        """What belongs to cores [..., cores] as [..., rows, columns]."""
        return values.reshape(*values.shape[:-1], self.rows, self.columns)

    def ports(self, rows: IntArray) -> IntArray:
        """The framebuffer's ports into these rows, as senders."""
        return -1 - rows

    def entries(self, senders: IntArray) -> IntArray:
        """Where messages enter the array: their senders, of the framebuffer's ports the first core
        of the row."""
        return np.where(senders < 0, self.core(-1 - senders, 0), senders)

    def steps(self, a: IntArray, b: IntArray) -> tuple[IntArray, IntArray]:
        """Hops east or west, and north or south, between cores."""
        (row, column), (to_row, to_column) = self.position(a), self.position(b)
        return np.abs(column - to_column), np.abs(row - to_row)

    def distance(self, senders: IntArray, receivers: IntArray) -> IntArray:
        """Hops; from the framebuffer it is one more than from the row's first core."""
        across, down = self.steps(self.entries(senders), receivers)
        return across + down + (senders < 0)

    def hops_to_next(self, core: IntArray) -> IntArray:
        """Hops to the core with the next number, which may be back at the west, a row further."""
        _, column = self.position(core)
        return np.where(column == self.columns - 1, self.columns, 1)

    def chain_hops(self, first: IntArray, length: IntArray) -> IntArray:
        """Hops along so many cores in the order of their numbers."""
        _, column = self.position(first)
        wraps = (column + length - 1) // self.columns
        return np.asarray(length - 1 + wraps * (self.columns - 1), np.int64)

    @property
    def links(self) -> int:
        return len(DIRECTIONS) * self.cores + self.rows

    def is_inner(self, links: IntArray) -> NDArray[np.bool_]:
        """Which links are from core to core, or from the framebuffer: no ports."""
        found: NDArray[np.bool_] = links < SEND * self.cores
        return found | (links >= len(DIRECTIONS) * self.cores)

    def by_direction(self, links: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """What belongs to links [links] as maps of the links that leave each core."""
        inner = links[: SEND * self.cores].reshape(SEND, self.rows, self.columns)
        return dict(zip(DIRECTIONS, inner, strict=False))

    def name(self, link: int) -> str:
        """What a person calls the link."""
        kind, core = divmod(link, self.cores)
        if kind == len(DIRECTIONS):
            return f"the framebuffer's link into row {core}"
        row, column = self.position(core)
        what = "port" if kind in (SEND, RECEIVE) else "link"
        return f"the {DIRECTIONS[kind]} {what} of core ({row}, {column})"


@inlined
def send_port(cores: int, core: int) -> int:
    """The link through which a core of so many sends."""
    return SEND * cores + core


@inlined
def receive_port(cores: int, core: int) -> int:
    """The link through which a core of so many receives."""
    return RECEIVE * cores + core


@inlined
def receiver(cores: int, link: int) -> int:
    """The core that receives through a link; -1 where the link is none's port."""
    core = link - RECEIVE * cores
    return core if 0 <= core < cores else -1


@dataclass(frozen=True, eq=False)
class Trees:
    """For each message the links it takes: `links[first[m]:first[m + 1]]`, each entered
    `hops` after the start."""

    first: IntArray
    links: IntArray
    hops: IntArray

    @property
    def sizes(self) -> IntArray:
        """Links and ports of each message."""
        return np.diff(self.first)

    def uses(self, links: int, times: IntArray | None = None) -> IntArray:
        """How many messages take each link, if message m goes `times[m]` times [links]."""
        weights = None if times is None else np.repeat(times, self.sizes).astype(np.float64)
        return np.bincount(self.links, weights, links).astype(np.int64)

    def network_links(self, mesh: Mesh) -> IntArray:
        """Links from core to core, or from the framebuffer, of each message: no ports."""
        total = np.concatenate([[0], np.cumsum(mesh.is_inner(self.links))])
        return np.asarray(total[self.first[1:]] - total[self.first[:-1]], np.int64)


def trees(mesh: Mesh, messages: Messages) -> Trees:
    """The tree of every message. A framebuffer port sends along its row, then along columns."""
    found = _trees(
        messages.senders.astype(np.int64),
        np.ascontiguousarray(messages.receivers),
        mesh.rows,
        mesh.columns,
        messages.rows_first,
    )
    return Trees(*found)


@compiled
def _trees(
    senders: IntArray, receivers: NDArray[np.bool_], rows: int, columns: int, rows_first: bool
) -> tuple[IntArray, IntArray, IntArray]:
    cores = rows * columns
    first = np.zeros(len(senders) + 1, np.int64)
    links = np.empty(len(senders) * 2 + 16, np.int64)
    hops = np.empty_like(links)
    count = 0
    for m in range(len(senders)):
        if count + 3 * cores + 2 > len(links):
            links = np.concatenate((links, np.empty(len(links) + 3 * cores, np.int64)))
            hops = np.concatenate((hops, np.empty(len(hops) + 3 * cores, np.int64)))
        count = _tree(senders[m], receivers[m], rows, columns, rows_first, links, hops, count)
        first[m + 1] = count
    return first, links[:count].copy(), hops[:count].copy()


@compiled
def _tree(
    sender: int,
    receivers: NDArray[np.bool_],
    rows: int,
    columns: int,
    rows_first: bool,
    links: IntArray,
    hops: IntArray,
    count: int,
) -> int:
    """Write the links of one message from place `count` on; the place behind them."""
    cores = rows * columns
    before = 0
    if sender < 0:  # from the framebuffer: one hop into the row's first core
        links[count], hops[count] = 6 * cores - 1 - sender, 0
        sender, before = (-1 - sender) * columns, 1
    else:
        links[count], hops[count] = 4 * cores + sender, 0
    count += 1
    row, column = sender // columns, sender % columns
    # `along` is the line the message takes first; `across` are the lines it turns into.
    lines, length = (columns, rows) if rows_first else (rows, columns)
    here, turn = (column, row) if rows_first else (row, column)
    ahead, back = (0, 1) if rows_first else (2, 3)
    down, up = (2, 3) if rows_first else (0, 1)
    low, high = here, here
    for line in range(lines):
        reach_low, reach_high = turn, turn
        wanted = False
        for place in range(length):
            core = place * columns + line if rows_first else line * columns + place
            if receivers[core]:
                wanted = True
                reach_low, reach_high = min(reach_low, place), max(reach_high, place)
                far = before + abs(line - here) + abs(place - turn)
                links[count], hops[count] = 5 * cores + core, far
                count += 1
        if not wanted:
            continue
        low, high = min(low, line), max(high, line)
        for place in range(turn, reach_high):
            core = place * columns + line if rows_first else line * columns + place
            links[count] = down * cores + core
            hops[count] = before + abs(line - here) + place - turn
            count += 1
        for place in range(turn, reach_low, -1):
            core = place * columns + line if rows_first else line * columns + place
            links[count] = up * cores + core
            hops[count] = before + abs(line - here) + turn - place
            count += 1
    for line in range(here, high):
        core = turn * columns + line if rows_first else line * columns + turn
        links[count], hops[count] = ahead * cores + core, before + line - here
        count += 1
    for line in range(here, low, -1):
        core = turn * columns + line if rows_first else line * columns + turn
        links[count], hops[count] = back * cores + core, before + here - line
        count += 1
    return count
