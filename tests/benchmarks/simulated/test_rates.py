"""Intervals of rates, latencies and powers from one schedule."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.chips import small_model
from zapdeploy.api import compile_model, simulate
from zapdeploy.benchmarks.simulated.rates import Spread, spread
from zapdeploy.sim.results import Result


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return simulate(compile_model(small_model(tmp_path_factory.mktemp("rates")), batch=4))


@pytest.fixture(scope="module")
def found(result: Result) -> Spread:
    return spread(result)


def test_values_are_the_schedules_and_lie_inside(result: Result, found: Spread) -> None:
    values = (result.throughput_fps, result.latency_s, result.power_w.value)
    for value, one in zip(
        values, (found.frames_per_s, found.latency_s, found.power_w), strict=True
    ):
        assert one.value == value
        assert one.low < value < one.high
        assert one.interval.startswith("90 %")


def test_the_models_own_error_is_always_there(found: Spread) -> None:
    """Even where nothing else is open, a rate may be off by a quarter either way."""
    assert found.frames_per_s.high / found.frames_per_s.low > 1.25**2 * 0.95


def test_latency_is_mostly_the_hosts_here(result: Result, found: Spread) -> None:
    """Two transfers of 5 to 25 us and a launch of 1 to 20 us, drawn independently."""
    assert result.array_s < 5e-6
    assert 12e-6 < found.latency_s.low < 25e-6 < found.latency_s.high < 75e-6


def test_the_same_result_has_the_same_interval(result: Result, found: Spread) -> None:
    assert spread(result) == found


def test_chips_that_were_described_have_files_that_run(tmp_path: Path) -> None:
    """Every chip of the predictions runs a small network, with intervals around its values."""
    from zapdeploy.benchmarks.experiments.chip_predictions import CHIPS

    model = small_model(tmp_path)
    for chip in CHIPS:
        one = spread(simulate(compile_model(model, chip, batch=4)))
        assert one.frames_per_s.low < one.frames_per_s.value < one.frames_per_s.high, chip
