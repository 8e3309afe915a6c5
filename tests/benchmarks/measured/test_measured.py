"""Measured rows with a meter, and with other work beside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmarks.examples import QUICK, PretendedMachine, write_network
from tests.benchmarks.measured.test_baselines import CountingMeter
from zapdeploy.benchmarks import BenchmarkRequest, Row, Tools, run_benchmark
from zapdeploy.benchmarks.measured.meters import MeterSearch
from zapdeploy.quantities import Provenance


def _rows(tmp_path: Path, tools: Tools) -> tuple[Row, ...]:
    network = str(write_network(tmp_path / "net.onnx"))
    request = BenchmarkRequest(
        models=(network,), targets=("cpu",), precisions=("fp32",), effort=QUICK
    )
    return run_benchmark(request, tmp_path / "out", tools=tools).rows


def test_metered_energy_is_measured_per_frame(tmp_path: Path) -> None:
    """One joule a second: a query of 0.5 s for one frame is half a joule; of 0.5 s for the best
    batch, 32 frames in two streams, a 128th.
    """
    machine = PretendedMachine(lambda c: 0.5)
    search = MeterSearch(CountingMeter(machine), "")
    single, offline = _rows(tmp_path, replace(machine.tools(), find_meter=lambda device: search))
    assert single.energy_per_frame is not None
    assert single.energy_per_frame.kind is Provenance.MEASURED
    assert single.energy_measured_j == pytest.approx(0.5)
    assert offline.energy_measured_j == pytest.approx(0.5 / 64)
    assert single.boundary == "chip"
    assert single.power is not None
    assert single.power.value == pytest.approx(1.0)
    assert "energy: pretended" in single.note


@pytest.mark.parametrize(("share", "said"), [(0.05, False), (None, False), (0.5, True)])
def test_other_work_is_noted(tmp_path: Path, share: float | None, said: bool) -> None:
    tools = replace(PretendedMachine().tools(), busy_share=lambda: share)
    note = _rows(tmp_path, tools)[0].note
    assert ("other work kept 50% of the cores busy" in note) == said


def test_noise_is_noted(tmp_path: Path) -> None:
    """Every query takes 30 % longer than the one before."""
    machine = PretendedMachine()
    machine.seconds = lambda c: 0.01 + 0.3 * machine.now
    assert "the rate varied by" in _rows(tmp_path, machine.tools())[0].note
