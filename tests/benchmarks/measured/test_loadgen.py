"""MLPerf LoadGen drives a query whose duration is known: its figures are those of the query."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import pytest

from zapdeploy.benchmarks import Effort
from zapdeploy.benchmarks.measured.loadgen import drive
from zapdeploy.benchmarks.measured.timing_loop import PLAIN_LOOP
from zapdeploy.benchmarks.results.rows import Scenario

EFFORT = Effort(warmup=0, min_queries=20, min_seconds=0.2, max_seconds=5.0, trial_seconds=0.05)
SECONDS = 0.004


class Sleeper:
    """A query that takes at least SECONDS and counts itself."""

    def __init__(self) -> None:
        self.queries = 0

    def __call__(self) -> None:
        self.queries += 1
        time.sleep(SECONDS)


def test_single_stream_reports_the_latency_of_one_query() -> None:
    query = Sleeper()
    timing = drive(query, 1, Scenario.SINGLE_STREAM, EFFORT, time.perf_counter)
    assert timing.driver.startswith("MLPerf LoadGen")
    assert query.queries == len(timing.durations_s) == timing.latency.count >= 20
    assert timing.latency.p50_s >= SECONDS
    assert timing.latency.p50_s <= timing.latency.p90_s <= timing.latency.p99_s
    assert timing.latency.mean_s >= sum(timing.durations_s) / len(timing.durations_s)
    assert timing.frames_per_s <= 1 / SECONDS


def test_offline_works_one_query_off_in_batches() -> None:
    """LoadGen counts frames that it issued; a last batch that is not full is run whole."""
    query = Sleeper()
    timing = drive(query, 8, Scenario.OFFLINE, EFFORT, time.perf_counter)
    assert "Offline" in timing.driver
    assert timing.total_s >= 0.2, "as long as was asked for"
    assert 0.5 * timing.frames / timing.total_s <= timing.frames_per_s <= 8 / SECONDS


def test_an_offline_run_that_was_too_short_is_done_again() -> None:
    """The trial is slow, so that LoadGen asks for too few frames; only the last run counts."""

    class Warming(Sleeper):
        def __call__(self) -> None:
            super().__call__()
            if self.queries == 1:
                time.sleep(0.2)

    query = Warming()
    timing = drive(query, 1, Scenario.OFFLINE, EFFORT, time.perf_counter)
    assert timing.total_s >= 0.2
    assert len(timing.durations_s) < query.queries - 1


@pytest.mark.parametrize("scenario", list(Scenario))
def test_a_failing_query_ends_the_run_with_its_own_error(scenario: Scenario) -> None:
    calls = 0

    def query() -> None:
        nonlocal calls
        calls += 1
        if calls > 12:
            raise ValueError("the network broke")

    effort = Effort(warmup=0, min_queries=50, min_seconds=0.05, trial_seconds=0.0)
    with pytest.raises(ValueError, match="the network broke"):
        drive(query, 1, scenario, effort, time.perf_counter)


def test_without_loadgen_the_loop_is_plain_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    query: Callable[[], None] = Sleeper()
    timing = drive(query, 1, Scenario.SINGLE_STREAM, EFFORT, time.perf_counter)
    assert timing.driver == PLAIN_LOOP
    assert timing.driver_rate is None
