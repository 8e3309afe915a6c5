"""Who has each link when: the earliest start at which all links of a tree are free.

A link's busy times are kept sorted and without gaps between neighbours that touch; the lists of all
links lie behind one another, list l from `first[l]` on with `used[l]` entries.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zapdeploy.compile.kernels.jit import compiled, inlined
from zapdeploy.compile.regions import IntArray


class Reservations(NamedTuple):
    """Busy times [begin, end) in cycles of every link."""

    first: IntArray
    used: IntArray
    begin: IntArray
    end: IntArray


def no_reservations(uses: IntArray) -> Reservations:
    """Free links, with room for `uses` messages each."""
    first = np.concatenate([[0], np.cumsum(uses)]).astype(np.int64)
    begin, end = np.zeros((2, int(first[-1])), np.int64)
    return Reservations(first, np.zeros(len(uses), np.int64), begin, end)


def without_room(reservations: Reservations) -> Reservations:
    """The same times without the room for more."""
    room = np.diff(reservations.first)
    place = np.arange(len(reservations.begin)) - np.repeat(reservations.first[:-1], room)
    taken = place < np.repeat(reservations.used, room)
    first = np.concatenate([[0], np.cumsum(reservations.used)]).astype(np.int64)
    return Reservations(
        first, reservations.used, reservations.begin[taken], reservations.end[taken]
    )


def link_cycles(reservations: Reservations) -> IntArray:
    """Busy cycles of every link [links]."""
    link = np.repeat(np.arange(len(reservations.used)), reservations.used)
    busy = (reservations.end - reservations.begin).astype(np.float64)
    return np.asarray(np.bincount(link, busy, len(reservations.used)), np.int64)


@compiled
def next_gap(reservations: Reservations, link: int, start: int, cycles: int) -> int:
    """The first cycle from `start` on at which the link is free for that long."""
    low = reservations.first[link]
    return _gap(
        reservations.begin, reservations.end, low, low + reservations.used[link], start, cycles
    )


@inlined
def _gap(begin: IntArray, end: IntArray, low: int, high: int, start: int, cycles: int) -> int:
    """As `next_gap`, of the link whose times lie from `low` to `high`."""
    last = high
    while low < high:
        middle = (low + high) // 2
        if end[middle] > start:
            high = middle
        else:
            low = middle + 1
    while low < last and begin[low] < start + cycles:
        start = end[low]
        low += 1
    return start


@compiled
def reserve(reservations: Reservations, link: int, start: int, cycles: int) -> None:
    """Mark a free time of a link as busy."""
    _insert(
        reservations.begin,
        reservations.end,
        reservations.used,
        link,
        reservations.first[link],
        start,
        cycles,
    )


@inlined
def _insert(
    begin: IntArray,
    end: IntArray,
    used: IntArray,
    link: int,
    first: int,
    start: int,
    cycles: int,
) -> None:
    last = first + used[link]
    place = last
    while place > first and begin[place - 1] > start:
        place -= 1
    joins_left = place > first and end[place - 1] == start
    joins_right = place < last and begin[place] == start + cycles
    if joins_left and joins_right:
        end[place - 1] = end[place]
        for i in range(place, last - 1):
            begin[i], end[i] = begin[i + 1], end[i + 1]
        used[link] -= 1
    elif joins_left:
        end[place - 1] = start + cycles
    elif joins_right:
        begin[place] = start
    else:
        for i in range(last, place, -1):
            begin[i], end[i] = begin[i - 1], end[i - 1]
        begin[place], end[place] = start, start + cycles
        used[link] += 1


@compiled
def send(
    reservations: Reservations,
    links: IntArray,
    hops: IntArray,
    low: int,
    high: int,
    hop_latency: int,
    cycles: int,
    start: int,
) -> int:
    """Book all links `low` to `high` of a tree at the earliest common start; that start."""
    if cycles == 0:
        return start
    first, used, begin, end = (
        reservations.first,
        reservations.used,
        reservations.begin,
        reservations.end,
    )
    settled = False
    while not settled:
        settled = True
        for i in range(low, high):
            link, at = links[i], start + hops[i] * hop_latency
            last = first[link] + used[link]
            if used[link] and end[last - 1] > at:  # else it is free from then on
                free = _gap(begin, end, first[link], last, at, cycles)
                if free > at:
                    start += free - at
                    settled = False
    for i in range(low, high):
        at = start + hops[i] * hop_latency
        _insert(begin, end, used, links[i], first[links[i]], at, cycles)
    return start


class BusyCycles(NamedTuple):
    """The same as bits, one a cycle from `first` on, for the first cycles of a schedule: with them
    the first common start of many links is found 64 cycles at a time. bits: uint64 [links, words];
    none where a schedule is too long for them, and searching intervals is as good."""

    bits: NDArray[np.uint64]
    first: int


MOST_BITS_BYTES = 1 << 25
_WORD = 64


def busy_from(start: int, links: int, cycles: int) -> BusyCycles:
    """Free links, from a cycle on for so many."""
    words = -(-cycles // _WORD) + 1
    if words * links * 8 > MOST_BITS_BYTES:
        words = 0
    return BusyCycles(np.zeros((links, words), np.uint64), start)


@compiled
def first_common(
    busy: BusyCycles,
    links: IntArray,
    hops: IntArray,
    low: int,
    high: int,
    hop_latency: int,
    cycles: int,
    start: int,
) -> int:
    """A start, `start` or later, before which the links are never all free: the first common one
    where the bits reach so far, else where they end."""
    bits, origin = busy
    words, run, at = bits.shape[1], 0, start - origin
    if at < 0 or words == 0:
        return start
    while True:
        taken = np.uint64(0)
        for i in range(low, high):
            place = at + hops[i] * hop_latency
            word, shift = place >> 6, np.uint64(place & 63)
            if word + 1 >= words:
                return at - run + origin
            part = bits[links[i], word] >> shift
            if shift:
                part |= bits[links[i], word + 1] << (np.uint64(64) - shift)
            taken |= part
        if taken == 0 and run + 64 < cycles:
            run += 64
        else:
            for bit in range(64):
                if (taken >> np.uint64(bit)) & np.uint64(1):
                    run = 0
                else:
                    run += 1
                    if run == cycles:
                        return at + bit + 1 - cycles + origin
        at += 64


@compiled
def mark_busy(busy: BusyCycles, link: int, start: int, cycles: int) -> None:
    """As far as the bits reach."""
    bits, origin = busy
    begin = start - origin
    end = min(begin + cycles, bits.shape[1] * 64)
    for cycle in range(begin, end):
        bits[link, cycle >> 6] |= np.uint64(1) << np.uint64(cycle & 63)


@compiled
def busy_cycles(reservations: Reservations, link: int, start: int, stop: int) -> int:
    """For how many cycles of [start, stop) the link is busy."""
    begin, end = reservations.begin, reservations.end
    low, high = reservations.first[link], reservations.first[link] + reservations.used[link]
    last = high
    while low < high:
        middle = (low + high) // 2
        if end[middle] > start:
            high = middle
        else:
            low = middle + 1
    busy = 0
    while low < last and begin[low] < stop:
        busy += min(end[low], stop) - max(begin[low], start)
        low += 1
    return busy
