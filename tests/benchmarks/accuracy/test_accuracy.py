"""Accuracy of rows: a user's forecaster is judged, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.examples import PretendedMachine, cpu_request, row, write_network
from tests.recordings.examples import small
from zapdeploy.benchmarks import Row, run_benchmark
from zapdeploy.benchmarks.accuracy.accuracy import WINDOWS, Accuracies
from zapdeploy.benchmarks.request import work_items
from zapdeploy.forecasters import (
    ForecasterSpec,
    Recording,
    TrainingOptions,
    export_model,
    sample_inputs,
    train,
)
from zapdeploy.forecasters.evaluation import windows_of
from zapdeploy.onnxruntime_sessions import Purpose, open_session
from zapdeploy.quantize import quantize_onnx
from zapdeploy.recordings.recording import Neurons


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A linear forecaster of five neurons, in float and in int8."""
    folder = tmp_path_factory.mktemp("models")
    made = export_model("linear-c4", folder / "linear.onnx", neurons=5)
    samples = sample_inputs("linear-c4", 4, neurons=5)
    quantize_onnx(made, folder / "int8.onnx", calibration=samples)
    return {"fp32": made, "int8": folder / "int8.onnx"}


def _first(data: str, neurons: Neurons) -> Recording:
    assert isinstance(neurons, int)
    return small(neurons)


def _judged(file: Path, target: str, precision: str) -> Row:
    request = cpu_request(str(file), targets=(target,), precisions=(precision,))
    accuracies = Accuracies("small", file.parent, _first)
    return accuracies.judged(work_items(request)[0], row(target, precision))


def _mae_by_hand(file: Path) -> np.ndarray:
    """Through ONNX Runtime, window by window: the mean over conditions, at each of 32 steps."""
    session = open_session(file, Purpose.INTEGER)
    name = session.get_inputs()[0].name
    return _mean_error(lambda context: session.run(None, {name: context})[0])


def _mean_error(forecast: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    recording, means = small(), []
    for condition in recording.conditions:
        starts = windows_of(condition, 4, WINDOWS)
        found = [forecast(recording.contexts([s], 4)) for s in starts]
        if not condition.held_out:
            error = np.abs(np.concatenate(found) - recording.targets(starts, 4, 32))
            means.append(error.mean(axis=(0, 2), dtype=np.float64))
    return np.mean(means, axis=0)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_cpu_rows_are_judged_in_onnx_runtime(files: dict[str, Path], precision: str) -> None:
    found = _judged(files[precision], "cpu", precision)
    wanted = _mae_by_hand(files[precision])
    assert found.accuracy == pytest.approx(wanted.mean(), rel=1e-5)
    assert found.accuracy_metric == "MAE"
    assert found.horizon is not None
    assert found.horizon.mae == pytest.approx(wanted, rel=1e-5)
    assert "MAE (measured): mean of 32 steps and 2 conditions" in found.note


def test_a_naive_mean_of_four_frames_is_judged_on_the_same_windows(
    files: dict[str, Path],
) -> None:
    found = _judged(files["fp32"], "cpu", "fp32").horizon
    assert found is not None
    assert found.naive == pytest.approx(
        _mean_error(lambda x: x.mean(axis=1, keepdims=True)), rel=1e-5
    )


def test_simulated_rows_are_judged_in_the_simulator(files: dict[str, Path], tmp_path: Path) -> None:
    """The same integers, so nearly the same error, but counted by the simulator."""
    found = _judged(files["int8"], "northpole-sim", "int8")
    wanted = _mae_by_hand(files["int8"])
    assert found.accuracy == pytest.approx(wanted.mean(), rel=1e-3)
    assert found.horizon is not None
    assert found.horizon.mae == pytest.approx(wanted, rel=1e-3)
    assert "MAE (simulated)" in found.note
    assert "functional simulator" in found.note


def test_float16_is_judged_on_its_own_file(files: dict[str, Path]) -> None:
    """Eleven bits of mantissa change the error by less than 0.001, but not by nothing."""
    whole, half = (_judged(files["fp32"], "gpu", precision) for precision in ("fp32", "fp16"))
    assert whole.accuracy is not None
    assert half.accuracy == pytest.approx(whole.accuracy, abs=1e-3)
    assert half.accuracy != whole.accuracy
    assert "in ONNX Runtime on the CPU" in half.note


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_random_weights_are_not_judged(tmp_path: Path, precision: str) -> None:
    request = cpu_request("linear-c4", precisions=(precision,))
    plain = row("cpu", precision)
    assert Accuracies("small", tmp_path).judged(work_items(request)[0], plain) == plain


def test_what_is_quantized_here_is_not_judged(files: dict[str, Path]) -> None:
    found = _judged(files["fp32"], "northpole-sim", "int8")
    assert (found.accuracy, found.accuracy_metric) == (None, "")


@pytest.mark.parametrize(("target", "precision"), [("cpu", "fp32"), ("northpole-sim", "int8")])
def test_a_folder_is_judged_on_the_columns_it_was_trained_on(
    tmp_path: Path, target: str, precision: str
) -> None:
    columns = (4, 1, 2)
    whole, asked = small(), []

    def opened(data: str, neurons: Neurons) -> Recording:
        asked.append(neurons)
        chosen = np.asarray(neurons)
        return replace(whole, traces=np.ascontiguousarray(whole.traces[:, chosen]), columns=chosen)

    options = TrainingOptions(steps=2, validate_every=2)
    train(ForecasterSpec("linear-c4", 3), opened("", columns), tmp_path / "net", options)
    request = cpu_request(f"{tmp_path}/net", targets=(target,), precisions=(precision,))
    accuracies = Accuracies("small", tmp_path, opened)
    found = accuracies.judged(work_items(request)[0], row(target, precision))
    assert found.accuracy is not None
    assert asked == [columns, columns]


def test_a_run_judges_both_scenarios_alike(files: dict[str, Path], tmp_path: Path) -> None:
    request = cpu_request(str(files["int8"]), precisions=("int8",))
    first, second = run_benchmark(request, tmp_path, tools=PretendedMachine().tools()).rows
    assert first.accuracy == second.accuracy
    assert first.accuracy is not None
    assert "synthetic, seed 0 data" in first.note


def test_a_network_that_forecasts_nothing_says_so(tmp_path: Path) -> None:
    network = write_network(tmp_path / "net.onnx")
    found = _judged(network, "cpu", "fp32")
    assert found.accuracy is None
    assert "no accuracy: model must have one input [batch, context, neurons]" in found.note
