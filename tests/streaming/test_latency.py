"""Quantiles of a histogram against NumPy's of the same numbers; a curve in a fixed memory."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from zapdeploy.streaming.latency import Curve, Histogram


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=200), st.floats(0, 1))
def test_quantiles_are_at_most_one_step_too_high(durations: list[int], share: float) -> None:
    histogram = Histogram()
    for duration in durations:
        histogram.add(duration)
    wanted = float(np.quantile(durations, share, method="inverted_cdf"))
    found = histogram.quantile_s(share) * 1e9
    assert wanted * (1 - 1e-9) <= found <= max(wanted, 1) * 2 ** (1 / 128) * (1 + 1e-9)
    assert histogram.maximum_ns == max(durations)


def test_jitter_is_the_mean_step() -> None:
    histogram = Histogram()
    for duration in (1000, 3000, 2000):
        histogram.add(duration)
    assert np.isclose(histogram.jitter_s, 1.5e-6)
    assert Histogram().quantile_s(0.5) == 0


def test_a_long_curve_keeps_extremes_in_1024_points() -> None:
    curve, durations = Curve(), np.random.default_rng(0).integers(1, 1000, 10_000)
    for at, duration in enumerate(durations):
        curve.add(1_000_000 * at, int(duration))
    found = curve.as_json()
    assert 512 <= len(found["at_s"]) <= 1024
    assert np.isclose(max(found["greatest_s"]), durations.max() * 1e-9)
    assert np.isclose(min(found["least_s"]), durations.min() * 1e-9)
    assert found["at_s"][0] == 0
    assert np.all(np.diff(found["at_s"]) > 0)
