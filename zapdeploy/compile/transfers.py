"""Moving activations: from where one layer leaves a tensor to where the next one needs it.

A core that needs a box of a tensor holds part of it; the rest arrives over the activation network.
`arrivals` is what the busiest receiving port takes, for all pairs of candidate cuts: a lower bound.
`route` follows every piece of one pair over the links of the mesh, as multicast trees with
dimension-ordered routes: along the row of the core that holds the piece, then along the columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zapdeploy.compile.regions import IntArray, Region

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Traffic:
    """One transfer. `link_bytes`: over the busiest link or port; `received_bytes`, `sent_bytes`: at
    the busiest core; the totals are over all cores (a piece for many is sent once)."""

    link_bytes: float
    received_bytes: float
    sent_bytes: float
    total_received_bytes: float
    total_sent_bytes: float
    bit_hops: float


def arrivals(held: Region, needed: Region) -> FloatArray:
    """Elements the busiest core needs and does not hold [candidates of source, of reader].

    No transfer takes less than its busiest receiving port. Regions are [candidates, cores, rank].
    """
    return _missing(held, needed).max(axis=2).astype(np.float64)


def arrivals_from_afar(held: Region, needed: Region, rows: int) -> FloatArray:
    """Elements over the busiest vertical link if they came from rows picked at random.

    What a core needs and its row does not hold comes along its column. Uniform traffic among n
    cores in a line loads a link with n / 6 times what each of them receives.
    """
    candidates, cores, rank = held.low.shape
    grouped = (candidates, rows, cores // rows, rank)
    empty = (held.volume == 0).reshape(grouped[:3])[..., None]
    large = np.iinfo(np.int32).max
    low = np.where(empty, large, held.low.reshape(grouped)).min(axis=2)
    high = np.where(empty, 0, held.high.reshape(grouped)).max(axis=2)
    of_row = Region(np.repeat(low, cores // rows, axis=1), np.repeat(high, cores // rows, axis=1))
    return _missing(of_row, needed).max(axis=2) * (rows / 6)


def _missing(held: Region, needed: Region) -> NDArray[np.int32]:
    """Elements of each core's needed box outside its held box [source, reader, cores]."""
    overlap = np.ones((len(held.low), *needed.low.shape[:2]), np.int32)
    for axis in range(held.low.shape[-1]):
        bounds = (b[..., axis].astype(np.int32) for b in (*held, *needed))
        low, high, first, last = bounds
        length = np.minimum(high[:, None], last[None])
        length -= np.maximum(low[:, None], first[None])
        overlap *= np.maximum(length, 0, out=length)
    return np.subtract(needed.volume.astype(np.int32)[None], overlap, out=overlap)


def from_framebuffer(needed: Region, bits: int, rows: int, columns: int) -> list[Traffic]:
    """Every core's box sent from the framebuffer, which feeds the first link of every row.

    `needed` is [candidates, cores, rank]; one Traffic per candidate.
    """
    wanted = (needed.volume * (bits / 8)).reshape(-1, rows, columns)
    hops = (wanted * np.arange(1, columns + 1)).sum(axis=(1, 2))
    return [
        Traffic(float(row), float(core), 0.0, float(total), 0.0, float(hop * 8))
        for row, core, total, hop in zip(
            wanted.sum(axis=2).max(axis=1),
            wanted.max(axis=(1, 2)),
            wanted.sum(axis=(1, 2)),
            hops,
            strict=True,
        )
    ]


def route(held: Region, needed: Region, bits: int, rows: int, columns: int) -> Traffic:
    """Exact loads of all links and ports for one transfer; regions are [1, cores, rank]."""
    grid = _Links(rows, columns)
    sizes, holds, wants = _pieces(held, needed)
    for some in np.array_split(np.arange(len(sizes)), len(sizes) // _PIECES_AT_ONCE + 1):
        owner = holds[some].argmax(axis=1)
        travels = (wants[some] & ~holds[some]).any(axis=1)
        grid.send(owner[travels], wants[some][travels], sizes[some][travels] * (bits / 8))
    return grid.traffic()


_PIECES_AT_ONCE = 16_384


def _pieces(
    held: Region, needed: Region
) -> tuple[FloatArray, NDArray[np.bool_], NDArray[np.bool_]]:
    """The tensor cut at every border: elements per piece, who holds it, who wants it.

    Returns (elements [pieces], holds [pieces, cores], wants [pieces, cores]).
    """
    has, want = held.volume[0] > 0, needed.volume[0] > 0
    sizes = np.ones(1)
    holds, wants = has[None], want[None]
    for axis in range(held.low.shape[-1]):
        bounds = [b[0, :, axis] for b in (held.low, held.high, needed.low, needed.high)]
        used = (bound[m] for bound, m in zip(bounds, (has, has, want, want), strict=True))
        edges = np.unique(np.concatenate(list(used)))
        low, high = edges[:-1, None], edges[1:, None]
        sizes = (sizes[:, None] * (edges[1:] - edges[:-1])).reshape(-1)
        holds = _combine(holds, (bounds[0] <= low) & (high <= bounds[1]))
        wants = _combine(wants, (bounds[2] <= low) & (high <= bounds[3]))
    return sizes, holds, wants


def _combine(pieces: NDArray[np.bool_], along_axis: NDArray[np.bool_]) -> NDArray[np.bool_]:
    both: NDArray[np.bool_] = (pieces[:, None] & along_axis[None]).reshape(-1, pieces.shape[1])
    return both


class _Links:
    """Bytes on every link and port of a mesh."""

    def __init__(self, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        self.east = np.zeros((rows, columns - 1))
        self.west = np.zeros((rows, columns - 1))
        self.south = np.zeros((rows - 1) * columns)
        self.north = np.zeros((rows - 1) * columns)
        self.sent = np.zeros(rows * columns)
        self.received = np.zeros(rows * columns)

    def send(self, owner: IntArray, wants: NDArray[np.bool_], size: FloatArray) -> None:
        """Add pieces: the core that holds each, the cores that want it [pieces, cores], bytes."""
        if not len(owner):
            return
        row, column = np.divmod(owner, self.columns)
        grid = wants.reshape(-1, self.rows, self.columns)
        of_row = (row == np.arange(self.rows)[:, None]) * size
        east, west = _crossings(np.asarray(grid.any(axis=1)), column)
        self.east += of_row @ east
        self.west += of_row @ west
        south, north = _crossings(grid.transpose(0, 2, 1), row)
        self.south += size @ south.transpose(0, 2, 1).reshape(len(size), -1)
        self.north += size @ north.transpose(0, 2, 1).reshape(len(size), -1)
        remote = wants.copy()
        remote[np.arange(len(owner)), owner] = False
        self.received += size @ remote
        np.add.at(self.sent, owner, size)

    def traffic(self) -> Traffic:
        links = (self.east, self.west, self.south, self.north)
        ports = (self.sent, self.received)
        return Traffic(
            link_bytes=float(max(load.max(initial=0.0) for load in (*links, *ports))),
            received_bytes=float(self.received.max()),
            sent_bytes=float(self.sent.max()),
            total_received_bytes=float(self.received.sum()),
            total_sent_bytes=float(self.sent.sum()),
            bit_hops=float(8 * sum(load.sum() for load in links)),
        )


def _crossings(present: NDArray[np.bool_], start: IntArray) -> tuple[FloatArray, FloatArray]:
    """Which links of a line carry a piece that starts at `start` and ends wherever `present`.

    `present` is [pieces, ..., line]; link k joins places k and k + 1. Returns upward and downward
    crossings [pieces, ..., line - 1] as 0.0 or 1.0.
    """
    above = np.logical_or.accumulate(present[..., ::-1], axis=-1)[..., ::-1][..., 1:]
    below = np.logical_or.accumulate(present, axis=-1)[..., :-1]
    link = np.arange(present.shape[-1] - 1)
    before = start.reshape(-1, *(1,) * (present.ndim - 1)) <= link
    return (above & before).astype(np.float64), (below & ~before).astype(np.float64)
