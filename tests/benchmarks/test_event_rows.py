"""Rows of an event-driven chip: one per threshold, and a reason where Lava cannot run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.examples import PretendedMachine
from zapdeploy.benchmarks import BenchmarkRequest, ModelSize, Row, run_benchmark
from zapdeploy.benchmarks import event_rows as rows
from zapdeploy.errors import WorkerError
from zapdeploy.sim.sigma_delta import run_reference

REQUEST = BenchmarkRequest(
    models=("linear-c4",),
    targets=("loihi2-sim",),
    precisions=("fp32", "int8"),
    size=ModelSize(neurons=12),
    published=False,
    thresholds=(0, 8),
)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Row, ...]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "in_lava", run_reference)
        output = tmp_path_factory.mktemp("results")
        return run_benchmark(REQUEST, output, tools=PretendedMachine().tools()).rows


def test_there_is_a_row_for_every_threshold(found: tuple[Row, ...]) -> None:
    assert [row.target for row in found] == ["loihi2-sim, threshold 0", "loihi2-sim, threshold 8"]
    assert all(row.energy_is_bound and row.boundary == "core array" for row in found)
    assert all(row.frames_per_s == pytest.approx(1 / row.latency_s) for row in found)


def test_a_threshold_saves_operations_and_energy(found: tuple[Row, ...]) -> None:
    exact, coarse = (row.configuration for row in found)
    assert exact is not None
    assert coarse is not None
    assert coarse["synaptic_ops"] < exact["synaptic_ops"]
    assert coarse["saved_share"] > exact["saved_share"]
    energies = [row.energy_per_frame.high for row in found if row.energy_per_frame]
    assert energies[1] < energies[0]
    assert sum(exact["energy_parts_j"].values()) == pytest.approx(energies[0])
    assert len(exact["mae_per_step"]) == 32
    assert np.isfinite(exact["mae_per_step"]).all()


def test_without_lava_the_rest_goes_on_and_the_row_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise WorkerError("Lava must be set up to simulate Loihi 2; run zapdeploy doctor")

    monkeypatch.setattr(rows, "in_lava", missing)
    request = BenchmarkRequest(
        models=("linear-c4",),
        targets=("loihi2-sim", "tile64-sim"),
        precisions=("int8",),
        size=ModelSize(neurons=12),
        published=False,
        thresholds=(0,),
    )
    result = run_benchmark(request, tmp_path, tools=PretendedMachine().tools())
    assert {row.target for row in result.rows} == {"tile64-sim"}
    (reason,) = {one.reason for one in result.not_run}
    assert reason.startswith("Lava must be set up")


def test_a_network_without_a_stream_is_refused(tmp_path: Path) -> None:
    request = BenchmarkRequest(
        models=("resnet50",), targets=("loihi2-sim",), precisions=("int8",), thresholds=(0,),
        published=False,
    )  # fmt: skip
    result = run_benchmark(request, tmp_path, tools=PretendedMachine().tools())
    (one,) = result.not_run
    assert "must be a forecaster for an event-driven chip" in one.reason
