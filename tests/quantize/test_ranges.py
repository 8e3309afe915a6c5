"""Scales chosen from histograms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapdeploy.quantize import ranges
from zapdeploy.quantize.ranges import (
    BINS,
    Histogram,
    Quantizer,
    choose_quantizer,
    count_values,
    percentile_quantizer,
)


def histogram(values: np.ndarray) -> Histogram:
    values = values.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    return Histogram(low, high, count_values(values, low, high))


def mean_squared_error(values: np.ndarray, quantizer: Quantizer) -> float:
    quantized = np.rint(values / quantizer.scale) + quantizer.zero_point
    restored = np.clip(quantized, 0, quantizer.highest) - quantizer.zero_point
    return float(np.mean((restored * quantizer.scale - values) ** 2))


def test_every_value_is_counted_once() -> None:
    values = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    assert count_values(values, float(values.min()), float(values.max())).sum() == 1000


def test_counts_do_not_depend_on_how_many_values_are_looked_at_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(0).standard_normal((10, 1000)).astype(np.float32)
    whole = histogram(values)
    assert whole.counts.sum() == values.size < ranges.CHUNK_ELEMENTS
    monkeypatch.setattr(ranges, "CHUNK_ELEMENTS", 999)
    np.testing.assert_array_equal(histogram(values).counts, whole.counts)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("high", [0.0, 1e-40, 1e-30, 3e38])
def test_extreme_ranges_are_counted_without_overflow(high: float) -> None:
    values = np.linspace(-high, high, 100, dtype=np.float32)
    seen = histogram(values)
    assert seen.counts.sum() == 100
    assert choose_quantizer(seen, 8).scale > 0


def test_bins_lie_where_their_values_do() -> None:
    seen = histogram(np.array([0.0, 1.0, 1.0, 4.0]))
    assert seen.counts[0] == 1
    assert seen.counts[BINS // 4] == 2
    assert seen.counts[-1] == 1
    assert seen.centres[BINS // 4] == pytest.approx(1.0, abs=4 / BINS)


def test_uniform_values_use_the_whole_range() -> None:
    """Clipping a uniform distribution only loses: the scale is range over levels, 3 / 15."""
    quantizer = choose_quantizer(histogram(np.linspace(0, 3, 100_000)), 4)
    assert quantizer == Quantizer(quantizer.scale, 0, 4)
    assert quantizer.scale == pytest.approx(3 / 15, rel=0.03)


def test_an_outlier_is_clipped_at_4_bits() -> None:
    """One value in 100,000 at 20 would leave all others on two of the sixteen levels."""
    values = np.abs(np.random.default_rng(0).standard_normal(100_000))
    values[0] = 20.0
    chosen = choose_quantizer(histogram(values), 4)
    unclipped = Quantizer(np.float32(20 / 15), 0, 4)
    assert mean_squared_error(values, chosen) < mean_squared_error(values, unclipped) / 4


def test_gaussian_clip_is_near_the_known_optimum() -> None:
    """The best 16-level uniform quantizer of a unit Gaussian has step 0.3352 (Max 1960)."""
    values = np.random.default_rng(0).standard_normal(1_000_000)
    assert choose_quantizer(histogram(values), 4).scale == pytest.approx(0.3352, rel=0.06)


def test_values_above_zero_leave_the_zero_point_at_zero() -> None:
    quantizer = choose_quantizer(histogram(np.linspace(2.0, 3.0, 1000)), 8)
    assert quantizer.zero_point == 0
    assert quantizer.scale * 255 == pytest.approx(3.0, rel=0.01)


def test_values_below_zero_leave_zero_at_the_top() -> None:
    quantizer = choose_quantizer(histogram(np.linspace(-3.0, -2.0, 1000)), 8)
    assert quantizer.zero_point == 255


def test_a_dead_tensor_gets_a_harmless_scale() -> None:
    assert choose_quantizer(histogram(np.zeros(10)), 4) == Quantizer(np.float32(1 / 15), 0, 4)


@pytest.mark.parametrize(("zero_point", "reach"), [(0, 15), (4, 11), (15, 15)])
def test_reach_is_the_largest_distance_from_the_zero_point(zero_point: int, reach: int) -> None:
    assert Quantizer(np.float32(1), zero_point, 4).reach == reach


@given(
    st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=50),
    st.sampled_from([4, 8]),
)
def test_any_tensor_gets_a_usable_quantizer(values: list[float], bits: int) -> None:
    array = np.array(values, np.float32)
    quantizer = choose_quantizer(histogram(array), bits)
    span = max(float(array.max()), 0.0) - min(float(array.min()), 0.0)
    assert 0 < quantizer.scale < np.inf
    assert 0 <= quantizer.zero_point <= quantizer.highest
    assert quantizer.scale * quantizer.highest <= max(span, 1.0) * 1.001


def test_percentile_leaves_out_one_value_in_100_000() -> None:
    random = np.random.default_rng(0)
    values = np.append(random.uniform(-1, 3, 400_000), [50.0, -40.0]).astype(np.float32)
    low, high = float(values.min()), float(values.max())
    found = percentile_quantizer(Histogram(low, high, count_values(values, low, high)), 8)
    assert float(found.scale) * 255 == pytest.approx(4, abs=0.2)
    assert found.zero_point == pytest.approx(64, abs=4)
