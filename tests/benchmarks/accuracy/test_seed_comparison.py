"""Errors of several seeds compared: Welch's interval, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from zapdeploy.benchmarks.accuracy.seed_comparison import compare_seeds

ONE = ((1.0, 1.2), (1.1, 1.3), (0.9, 1.1))  # means 1.1, 1.2, 1.0
TWO = ((2.0, 2.0), (2.2, 2.2), (2.4, 2.4), (2.2, 2.2))


def test_the_interval_is_welchs() -> None:
    (found,) = compare_seeds({"one": ONE, "two": TWO})
    own, theirs = np.array([1.1, 1.2, 1.0]), np.array([2.0, 2.2, 2.4, 2.2])
    error = math.sqrt(own.var(ddof=1) / 3 + theirs.var(ddof=1) / 4)
    freedom = error**4 / ((own.var(ddof=1) / 3) ** 2 / 2 + (theirs.var(ddof=1) / 4) ** 2 / 3)
    assert found.difference == pytest.approx(-1.1)
    assert freedom == pytest.approx(4.909, abs=0.001)
    # Student's t table: 2.776 at 4 degrees of freedom, 2.571 at 5; between them it is nearly
    # linear in 1 / freedom, 2.586 at 4.909.
    assert found.high == pytest.approx(-1.1 + 2.586 * error, abs=2e-3)
    assert found.low == pytest.approx(-1.1 - 2.586 * error, abs=2e-3)
    assert found.text == "one errs less than two"


def test_the_other_way_round_and_no_difference() -> None:
    (worse,) = compare_seeds({"two": TWO, "one": ONE})
    assert worse.text == "two errs MORE than one"
    (equal,) = compare_seeds({"one": ONE, "same": ONE})
    assert equal.text == "one and same differ by no more than chance"
    assert equal.low < 0 < equal.high
    assert equal.p_value == pytest.approx(1)


def test_the_first_is_compared_with_each_and_one_seed_with_none() -> None:
    found = compare_seeds({"one": ONE, "two": TWO, "alone": ((1.0, 1.0),), "three": ONE})
    assert [(c.model, c.other, c.seeds) for c in found] == [
        ("one", "two", (3, 4)),
        ("one", "three", (3, 3)),
    ]
    assert compare_seeds({}) == []
    (still,) = compare_seeds({"a": ((1.0,), (1.0,)), "b": ((2.0,), (2.0,))})
    assert (still.low, still.high, still.p_value) == (-1, -1, 0)
