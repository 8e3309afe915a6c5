"""The exact cut against trying every cut there is."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapdeploy.arrays import FloatArray
from zapdeploy.compile.multichip.chain_partition import cut, partition


def best_of_all(interval: FloatArray, latency: FloatArray, stages: int) -> tuple[float, float]:
    """The smallest largest interval, then the smallest sum of latencies; infinite without a cut."""
    items = len(interval) - 1
    costs = [(np.inf, np.inf)]
    for inner in combinations(range(1, items), stages - 1):
        borders = list(pairwise((0, *inner, items)))
        slowest = max(float(interval[b]) for b in borders)
        costs.append((slowest, sum(float(latency[b]) for b in borders)))
    return min(costs)


@st.composite
def tables(draw: st.DrawFn) -> tuple[FloatArray, FloatArray, int]:
    """Few different costs, so that ties are common; some stages are impossible."""
    items = draw(st.integers(1, 7))
    costs: Any = st.sampled_from((1.0, 2.0, 3.0, 4.0))
    interval = np.full((items + 1, items + 1), np.inf)
    latency = interval.copy()
    for i, j in combinations(range(items + 1), 2):
        if draw(st.integers(0, 5)):
            interval[i, j], latency[i, j] = draw(costs), draw(costs)
    return interval, latency, draw(st.integers(1, items + 1))


@given(tables())
def test_no_cut_is_better(drawn: tuple[FloatArray, FloatArray, int]) -> None:
    interval, latency, stages = drawn
    best = best_of_all(interval, latency, stages)
    found = partition(interval, latency, stages)
    if best[0] == np.inf:
        assert found is None
        return
    assert found is not None
    assert len(found) == stages
    assert found[0][0] == 0
    assert found[-1][1] == len(interval) - 1
    assert all(left[1] == right[0] for left, right in pairwise(found))
    assert (max(interval[b] for b in found), sum(latency[b] for b in found)) == best


def test_slowest_stage_comes_before_latency() -> None:
    """Items of 1, 1, 4: [1 1][4] has the slowest stage 4, as [1][1 4] with 5 has not."""
    times = np.array([0.0, 1.0, 2.0, 6.0])
    interval = times[None, :] - times[:, None]
    latency = np.zeros_like(interval)
    latency[0, 2] = 100.0
    assert partition(*(np.where(t < 0, np.inf, t) for t in (interval, latency)), 2) == (
        (0, 2),
        (2, 3),
    )


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_only_what_is_allowed(stages: int) -> None:
    """Two items make one or two stages; with the border between them barred, one."""
    allowed = np.triu(np.ones((3, 3), np.bool_), 1)
    assert (cut(allowed, stages) is None) == (stages > 2)
    allowed[0, 1] = False
    assert (cut(allowed, stages) is None) == (stages > 1)
