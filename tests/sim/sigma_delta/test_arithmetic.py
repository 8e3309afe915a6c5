"""Integer requantization against float32 arithmetic itself."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from zapdeploy.sim.sigma_delta.arithmetic import mantissas, requantize
from zapdeploy.sim.sigma_delta.network import Requantization

LIMITS = (-(1 << 30), 1 << 30)


def _codes(sums: list[int], multiplier: np.float32) -> np.ndarray:
    whole, shift = mantissas(np.asarray([multiplier]))
    by = Requantization.of_one_sum(
        np.zeros((1, 1, 1), np.int64), whole.reshape(1, 1, 1), shift, LIMITS, rounds_first=True
    )
    first = np.asarray(sums, np.int64).reshape(1, 1, -1)
    return requantize(first, np.zeros_like(first), by)[0, 0]


@given(
    sums=st.lists(st.integers(-(1 << 23), 1 << 23), min_size=1, max_size=50),
    multiplier=st.floats(2.0**-20, 4.0, width=32),
)
def test_integers_round_as_float32_does(sums: list[int], multiplier: float) -> None:
    expected = np.rint(np.asarray(sums, np.float32) * np.float32(multiplier))
    assert np.array_equal(_codes(sums, np.float32(multiplier)), expected.astype(np.int64))


def test_ties_go_to_the_even_code() -> None:
    assert _codes([1, 3, 5, 7, -1, -3, -5], np.float32(0.5)).tolist() == [0, 2, 2, 4, 0, -2, -2]


def test_a_product_that_float32_rounds_onto_a_tie() -> None:
    """-1048553 x 0.13562357 is -142208.5057, which float32 takes for -142208.5: a tie."""
    multiplier, sums = np.float32(0.13562357), [-1048553, -1048494, 12]
    exact = [round(s * float(multiplier)) for s in sums]
    assert exact == [-142209, -142201, 2], "rounded once"
    assert _codes(sums, multiplier).tolist() == [-142208, -142200, 2], "rounded twice"


def test_one_shift_serves_multipliers_of_different_size() -> None:
    multipliers = np.asarray([0.001, 0.3, 1.7], np.float32)
    whole, shift = mantissas(multipliers)
    assert np.array_equal(
        np.ldexp(whole.astype(np.float64), -shift), multipliers.astype(np.float64)
    )
