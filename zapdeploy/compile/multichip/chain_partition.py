"""Cut a chain into stages so that its slowest stage is as fast as it can be. Exact.

Tables are indexed [first, end]: entry [i, j] belongs to the stage of items i to j - 1, and is
infinite where there is no such stage. They need not be sums over items: a stage's time is the
slowest of several things, and what crosses its borders depends on both of them.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import FloatArray

BoolTable = NDArray[np.bool_]
Cut = tuple[tuple[int, int], ...]


def cut(
    allowed: BoolTable,
    stages: int,
    interval: FloatArray | float = 0.0,
    latency: FloatArray | float = 0.0,
) -> Cut | None:
    """As `partition`, of allowed stages only."""
    slow, late = (np.where(allowed, table, np.inf) for table in (interval, latency))
    return partition(slow, late, stages)


def partition(interval: FloatArray, latency: FloatArray, stages: int) -> Cut | None:
    """Borders (first, end) of `stages` consecutive stages; None where there is no such cut.

    Of all cuts, one whose largest `interval` is smallest; of those, one whose `latency` adds up to
    the least. Two dynamic programs, each over [stages, items] with all borders at once: the second
    knows the first one's answer, without which a prefix cannot be judged.

    interval, latency: float64 [items + 1, items + 1].
    """
    slowest = _last(np.maximum, interval, stages)[-1][-1]
    if not np.isfinite(slowest):
        return None
    allowed = np.where(interval <= slowest, latency, np.inf)
    least = _last(np.add, allowed, stages)
    borders = [len(interval) - 1]
    for before in reversed(least[:-1]):
        borders.append(int(np.argmin(before + allowed[:, borders[-1]])))
    return tuple(pairwise(reversed(borders)))


def _last(join: np.ufunc, table: FloatArray, stages: int) -> list[FloatArray]:
    """The best of cutting the first j items into k stages, k = 0 to `stages` [k][items + 1]."""
    start = np.full(len(table), np.inf)
    start[0] = 0.0
    best = [start]
    for _ in range(stages):
        best.append(join(best[-1][:, None], table).min(axis=0))
    return best
