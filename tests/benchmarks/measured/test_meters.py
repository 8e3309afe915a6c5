"""Meters are believed only where they show joules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from zapdeploy.benchmarks.measured import meters
from zapdeploy.benchmarks.measured.meters import Device, find_meter


@dataclass
class Measured:
    cpu_energy: dict[int, float] | None
    gpu_energy: dict[int, float]


class PretendedZeus:
    def __init__(self, cpu: dict[int, float] | None, gpu: dict[int, float]) -> None:
        self.measured = Measured(cpu, gpu)

    def begin_window(self, key: str, *, sync_execution: bool) -> None:
        assert not sync_execution

    def end_window(self, key: str, *, sync_execution: bool) -> Measured:
        assert not sync_execution
        return self.measured


@pytest.fixture(autouse=True)
def _short_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meters, "PROBE_SECONDS", 0.0)


@pytest.mark.parametrize("answer", [None, {}, {0: 0.0}])
def test_silent_none_is_no_meter(answer: dict[int, float] | None) -> None:
    search = find_meter("cpu", lambda device: PretendedZeus(answer, {}))
    assert search.meter is None
    assert search.reason == "no energy meter: no RAPL counter that can be read"


def test_no_gpu_is_no_meter() -> None:
    search = find_meter("gpu", lambda device: PretendedZeus({0: 1.0}, {}))
    assert search.meter is None
    assert search.reason == "no energy meter: no NVML energy counter that can be read"


def test_joules_of_all_packages_are_the_chips() -> None:
    meter = find_meter("cpu", lambda device: PretendedZeus({0: 1.5, 1: 2.0}, {0: 9.0})).meter
    assert meter is not None
    meter.start()
    reading = meter.stop()
    assert reading is not None
    assert (reading.joules, reading.boundary) == (3.5, "chip")


def test_joules_of_gpus_are_the_cards() -> None:
    meter = find_meter("gpu", lambda device: PretendedZeus({0: 1.5}, {0: 9.0})).meter
    assert meter is not None
    reading = meter.stop()
    assert reading is not None
    assert (reading.joules, reading.boundary) == (9.0, "card")


def test_zeus_that_fails_or_is_missing_is_no_meter() -> None:
    def missing(device: Device) -> Any:
        raise ModuleNotFoundError("zeus")

    def failing(device: Device) -> Any:
        raise RuntimeError("driver gone\nand more")

    assert find_meter("cpu", missing).reason == "no energy meter: zeus is not installed"
    assert find_meter("cpu", failing).reason == "no energy meter: driver gone"


def test_real_search_ends_with_a_meter_or_a_reason() -> None:
    search = find_meter("cpu")
    assert (search.meter is None) == bool(search.reason)
