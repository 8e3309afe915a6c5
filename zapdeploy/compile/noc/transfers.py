"""Moving activations: from where one layer leaves a tensor to where the next one needs it.

A core that needs a box of a tensor holds part of it; the rest arrives over the activation network.
`arrivals` is what the busiest receiving port takes, for all pairs of candidate cuts: a lower bound.
`route` follows every piece of one pair over the links of the mesh, as multicast trees with
dimension-ordered routes: along the row of the core that holds the piece, then along the columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import FloatArray
from zapdeploy.compile.kernels.jit import compiled
from zapdeploy.compile.noc.mesh import Mesh
from zapdeploy.compile.noc.multicast import numbered
from zapdeploy.compile.regions import IntArray, Region, Slices, wanted_volume


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


def arrivals(held: Region, needed: Region, slices: Slices | None = None) -> FloatArray:
    """Elements the busiest core needs and does not hold [candidates of source, of reader].

    No transfer takes less than its busiest receiving port. Regions are [candidates, cores, rank].
    """
    return _missing(held, needed, slices).max(axis=2).astype(np.float64)


def arrivals_from_afar(
    held: Region, needed: Region, mesh: Mesh, slices: Slices | None = None
) -> FloatArray:
    """Elements over the busiest vertical link if they came from rows picked at random.

    What a core needs and its row does not hold comes along its column. Uniform traffic among n
    cores in a line loads a link with n / 6 times what each of them receives.
    """
    candidates, _, rank = held.low.shape
    grouped = (candidates, mesh.rows, mesh.columns, rank)
    empty = (held.volume == 0).reshape(grouped[:3])[..., None]
    large = np.iinfo(np.int32).max
    low = np.where(empty, large, held.low.reshape(grouped)).min(axis=2)
    high = np.where(empty, 0, held.high.reshape(grouped)).max(axis=2)
    of_row = Region(*(np.repeat(bound, mesh.columns, axis=1) for bound in (low, high)))
    return _missing(of_row, needed, slices).max(axis=2) * (mesh.rows / 6)


def _missing(held: Region, needed: Region, slices: Slices | None) -> NDArray[np.int32]:
    """Elements of each core's needed box outside its held box [source, reader, cores]."""
    overlap = np.ones((len(held.low), *needed.low.shape[:2]), np.int32)
    for axis in range(held.low.shape[-1]):
        bounds = (b[..., axis].astype(np.int32) for b in (*held, *needed))
        low, high, first, last = bounds
        length = np.minimum(high[:, None], last[None])
        begin = np.maximum(low[:, None], first[None])
        if slices is not None and axis == slices.axis:
            length = slices.lengths(begin, length).astype(np.int32)
        else:
            length -= begin
        overlap *= np.maximum(length, 0, out=length)
    volume = wanted_volume(needed, slices).astype(np.int32)
    return np.subtract(volume[None], overlap, out=overlap)


def from_framebuffer(
    needed: Region, bits: int, mesh: Mesh, width_ratio: float, slices: Slices | None = None
) -> list[Traffic]:
    """Boxes sent from the framebuffer, which feeds the first link of every row.

    A box that several cores of a row need is sent once and passed on. `needed` is [candidates,
    cores, rank]; one Traffic per candidate, its `total_sent_bytes` those read from the framebuffer.
    `width_ratio`: of an activation link to the whole framebuffer; when all of it together takes
    longer than any row's link, that counts as the busiest link. slices: what is left out of boxes.
    """
    if slices is not None:
        every = range(len(needed.low))
        return [
            _pieces_from_framebuffer(
                Region(needed.low[k : k + 1], needed.high[k : k + 1]),
                bits, mesh, width_ratio, slices.pick(k),
            )
            for k in every
        ]  # fmt: skip
    wanted = needed.volume * (bits / 8)
    row, column = mesh.position(np.arange(mesh.cores))
    group = equal_boxes(needed, row)
    size, reach = np.zeros((2, *group.shape))
    candidates = np.arange(len(group))[:, None]
    np.maximum.at(size, (candidates, group), wanted)
    np.maximum.at(reach, (candidates, group), np.broadcast_to(column + 1.0, group.shape))
    place = np.zeros(group.shape, np.int64)
    np.put_along_axis(place, group, np.broadcast_to(row, group.shape), axis=1)
    by_row = np.zeros((len(group), mesh.rows))
    np.add.at(by_row, (candidates, place), size)
    link = np.maximum(by_row.max(axis=1), size.sum(axis=1) * width_ratio)
    hops = (size * reach).sum(axis=1) * 8
    found = zip(link, wanted.max(axis=1), wanted.sum(axis=1), size.sum(axis=1), hops, strict=True)
    return [
        Traffic(float(busiest), float(core), 0.0, float(received), float(sent), float(hop))
        for busiest, core, received, sent, hop in found
    ]


def _pieces_from_framebuffer(
    needed: Region, bits: int, mesh: Mesh, width_ratio: float, slices: Slices
) -> Traffic:
    """Every row's port sends each piece that a core of the row wants, once; of one candidate."""
    found = pieces(Region(needed.low, needed.low), needed, slices)
    size = np.asarray(found.boxes.volume * (bits / 8), np.float64)
    grid = mesh.grid(found.wants)
    by_row = size @ grid.any(axis=2)
    reach = np.where(grid.any(axis=2), mesh.columns - np.argmax(grid[..., ::-1], axis=2), 0)
    link = max(float(by_row.max()), float(by_row.sum()) * width_ratio)
    wanted = slices.volume(needed)[0] * (bits / 8)
    hops = float((size[:, None] * reach).sum()) * 8
    total = float(wanted.sum())
    return Traffic(link, float(wanted.max()), 0.0, total, float(by_row.sum()), hops)


def equal_boxes(needed: Region, row: IntArray) -> IntArray:
    """Numbers of the distinct boxes of each row, from 0 [candidates, cores]."""
    key = np.broadcast_to(row, needed.low.shape[:2])
    for bound in (needed.low, needed.high):
        for along in np.moveaxis(bound, -1, 0):
            key = numbered(key * (int(along.max(initial=0)) + 1) + along)
    return numbered(key)


def route(
    held: Region, needed: Region, bits: int, mesh: Mesh, slices: Slices | None = None
) -> Traffic:
    """Exact loads of all links and ports for one transfer; regions are [1, cores, rank]."""
    links = _Links(mesh)
    boxes, holds, wants = pieces(held, needed, slices)
    sizes = np.asarray(boxes.volume * (bits / 8), np.float64)
    links.send(holds, wants, sizes)
    own = wanted_volume(held.intersect(needed), slices)
    received = (wanted_volume(needed, slices) - own)[0] * (bits / 8)
    return links.traffic(received)


class Pieces(NamedTuple):
    """A tensor cut at every border: the boxes [pieces, rank], and which cores hold and want each
    [pieces, cores]."""

    boxes: Region
    holds: NDArray[np.bool_]
    wants: NDArray[np.bool_]


def pieces(held: Region, needed: Region, slices: Slices | None = None) -> Pieces:
    """Cut a tensor at the borders of all held and needed boxes [1, cores, rank], and of what is
    left out of these."""
    has, want = held.volume[0] > 0, needed.volume[0] > 0
    holds, wants = has[None], want[None]
    low = high = np.zeros((1, 0), np.int64)
    for axis in range(held.low.shape[-1]):
        bounds = [b[0, :, axis] for b in (held.low, held.high, needed.low, needed.high)]
        used = (bound[m] for bound, m in zip(bounds, (has, has, want, want), strict=True))
        edges = np.unique(np.concatenate(list(used)))
        if slices is not None and axis == slices.axis and edges.size:
            borders = np.arange(slices.wanted.shape[-1] + 1) * slices.width
            inside = (borders > edges[0]) & (borders < edges[-1])
            edges = np.union1d(edges, borders[inside])
        first, last = edges[:-1, None], edges[1:, None]
        holds = _combine(holds, (bounds[0] <= first) & (last <= bounds[1]))
        read = (bounds[2] <= first) & (last <= bounds[3])
        if slices is not None and axis == slices.axis:
            read &= slices.wanted[0][:, edges[:-1] // slices.width].T
        wants = _combine(wants, read)
        low, high = _extend(low, edges[:-1]), _extend(high, edges[1:])
    return Pieces(Region(low, high), holds, wants)


def _extend(bounds: IntArray, along_axis: IntArray) -> IntArray:
    """Every row of `bounds` with every entry of a further axis behind it."""
    every = np.repeat(bounds, len(along_axis), axis=0)
    return np.column_stack([every, np.tile(along_axis, len(bounds))])


def _combine(pieces: NDArray[np.bool_], along_axis: NDArray[np.bool_]) -> NDArray[np.bool_]:
    both: NDArray[np.bool_] = (pieces[:, None] & along_axis[None]).reshape(-1, pieces.shape[1])
    return both


class _Links:
    """Bytes on every link of a mesh, kept as differences: the load of link k is the sum up to k.

    A piece travels along the row of its owner as far as any column needs it, and in each of those
    columns up and down as far as any core needs it.
    """

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.east, self.west, self.south, self.north = np.zeros((4, mesh.cores))
        self.sent = np.zeros(mesh.cores)

    def send(self, holds: NDArray[np.bool_], wants: NDArray[np.bool_], size: FloatArray) -> None:
        """Add pieces: the cores that hold and want each [pieces, cores], bytes [pieces]."""
        grid, loads = self.mesh.grid, (self.sent, self.east, self.west, self.south, self.north)
        _send(grid(holds), grid(wants), size, *map(grid, loads))

    def traffic(self, received: FloatArray) -> Traffic:
        """All loads together; `received` are the bytes that reach each core."""
        grid = self.mesh.grid
        along = [np.cumsum(grid(load), axis=1) for load in (self.east, self.west)]
        along += [np.cumsum(grid(load), axis=0) for load in (self.south, self.north)]
        return Traffic(
            link_bytes=float(max(load.max() for load in (*along, self.sent, received))),
            received_bytes=float(received.max()),
            sent_bytes=float(self.sent.max()),
            total_received_bytes=float(received.sum()),
            total_sent_bytes=float(self.sent.sum()),
            bit_hops=float(8 * sum(load.sum() for load in along)),
        )


@compiled
def _send(
    holds: NDArray[np.bool_],
    wants: NDArray[np.bool_],
    size: FloatArray,
    sent: FloatArray,
    east: FloatArray,
    west: FloatArray,
    south: FloatArray,
    north: FloatArray,
) -> None:
    """From the first core that holds each piece [pieces, rows, columns]: load its lines where its
    way begins, and unload them where it ends. What all who want it hold stays where it is."""
    rows, columns = sent.shape
    for piece in range(len(size)):
        row, column, travels = -1, 0, False
        for place in range(rows):
            for line in range(columns):
                if holds[piece, place, line]:
                    if row < 0:
                        row, column = place, line
                elif wants[piece, place, line]:
                    travels = True
        if not travels:
            continue
        row = max(row, 0)
        left, right, load = column, column, size[piece]
        sent[row, column] += load
        for line in range(columns):
            top, bottom, wanted = row, row, False
            for place in range(rows):
                if wants[piece, place, line]:
                    top, bottom, wanted = min(top, place), max(bottom, place), True
            if wanted:
                left, right = min(left, line), max(right, line)
                south[row, line] += load
                south[bottom, line] -= load
                north[top, line] += load
                north[row, line] -= load
        east[row, column] += load
        east[row, right] -= load
        west[row, left] += load
        west[row, column] -= load
