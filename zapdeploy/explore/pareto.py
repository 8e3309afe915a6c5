"""What cannot be bettered: fronts of several objectives, with and without intervals.

All objectives are made smaller-is-better. A point dominates another that is nowhere better and
somewhere worse. With intervals, a point *surely* dominates one if it does so even with its own
worst ends against the other's best, and *perhaps* if it does so with its best ends against the
other's worst. So there are points that nothing can better (sure), points that something perhaps
betters (open), and points that something surely betters (out).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import FloatArray

Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Front:
    """Of each point [points]: whether it is on the front of the stated values; whether it is out
    for sure; whether it is on the front for sure, wherever in their intervals the truth lies."""

    stated: Flags
    out: Flags
    sure: Flags


def dominated(values: FloatArray, others: FloatArray) -> Flags:
    """Which of `values` [points, objectives] are dominated by one of `others` [n, objectives]."""
    found = np.zeros(len(values), np.bool_)
    for one in others:  # an outer loop over a front, not over all points
        found |= (one <= values).all(axis=1) & (one < values).any(axis=1)
    return found


def front_of(values: FloatArray) -> Flags:
    """Which points nothing dominates."""
    order = np.lexsort(values.T[::-1])
    on = np.zeros(len(values), np.bool_)
    kept: list[int] = []
    for index in order:  # in lexicographic order only earlier points can dominate
        front = values[kept]
        one = values[index]
        if not ((front <= one).all(axis=1) & (front < one).any(axis=1)).any():
            kept.append(int(index))
    on[kept] = True
    return on


def front(values: FloatArray, low: FloatArray, high: FloatArray) -> Front:
    """The front of points whose objectives lie between low and high [points, objectives]."""
    stated = front_of(values)
    out = dominated(low, high[front_of(high)])
    sure = np.array([not _perhaps(low, high, index) for index in range(len(values))], np.bool_)
    return Front(stated, out, sure & ~out)


def _perhaps(low: FloatArray, high: FloatArray, index: int) -> bool:
    """Whether some other point, at its best, dominates this one at its worst."""
    worst = high[index]
    better = (low <= worst).all(axis=1) & (low < worst).any(axis=1)
    better[index] = False
    return bool(better.any())


def hypervolume(values: FloatArray, reference: FloatArray) -> float:
    """The volume between a front and a reference point that is worse than all of it."""
    inside = values[(values < reference).all(axis=1)]
    return _volume(inside[front_of(inside)], reference) if len(inside) else 0.0


def _volume(front: FloatArray, reference: FloatArray) -> float:
    """Slices along the last objective, each a volume of one dimension less."""
    if front.shape[1] == 1:
        return float(reference[0] - front.min())
    front = front[np.argsort(front[:, -1], kind="stable")]
    ends = np.append(front[1:, -1], reference[-1])
    total = 0.0
    for count, (begin, end) in enumerate(zip(front[:, -1], ends, strict=True), 1):
        if end > begin:
            part = front[:count, :-1]
            total += _volume(part[front_of(part)], reference[:-1]) * float(end - begin)
    return total
