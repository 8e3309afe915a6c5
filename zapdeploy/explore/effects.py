"""What each axis does to a result, and what two of them do together.

Over a whole grid the variance of a result falls into parts: one for each axis (main effects), one
for each pair of axes (interactions), and a rest. Results that span orders of magnitude are taken as
logarithms, so that an effect is a factor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import FloatArray


@dataclass(frozen=True)
class Effect:
    """`names`: one axis or two. `share`: of the variance of the logarithm. `factors`: by value (or
    pair of values), the result over its geometric mean, for one axis alone."""

    names: tuple[str, ...]
    share: float
    factors: Mapping[Any, float]


def effects(
    rows: Sequence[Mapping[str, Any]], axes: Sequence[str], result: str
) -> tuple[Effect, ...]:
    """Main effects and interactions on a result, the largest first. Rows without it are left out;
    where the grid has holes, shares are approximate."""
    kept = [row for row in rows if row.get(result)]
    if len(kept) < 2:
        return ()
    logs = np.log(np.array([float(row[result]) for row in kept]))
    away = logs - logs.mean()
    total = float((away**2).mean())
    levels = {name: _levels(kept, name) for name in axes}
    mains = {name: _means(away, *levels[name]) for name in axes}
    found = [
        Effect(
            (name,),
            _share(mains[name], total),
            dict(zip(levels[name][0], np.exp(_by_level(away, levels[name][1])), strict=True)),
        )
        for name in axes
    ]
    for one, other in combinations(axes, 2):
        pair = levels[one][1] * len(levels[other][0]) + levels[other][1]
        together = _by_level(away, np.unique(pair, return_inverse=True)[1])
        cells = together[np.unique(pair, return_inverse=True)[1]]
        found.append(Effect((one, other), _share(cells - mains[one] - mains[other], total), {}))
    return tuple(sorted(found, key=lambda effect: -effect.share))


def levels_of(rows: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """The values of an axis as text: numbers in their order, others in that of appearance."""
    values = list(dict.fromkeys(row[name] for row in rows))
    if all(isinstance(value, int | float) for value in values):
        values.sort()
    return [str(value) for value in values]


def _levels(rows: Sequence[Mapping[str, Any]], name: str) -> tuple[list[Any], NDArray[np.int64]]:
    """The values of an axis, and which of them each row has."""
    values = [str(row[name]) for row in rows]
    known = levels_of(rows, name)
    place = {value: index for index, value in enumerate(known)}
    return known, np.array([place[value] for value in values], np.int64)


def _by_level(away: FloatArray, level: NDArray[np.int64]) -> FloatArray:
    return np.bincount(level, away) / np.bincount(level)


def _means(away: FloatArray, known: list[Any], level: NDArray[np.int64]) -> FloatArray:
    """Of every row the mean over its level [rows]."""
    return np.asarray(_by_level(away, level)[level], np.float64)


def _share(part: FloatArray, total: float) -> float:
    return float((part**2).mean()) / total if total > 0 else 0.0
