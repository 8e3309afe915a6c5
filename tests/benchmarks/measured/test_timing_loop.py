"""The timing loop on a pretended clock: how long it measures, and its statistics by hand."""

from __future__ import annotations

import math

import pytest

from tests.benchmarks.examples import PretendedMachine, model_file
from zapdeploy.benchmarks import Effort
from zapdeploy.benchmarks.measured.runner import Configuration
from zapdeploy.benchmarks.measured.timing_loop import Timing, time_paced, time_queries
from zapdeploy.errors import UsageError

ONE = Configuration("float", "float", "CPUExecutionProvider", 1, 1, 1)


def _timed(seconds: float, effort: Effort, frames: int = 1) -> tuple[Timing, float]:
    machine = PretendedMachine(lambda _: seconds)
    with machine.open_query(model_file(), ONE, lambda count: None) as query:
        timing = time_queries(query, frames, effort, machine.clock)
    return timing, machine.now


@pytest.mark.parametrize(
    ("seconds", "queries"),
    [
        (0.25, 20),  # the least number of queries decides
        (0.015625, 64),  # the least time of 1 s decides
        (4.0, 15),  # the most time of 60 s decides
        (100.0, 5),  # never fewer than a few
    ],
)
def test_measures_long_enough_but_not_for_ever(seconds: float, queries: int) -> None:
    effort = Effort(min_queries=20, min_seconds=1.0, max_seconds=60.0, few_queries=5)
    timing, _ = _timed(seconds, effort)
    assert len(timing.durations_s) == queries


def test_warm_up_does_not_count() -> None:
    timing, now = _timed(0.5, Effort(warmup=3, min_queries=4, min_seconds=0.0))
    assert timing.durations_s == (0.5,) * 4
    assert now == 7 * 0.5


def test_trial_is_two_queries_when_they_take_long() -> None:
    timing, _ = _timed(2.0, Effort(trial_seconds=0.5).as_trial())
    assert len(timing.durations_s) == 2


def test_rate_counts_the_frames_of_all_streams() -> None:
    assert Timing((0.5, 0.5), 16).frames_per_s == 32


def test_percentiles_by_nearest_rank() -> None:
    """Of 1 to 200 ms: rank 100, 180, 198; the mean is 100.5 ms."""
    latency = Timing(tuple(i / 1000 for i in range(200, 0, -1)), 1).latency
    assert (latency.p50_s, latency.p90_s, latency.p99_s) == (0.1, 0.18, 0.198)
    assert latency.mean_s == pytest.approx(0.1005)
    assert latency.count == 200


def test_percentiles_of_one_query_are_that_query() -> None:
    latency = Timing((0.25,), 1).latency
    assert latency.p50_s == latency.p99_s == 0.25


def test_noise_is_the_half_spread_of_block_medians() -> None:
    """Blocks of two with medians 1, 1, 1, 1, 1.5 s: (1.5 - 1) / 2 / 1."""
    assert Timing((1.0,) * 8 + (1.5,) * 2, 1).noise == 0.25
    assert Timing((1.0,) * 10, 1).noise == 0
    assert Timing((1.0,), 1).noise == 0


@pytest.mark.parametrize("fields", [{"min_queries": 0}, {"few_queries": 0}, {"warmup": -1}])
def test_queries_must_be_positive(fields: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=r"queries must be 1 or more and warm-up 0 or more, not"):
        Effort(**fields)


@pytest.mark.parametrize(("least", "most"), [(-1.0, 5.0), (6.0, 5.0), (1.0, math.inf)])
def test_seconds_must_be_in_order(least: float, most: float) -> None:
    with pytest.raises(UsageError, match=r"seconds must be from 0 to max_seconds"):
        Effort(min_seconds=least, max_seconds=most)


def test_frames_that_come_at_a_rate_are_waited_for() -> None:
    """Ten a second, each answered in 20 ms but every fourth in 150: the next one then waits."""
    now, calls = 0.0, 0

    def query() -> None:
        nonlocal now, calls
        calls += 1
        now += 0.15 if calls % 4 == 0 else 0.02

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    effort = Effort(min_queries=8, min_seconds=0, max_seconds=60)
    timing = time_paced(query, 10, effort, lambda: now, sleep)
    late = [0.02, 0.02, 0.15, 0.07, 0.02, 0.02, 0.15, 0.07]
    assert timing.durations_s == pytest.approx(late)
    assert timing.latency.p99_9_s == pytest.approx(0.15)
    assert timing.latency.maximum_s == pytest.approx(0.15)
    assert timing.driver == "frames at 10 Hz"


def test_few_frames_are_enough_when_they_come_slowly() -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    effort = Effort(min_queries=100, min_seconds=0, max_seconds=3, few_queries=4)
    assert time_paced(lambda: None, 1, effort, lambda: now, sleep).frames == 4
