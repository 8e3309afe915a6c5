"""Blocks of receivers spread over cores: about as many blocks on each, with senders in common.

A core keeps the weights of its rows and what their senders told. Cores are alike, so the one with
most of both says how large a network fits. Rows begin in an order in which near ones hear the same;
then two of different cores change places wherever neither core becomes too full by it and both
together hear no more senders than before.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from zapdeploy.arrays import Array, IntArray

CORES = 256  # of the chips that such networks are for; where there are others, balance is looser
MARGIN = 1.03  # a core may have so much more than the mean
TRIES = 500  # exchanges that are tried, for each row


def spread(hears: NDArray[np.bool_], movable: int, seed: int = 0) -> IntArray:
    """An order of the rows of `hears` [receivers, senders] in which each core's, which lie side by
    side, hold about as many blocks. Only the first `movable` rows move; rows that are few enough
    for one a core stay as they are."""
    rows = len(hears)
    each = -(-rows // CORES)
    order = np.arange(rows)
    if each < 2:
        return order
    tries = np.random.default_rng((seed, 9)).integers(0, movable, (TRIES * movable, 2))
    size = hears.sum(axis=1, dtype=np.int64)
    starts = np.arange(0, rows, each)
    load = np.add.reduceat(size, starts)
    known = np.add.reduceat(hears, starts, axis=0, dtype=np.int16)
    most = int(MARGIN * size.sum() * each / rows)
    _exchange(order, tries, each, hears.view(np.uint8), size, known, load, most)
    for start in range(0, movable - each + 1, each):
        mine = order[start : start + each]
        order[start : start + each] = mine[np.argsort(size[mine], kind="stable")][_mixed(each)]
    return order


def _mixed(count: int) -> IntArray:
    """An order of so many ascending sizes in which a heavy one stands before two light ones, so
    that parts of a core's rows, as more chips have them, hold about as much, too."""
    light, heavy = iter(range(count)), iter(range(count - 1, -1, -1))
    return np.array([next(heavy if k % 3 == 0 else light) for k in range(count)])


def _exchange_rows(
    order: Array, tries: Array, each: int, hears: Array, size: Array, known: Array, load: Array,
    most: int,
) -> None:  # fmt: skip
    """Exchange the rows at the places of `tries` [n, 2] where that is better. known [cores,
    senders]: rows of a core that hear each sender. load [cores]: their blocks."""
    for i, j in tries:
        a, b, p, q = i // each, j // each, order[i], order[j]
        moved = size[q] - size[p]
        too_many = max(load[a] - most, 0) + max(load[b] - most, 0)
        then = max(load[a] + moved - most, 0) + max(load[b] - moved - most, 0)
        if a == b or then > too_many:
            continue
        more = 0
        for s in range(hears.shape[1]):
            if hears[p, s] > hears[q, s]:
                more += (known[b, s] == 0) - (known[a, s] == 1)
            elif hears[q, s] > hears[p, s]:
                more += (known[a, s] == 0) - (known[b, s] == 1)
        if then == too_many and more > 0:
            continue
        order[i], order[j] = q, p
        load[a] += moved
        load[b] -= moved
        for s in range(hears.shape[1]):
            change = np.int16(hears[q, s]) - np.int16(hears[p, s])
            known[a, s] += change
            known[b, s] -= change


_exchange = njit(nogil=True, cache=True)(_exchange_rows)
