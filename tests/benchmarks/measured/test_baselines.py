"""The baseline is the best of all configurations that were tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.benchmarks.examples import QUICK, PretendedMachine, model_file
from zapdeploy.benchmarks import Scenario
from zapdeploy.benchmarks.measured.baselines import Instruments, Search, configurations
from zapdeploy.benchmarks.measured.meters import Reading
from zapdeploy.benchmarks.measured.runner import Configuration, Frames
from zapdeploy.benchmarks.models.model_files import ModelFile
from zapdeploy.errors import ModelError

PROVIDER = "CPUExecutionProvider"
FILES = (model_file("qdq"), model_file("qoperator"))


def _search(machine: PretendedMachine, scenario: Scenario, **fields: object) -> Search:
    instruments = Instruments(
        machine.clock, open_query=machine.open_query, memory_bytes=lambda: 2**33
    )
    search = Search(FILES, scenario, QUICK, lambda count: None, instruments)
    return replace(search, **fields)  # type: ignore[arg-type]


def _candidates(scenario: Scenario, cores: int = 4) -> tuple[Configuration, ...]:
    return configurations(FILES, scenario, cores, (1, 8, 32), PROVIDER)


def test_latency_is_tried_with_every_thread_count_and_file() -> None:
    found = _candidates(Scenario.SINGLE_STREAM, cores=6)
    assert {c.batch for c in found} == {c.streams for c in found} == {1}
    assert [c.threads for c in found if c.form == "qdq"] == [1, 2, 4, 6]
    assert [c.threads for c in found if c.form == "qoperator"] == [1, 2, 4, 6]


def test_throughput_is_tried_with_batches_and_one_stream_a_core() -> None:
    found = _candidates(Scenario.OFFLINE)
    assert {c.batch for c in found} == {1, 8, 32}
    assert {(c.threads, c.streams) for c in found} == {(1, 1), (2, 1), (4, 1), (1, 4)}
    assert len(set(found)) == len(found) == 2 * 3 * 4


def test_one_core_has_one_way_to_share_it() -> None:
    found = configurations(FILES[:1], Scenario.OFFLINE, 1, (1,), PROVIDER)
    assert [(c.threads, c.streams) for c in found] == [(1, 1)]


def test_a_gpu_is_tried_with_batches_alone() -> None:
    found = configurations(FILES[:1], Scenario.OFFLINE, 8, (1, 8), "GPU", on_gpu=True)
    assert [(c.threads, c.streams, c.batch) for c in found] == [(1, 1, 1), (1, 1, 8)]


def test_least_latency_wins() -> None:
    """More threads are slower here, and the second form is faster: one thread of it must win."""
    machine = PretendedMachine(lambda c: c.threads * (0.010 if c.form == "qoperator" else 0.015))
    found = _search(machine, Scenario.SINGLE_STREAM).best_of(_candidates(Scenario.SINGLE_STREAM))
    assert found.best.configuration.form == "qoperator"
    assert found.best.configuration.threads == 1
    assert found.timing.latency.p50_s == pytest.approx(0.010)
    assert len(found.tried) == 6


def test_most_frames_per_second_win_not_the_shortest_query() -> None:
    """A query takes 10 ms and 1 ms a frame: the largest batch in most streams has the best rate."""
    machine = PretendedMachine(lambda c: 0.010 + 0.001 * c.batch)
    found = _search(machine, Scenario.OFFLINE).best_of(_candidates(Scenario.OFFLINE))
    best = found.best.configuration
    assert (best.batch, best.streams) == (32, 4)
    assert found.timing.frames_per_s == pytest.approx(128 / 0.042)


def test_only_the_best_are_measured_in_full() -> None:
    machine = PretendedMachine(lambda c: 0.010 * c.threads)
    found = _search(machine, Scenario.SINGLE_STREAM).best_of(_candidates(Scenario.SINGLE_STREAM))
    full = [trial for trial in found.tried if trial.final]
    assert {trial.configuration.threads for trial in full} == {1}
    assert {trial.configuration.form for trial in full} == {"qdq", "qoperator"}
    assert all(trial.timing and len(trial.timing.durations_s) >= 5 for trial in full)
    assert len(machine.opened) == 6 + 2


def test_what_is_too_large_for_memory_is_not_tried_but_recorded() -> None:
    machine = PretendedMachine()
    large = (model_file("qdq", input_elements=10**7),)
    search = _search(machine, Scenario.OFFLINE, files=large)
    candidates = configurations(large, Scenario.OFFLINE, 1, (1, 32), PROVIDER)
    found = search.best_of(candidates)
    assert found.best.configuration.batch == 1
    refused = [trial.as_json() for trial in found.tried if trial.timing is None]
    assert [one["batch"] for one in refused] == [32]
    assert refused[0]["refused"] == "takes about 10.2 GB of memory; 8.6 GB are free"


def test_a_configuration_that_fails_is_recorded_and_the_rest_goes_on() -> None:
    machine = PretendedMachine()

    @contextmanager
    def open_query(
        file: ModelFile, configuration: Configuration, frames: Frames
    ) -> Iterator[Callable[[], None]]:
        if configuration.form == "qdq":
            raise ModelError("model must run, not fail")
        with machine.open_query(file, configuration, frames) as query:
            yield query

    instruments = Instruments(machine.clock, open_query=open_query, memory_bytes=lambda: 2**33)
    search = _search(machine, Scenario.SINGLE_STREAM, instruments=instruments)
    found = search.best_of(_candidates(Scenario.SINGLE_STREAM))
    assert found.best.configuration.form == "qoperator"
    assert {t.refusal for t in found.tried if t.timing is None} == {"model must run, not fail"}
    with pytest.raises(ModelError, match=r"no configuration ran: model must run, not fail"):
        replace(search, files=FILES[:1]).best_of(_candidates(Scenario.SINGLE_STREAM)[:2])


class CountingMeter:
    """One joule per pretended second."""

    def __init__(self, machine: PretendedMachine) -> None:
        self.machine = machine
        self.began = 0.0
        self.windows = 0

    def start(self) -> None:
        self.began = self.machine.now

    def stop(self) -> Reading | None:
        self.windows += 1
        return Reading(self.machine.now - self.began, "chip", "pretended")


def test_the_meter_sees_the_full_measurement_without_its_warm_up() -> None:
    machine = PretendedMachine(lambda c: 0.5)
    meter = CountingMeter(machine)
    search = _search(machine, Scenario.SINGLE_STREAM)
    metered = replace(search.instruments, meter=meter)
    found = replace(search, instruments=metered).best_of(_candidates(Scenario.SINGLE_STREAM)[:1])
    assert meter.windows == 1
    assert found.best.reading is not None
    assert found.best.reading.joules == found.timing.total_s
