"""MLPerf LoadGen as the driver of a measured run, where it is installed.

LoadGen decides when a query is issued, and its log says how fast they were answered. SingleStream:
one frame, and the next when it is done. Offline: one query with all frames, which the system under
test works off in its own batches.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from zapdeploy.benchmarks.measured.timing_loop import Clock, Timing, time_queries
from zapdeploy.benchmarks.request import Effort
from zapdeploy.benchmarks.results.rows import Latency, Scenario

PACKAGE = "mlcommons-loadgen"
_SAMPLES = 1024  # size of LoadGen's query sample library; all samples are the same bound input
_MARK = ":::MLLOG "
# An offline run is as long as the rate before let expect; where that was slower than the run's, it
# ends too soon for LoadGen's rules and is done again, with twice the frames at least.
OFFLINE_RUNS = 4


def drive(
    query: Callable[[], None],
    frames_per_query: int,
    scenario: Scenario,
    effort: Effort,
    clock: Clock,
) -> Timing:
    """A run in full, by LoadGen where it is installed, else by the plain loop: `Timing.driver`.

    The query is warm. Rate and percentiles are LoadGen's own; the durations are the queries' as
    this process saw them.
    """
    try:
        import mlperf_loadgen
    except ModuleNotFoundError:
        return time_queries(query, frames_per_query, effort, clock)
    system = _SystemUnderTest(mlperf_loadgen, query, frames_per_query, clock)
    if scenario is Scenario.SINGLE_STREAM:
        return system.run(_single_stream(mlperf_loadgen, effort), scenario)
    timing, expected = time_queries(query, frames_per_query, effort.as_trial(), clock), 0.0
    for _ in range(OFFLINE_RUNS):
        expected = max(timing.frames_per_s, 2 * expected)
        timing = system.run(_offline(mlperf_loadgen, effort, expected), scenario)
        if timing.total_s >= effort.min_seconds:
            break
    return timing


def _single_stream(loadgen: Any, effort: Effort) -> Any:
    settings = _settings(loadgen, loadgen.TestScenario.SingleStream, effort)
    settings.min_query_count = effort.min_queries
    return settings


def _offline(loadgen: Any, effort: Effort, frames_per_s: float) -> Any:
    """LoadGen issues expected rate x duration frames at once (and a tenth more, its own rule)."""
    settings = _settings(loadgen, loadgen.TestScenario.Offline, effort)
    settings.min_query_count = 1
    settings.offline_expected_qps = frames_per_s
    return settings


def _settings(loadgen: Any, scenario: Any, effort: Effort) -> Any:
    settings = loadgen.TestSettings()
    settings.scenario = scenario
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.min_duration_ms = math.ceil(effort.min_seconds * 1000)
    settings.max_duration_ms = math.ceil(effort.max_seconds * 1000)
    return settings


@dataclass
class _SystemUnderTest:
    """Answers LoadGen's samples by running the query, which holds its own inputs and outputs."""

    loadgen: Any
    query: Callable[[], None]
    frames_per_query: int
    clock: Clock

    def __post_init__(self) -> None:
        self._durations: list[float] = []
        self._failure: BaseException | None = None

    def run(self, settings: Any, scenario: Scenario) -> Timing:
        lg = self.loadgen
        self._durations = []
        system = lg.ConstructSUT(self._issue, lambda: None)
        library = lg.ConstructQSL(_SAMPLES, _SAMPLES, lambda _: None, lambda _: None)
        try:
            with tempfile.TemporaryDirectory() as folder:
                lg.StartTestWithLogSettings(system, library, settings, self._logging(folder))
                log = _read_log(Path(folder) / "mlperf_log_detail.txt")
        finally:
            lg.DestroyQSL(library)
            lg.DestroySUT(system)
        if self._failure is not None:
            raise self._failure
        return _timing(log, tuple(self._durations), self.frames_per_query, scenario)

    def _logging(self, folder: str) -> Any:
        settings = self.loadgen.LogSettings()
        settings.log_output.outdir = folder
        settings.log_output.copy_summary_to_stdout = False
        settings.enable_trace = False
        return settings

    def _issue(self, samples: Sequence[Any]) -> None:
        """Called by LoadGen from a thread of its own: an exception must not end there."""
        for some in _in_batches(samples, self.frames_per_query):
            if self._failure is None:
                self._answer()
            responses = [self.loadgen.QuerySampleResponse(s.id, 0, 0) for s in some]
            self.loadgen.QuerySamplesComplete(responses)

    def _answer(self) -> None:
        start = self.clock()
        try:
            self.query()
        except BaseException as error:
            self._failure = error
        self._durations.append(self.clock() - start)


def _in_batches(samples: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(samples), size):
        yield samples[start : start + size]


def _read_log(path: Path) -> dict[str, Any]:
    """LoadGen's detailed log: one JSON object a line, after a mark."""
    lines = path.read_text(encoding="utf-8").splitlines()
    entries = (json.loads(line.removeprefix(_MARK)) for line in lines if line.startswith(_MARK))
    return {entry["key"]: entry["value"] for entry in entries}


def _timing(
    log: dict[str, Any], durations: tuple[float, ...], frames_per_query: int, scenario: Scenario
) -> Timing:
    single = scenario is Scenario.SINGLE_STREAM
    rate = "result_qps_with_loadgen_overhead" if single else "result_samples_per_second"
    return Timing(
        durations,
        frames_per_query,
        driver=f"MLPerf LoadGen {metadata.version(PACKAGE)}, {scenario.value}",
        driver_rate=float(log[rate]),
        driver_latency=_latency(log, len(durations)) if single else None,
    )


def _latency(log: dict[str, Any], count: int) -> Latency:
    def seconds(key: str) -> float:
        return float(log[f"result_{key}_latency_ns"]) * 1e-9

    return Latency(
        p50_s=seconds("50.00_percentile"),
        p90_s=seconds("90.00_percentile"),
        p99_s=seconds("99.00_percentile"),
        mean_s=seconds("mean"),
        count=count,
    )
