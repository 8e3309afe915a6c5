"""The choice of candidates against trying all of them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zapdeploy.arrays import FloatArray
from zapdeploy.compile.mapping import select
from zapdeploy.compile.mapping.select import choose

Problem = tuple[list[FloatArray], dict[tuple[int, int], FloatArray]]


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Up to 6 variables of up to 4 candidates, joined by any pairs: trees, loops, islands."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    own = [rng.integers(0, 20, size).astype(float) for size in sizes]
    pairs = {}
    for a, b in product(range(len(sizes)), repeat=2):
        if a != b and draw(st.booleans()):
            pairs[a, b] = rng.integers(0, 20, (sizes[a], sizes[b])).astype(float)
    return own, pairs


def cost_of(
    picks: tuple[int, ...], own: list[FloatArray], pairs: dict[tuple[int, int], FloatArray]
) -> float:
    alone = sum(table[pick] for table, pick in zip(own, picks, strict=True))
    return float(alone + sum(table[picks[a], picks[b]] for (a, b), table in pairs.items()))


def least(own: list[FloatArray], pairs: dict[tuple[int, int], FloatArray]) -> float:
    return min(cost_of(picks, own, pairs) for picks in product(*(range(len(t)) for t in own)))


@settings(deadline=None, max_examples=150)
@given(problems())
def test_the_choice_is_a_cheapest_one(problem: Problem) -> None:
    own, pairs = problem
    choice = choose(own, pairs)
    assert choice.exact
    assert choice.cost == cost_of(choice.picks, own, pairs)
    assert choice.cost == least(own, pairs)


@settings(deadline=None, max_examples=100)
@given(problems(), st.integers(1, 30))
def test_a_table_too_large_gives_an_honest_choice(problem: Problem, largest: int) -> None:
    """With less room the choice may be dearer; it says so, and its cost is still its own."""
    own, pairs = problem
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(select, "LARGEST_TABLE", largest)
        choice = choose(own, pairs)
    assert choice.cost == cost_of(choice.picks, own, pairs)
    assert choice.cost >= least(own, pairs)
    if choice.exact:
        assert choice.cost == least(own, pairs)


def test_no_room_at_all_is_not_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variable takes its own best, though the pair makes that dear."""
    monkeypatch.setattr(select, "LARGEST_TABLE", 1)
    own = [np.array([0.0, 1.0]), np.array([0.0, 1.0])]
    choice = choose(own, {(0, 1): np.array([[9.0, 9.0], [0.0, 0.0]])})
    assert not choice.exact
    assert choice.picks == (0, 0)
    assert choice.cost == 9


def test_a_chain_of_many_layers_stays_small() -> None:
    """60 layers of 30 candidates: the best path has cost 0, at candidate i modulo 30."""
    own = [np.zeros(30)] * 60
    step = 1.0 - np.roll(np.eye(30), 1, axis=1)
    choice = choose(own, {(i, i + 1): step for i in range(59)})
    assert choice.exact
    assert choice.cost == 0
    assert all((b - a) % 30 == 1 for a, b in zip(choice.picks, choice.picks[1:], strict=False))


def test_equal_costs_give_the_same_choice_every_time() -> None:
    own = [np.zeros(5)] * 8
    pairs = {(i, i + 1): np.ones((5, 5)) for i in range(7)}
    assert choose(own, pairs) == choose(own, pairs)


def test_nothing_to_choose() -> None:
    assert choose([], {}) == select.Choice((), 0.0, True)


def test_the_inputs_stay_as_they_were() -> None:
    own, pair = [np.array([1.0, 2.0]), np.array([3.0])], np.array([[4.0], [5.0]])
    choose(own, {(0, 1): pair})
    assert own[0].tolist() == [1, 2]
    assert pair.tolist() == [[4], [5]]
