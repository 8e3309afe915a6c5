"""Messages cut into packets, so that what is read first can be sent first.

A message is cut at every border of what its receivers read step by step; the pieces that are first
read in the same step make up one packet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zapdeploy.compile.kernels.jit import compiled
from zapdeploy.compile.noc.messages import Messages
from zapdeploy.compile.regions import IntArray, Region

Masks = NDArray[np.uint64]
_MOST_EDGES = 32  # along each dimension of a message


@dataclass(frozen=True, eq=False)
class Packets:
    """Parts of messages, sorted by message; arrays over packets.

    `message`: which; `elements`: how many; `step`: the first in which any receiver reads from it.
    Receiver `core[j]` reads packet p first in step `at[j]`, for j in [`first[p]`, `first[p + 1]`).
    """

    message: IntArray
    elements: IntArray
    step: IntArray
    first: IntArray
    core: IntArray
    at: IntArray

    def __len__(self) -> int:
        return len(self.message)


def packets(messages: Messages, low: IntArray, high: IntArray) -> Packets:
    """Cut messages by what their receivers read; `low`, `high` are [steps, cores, rank].

    A scalar counts as a vector of one element.
    """
    boxes = messages.boxes
    if not low.shape[-1]:
        boxes = Region(*(np.full((len(messages), 1), end) for end in (0, 1)))
        low, high = (np.full((*low.shape[:-1], 1), end) for end in (0, 1))
    found = _packets(
        np.ascontiguousarray(boxes.low),
        np.ascontiguousarray(boxes.high),
        np.ascontiguousarray(messages.receivers),
        np.ascontiguousarray(np.moveaxis(low, 0, 2)),
        np.ascontiguousarray(np.moveaxis(high, 0, 2)),
    )
    return Packets(*found)


@compiled
def _packets(
    box_low: IntArray,
    box_high: IntArray,
    receivers: NDArray[np.bool_],
    low: IntArray,
    high: IntArray,
) -> tuple[IntArray, IntArray, IntArray, IntArray, IntArray, IntArray]:
    """Needs are [cores, rank, steps] here."""
    steps = low.shape[2]
    message = np.empty(1024, np.int64)
    elements, step = np.empty_like(message), np.empty_like(message)
    first = np.zeros(1025, np.int64)
    core, at = np.empty(1024, np.int64), np.empty(1024, np.int64)
    packets, entries = 0, 0
    for m in range(len(box_low)):
        cores = np.flatnonzero(receivers[m])
        edges, counts = _edges(box_low[m], box_high[m], cores, low, high)
        size, earliest = _by_step(edges, counts, cores, low, high)
        for s in range(steps):
            if size[s] == 0:
                continue
            if packets + 1 >= len(message):
                message, elements, step = _longer(message), _longer(elements), _longer(step)
                first = _longer(first)
            if entries + len(cores) > len(core):
                core, at = _longer(core, len(cores)), _longer(at, len(cores))
            message[packets], elements[packets], step[packets] = m, size[s], s
            for r in range(len(cores)):
                if earliest[s, r] < steps:
                    core[entries], at[entries] = cores[r], earliest[s, r]
                    entries += 1
            packets += 1
            first[packets] = entries
    ends = (message[:packets], elements[:packets], step[:packets], first[: packets + 1])
    return (*ends, core[:entries], at[:entries])


@compiled
def _longer(array: IntArray, more: int = 0) -> IntArray:
    return np.concatenate((array, np.empty(len(array) + more, np.int64)))


@compiled
def _edges(
    box_low: IntArray, box_high: IntArray, cores: IntArray, low: IntArray, high: IntArray
) -> tuple[IntArray, IntArray]:
    """Where the message is cut along each dimension [rank, at most], and how many edges that is."""
    rank = len(box_low)
    edges = np.empty((rank, _MOST_EDGES + 1), np.int64)
    counts = np.empty(rank, np.int64)
    for axis in range(rank):
        first, last = box_low[axis], box_high[axis]
        wanted = np.zeros(last - first + 1, np.bool_)
        for k in cores:
            for s in range(low.shape[2]):
                a, b = low[k, axis, s], high[k, axis, s]
                if a < b:
                    wanted[min(max(a, first), last) - first] = True
                    wanted[min(max(b, first), last) - first] = True
        wanted[0] = wanted[-1] = False
        inner = np.flatnonzero(wanted)
        every = max(-(-len(inner) // (_MOST_EDGES - 1)), 1)
        inner = inner[every - 1 :: every]
        edges[axis, 0] = first
        edges[axis, 1 : len(inner) + 1] = inner + first
        edges[axis, len(inner) + 1] = last
        counts[axis] = len(inner) + 1
    return edges, counts


@compiled
def _masks(edges: IntArray, counts: IntArray, low: IntArray, high: IntArray, words: int) -> Masks:
    """Which steps of one core touch each interval along each dimension [rank, intervals, words]."""
    rank = len(counts)
    masks = np.zeros((rank, _MOST_EDGES, words), np.uint64)
    for axis in range(rank):
        for i in range(counts[axis]):
            for s in range(low.shape[1]):
                if low[axis, s] < edges[axis, i + 1] and high[axis, s] > edges[axis, i]:
                    masks[axis, i, s // 64] |= np.uint64(1) << np.uint64(s % 64)
    return masks


@compiled
def _by_step(
    edges: IntArray, counts: IntArray, cores: IntArray, low: IntArray, high: IntArray
) -> tuple[IntArray, IntArray]:
    """Elements first read in each step [steps], and by each receiver first in [steps, receivers].

    A step that no receiver reads from counts as the last.
    """
    rank, steps = len(counts), low.shape[2]
    words = -(-steps // 64)
    masks = np.empty((len(cores), rank, _MOST_EDGES, words), np.uint64)
    for r in range(len(cores)):
        masks[r] = _masks(edges, counts, low[cores[r]], high[cores[r]], words)
    size = np.zeros(steps, np.int64)
    earliest = np.full((steps, len(cores)), steps, np.int64)
    place = np.zeros(rank, np.int64)
    reads = np.empty(len(cores), np.int64)
    pieces = 1
    for axis in range(rank):
        pieces *= counts[axis]
    for _ in range(pieces):
        volume, soonest = 1, steps - 1
        for axis in range(rank):
            volume *= edges[axis, place[axis] + 1] - edges[axis, place[axis]]
        for r in range(len(cores)):
            reads[r] = _first_step(masks[r], place, words, steps)
            soonest = min(soonest, reads[r])
        size[soonest] += volume
        for r in range(len(cores)):
            earliest[soonest, r] = min(earliest[soonest, r], reads[r])
        for axis in range(rank - 1, -1, -1):
            place[axis] += 1
            if place[axis] < counts[axis]:
                break
            place[axis] = 0
    return size, earliest


@compiled
def _first_step(masks: Masks, place: IntArray, words: int, steps: int) -> int:
    """The first step whose box touches the piece in every dimension; `steps` if none."""
    for w in range(words):
        bits = masks[0, place[0], w]
        for axis in range(1, len(place)):
            bits &= masks[axis, place[axis], w]
        if bits:
            low, found = bits & (~bits + np.uint64(1)), 0
            while low > np.uint64(1):
                low >>= np.uint64(1)
                found += 1
            return 64 * w + found
    return steps
