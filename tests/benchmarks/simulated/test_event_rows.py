"""Rows of an event-driven chip: one per threshold, and a reason where Lava cannot run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.examples import PretendedMachine, trained_forecaster
from zapdeploy.benchmarks import BenchmarkRequest, ModelSize, Row, run_benchmark
from zapdeploy.benchmarks.accuracy.contenders import contenders
from zapdeploy.benchmarks.models.model_files import precision_file
from zapdeploy.benchmarks.models.workloads import find_workload
from zapdeploy.benchmarks.simulated import event_rows as rows
from zapdeploy.benchmarks.simulated.event_driven import open_stream
from zapdeploy.errors import WorkerError
from zapdeploy.forecasters.build import build_forecaster
from zapdeploy.forecasters.folder import ForecasterSpec, save_forecaster
from zapdeploy.recordings.conditions import Split
from zapdeploy.recordings.recording import open_recording
from zapdeploy.recordings.zapbench import CONDITIONS
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


def test_a_trained_forecaster_has_its_error_at_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "in_lava", run_reference)
    request = BenchmarkRequest(
        models=(str(trained_forecaster(tmp_path / "linear")),),
        targets=("loihi2-sim",),
        precisions=("int8",),
        thresholds=(0,),
    )
    (one,) = run_benchmark(request, tmp_path / "out", tools=PretendedMachine().tools()).rows
    assert one.horizon is not None
    assert len(one.horizon.mae) == len(one.horizon.naive) == 32
    assert one.accuracy == pytest.approx(sum(one.horizon.mae) / 32)
    assert one.horizon.windows == "323 test windows of 'dots', synthetic data"


def test_normalisation_that_is_left_to_the_host_is_done(tmp_path: Path) -> None:
    """At threshold 0 the chip forecasts what the functional simulator does, window by window."""
    spec = ForecasterSpec("time-mix-c256", 3)
    save_forecaster(tmp_path / "net", spec, build_forecaster(spec, seed=5), {})
    workload = find_workload(str(tmp_path / "net"), ModelSize())
    file = precision_file(workload, "int8", tmp_path).path
    recording = open_recording("synthetic", 3)
    stream = open_stream(file, recording, "loihi2-sim", frames=4)
    (_, simulated) = contenders(str(file), 3, simulate=True)
    assert simulated.forecast is not None
    start = next(one for one in CONDITIONS if one.name == "dots").window_starts(
        Split.TEST, 256, 32
    )[0]
    starts = range(start, start + 4)
    covariates = recording.covariates(starts, 256, 32)
    wanted = simulated.forecast(recording.contexts(starts, 256), covariates)
    error = np.abs(wanted - recording.targets(starts, 256, 32)).mean(axis=(0, 2))
    assert stream.point(0, run_reference).mae == pytest.approx(error, rel=1e-4)


def test_random_weights_have_no_error_to_show(found: tuple[Row, ...]) -> None:
    assert {(row.accuracy, row.horizon) for row in found} == {(None, None)}


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
