"""Fronts and hypervolumes against their definitions, written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapdeploy.arrays import FloatArray
from zapdeploy.explore.pareto import front, front_of, hypervolume


def points(objectives: int) -> st.SearchStrategy[FloatArray]:
    """Few distinct values, so that ties are common."""
    one = st.tuples(*[st.integers(0, 4)] * objectives)
    return st.lists(one, min_size=1, max_size=14).map(lambda rows: np.array(rows, np.float64))


def dominates(one: FloatArray, other: FloatArray) -> bool:
    return bool((one <= other).all() and (one < other).any())


@given(values=st.integers(1, 4).flatmap(points))
def test_the_front_is_what_nothing_dominates(values: FloatArray) -> None:
    wanted = [not any(dominates(b, a) for b in values) for a in values]
    assert front_of(values).tolist() == wanted


@given(values=points(2), widths=st.lists(st.integers(0, 2), min_size=14, max_size=14))
def test_fronts_with_intervals(values: FloatArray, widths: list[int]) -> None:
    wide = np.array(widths[: len(values)], np.float64)[:, None]
    low, high = values - wide, values + wide
    found = front(values, low, high)
    others = range(len(values))
    out = [any(dominates(high[j], low[i]) for j in others) for i in others]
    sure = [not any(dominates(low[j], high[i]) for j in others if j != i) for i in others]
    assert found.out.tolist() == out
    assert found.sure.tolist() == sure
    assert not (found.sure & found.out).any()


@given(values=points(2))
def test_without_intervals_all_is_sure(values: FloatArray) -> None:
    found = front(values, values, values)
    assert (found.sure == found.stated).all()
    assert (found.out == ~found.stated).all()


@given(values=st.integers(1, 4).flatmap(points))
def test_hypervolume_counts_unit_cells(values: FloatArray) -> None:
    """With whole coordinates it is the number of unit cells that some point dominates."""
    edge = 5
    shape = (edge,) * values.shape[1]
    cells = np.zeros(shape, np.bool_)
    for point in values.astype(int):
        cells[tuple(slice(p, None) for p in point)] = True
    assert hypervolume(values, np.full(values.shape[1], float(edge))) == cells.sum()


def test_hypervolume_by_hand() -> None:
    values = np.array([[1.0, 3.0], [2.0, 1.0], [9.0, 9.0]])
    assert hypervolume(values, np.array([4.0, 4.0])) == pytest.approx(3 * 1 + 2 * 2)
    assert hypervolume(values, np.array([1.0, 1.0])) == 0.0
