"""Forecasters' folders as workloads: their weights, their windows, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")

from tests.benchmarks.examples import PretendedMachine, trained_forecaster, write_network
from zapdeploy.arrays import load_arrays, save_arrays
from zapdeploy.benchmarks import BenchmarkRequest, BenchmarkResult, ModelSize, run_benchmark
from zapdeploy.benchmarks.measured.torch_runner import torch_query
from zapdeploy.benchmarks.models.gpu_files import torch_file
from zapdeploy.benchmarks.models.model_files import (
    float_file,
    half_file,
    precision_file,
    quantized_file,
    sample_frames,
)
from zapdeploy.benchmarks.models.workloads import find_workload
from zapdeploy.errors import DataError, UsageError
from zapdeploy.forecasters.build import build_forecaster
from zapdeploy.forecasters.calibration import CALIBRATION
from zapdeploy.forecasters.folder import DESCRIPTION, WEIGHTS, ForecasterSpec, save_forecaster
from zapdeploy.forecasters.loading import load_forecaster
from zapdeploy.host_part.revin import KEY
from zapdeploy.onnxruntime_sessions import Purpose, open_session

ANY = ModelSize()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_forecaster(tmp_path_factory.mktemp("trained") / "linear")


def _run(path: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    found: np.ndarray = open_session(path, Purpose.INTEGER).run(None, inputs)[0]
    return found


def test_its_float_file_has_the_trained_weights(folder: Path, tmp_path: Path) -> None:
    import torch

    workload = find_workload(f"{folder}/", ANY)
    file = float_file(workload, tmp_path)
    assert (workload.network, workload.size.neurons, file.note) == ("linear-c4", 5, "")
    x = np.random.default_rng(0).standard_normal((1, 4, 5)).astype(np.float32)
    with torch.inference_mode():
        wanted = load_forecaster(folder).network(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(_run(file.path, {"input": x}), wanted, atol=1e-6)


def test_identity_is_that_of_weights_and_windows(folder: Path, tmp_path: Path) -> None:
    """Not of where the folder is, nor of how training went."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    document = json.loads((copy / DESCRIPTION).read_text())
    (copy / DESCRIPTION).write_text(json.dumps({**document, "training": {"loss": "another"}}))
    here = find_workload(str(folder), ANY).identity
    assert find_workload(str(copy), ModelSize(neurons=5)).identity == here
    other = trained_forecaster(tmp_path / "other", seed=1)
    (copy / CALIBRATION).unlink()
    found = {here, *(find_workload(str(path), ANY).identity for path in (copy, other))}
    assert len(found) == 3


def test_it_is_quantized_on_the_windows_that_training_kept(folder: Path, tmp_path: Path) -> None:
    kept = find_workload(str(folder), ANY)
    file = quantized_file(kept, "int8", "qdq", tmp_path)
    assert file.note == "calibrated on the windows that training kept"
    with np.load(folder / CALIBRATION) as windows:
        frames = sample_frames(kept, file, len(windows["input"]) + 44)
        assert frames is not None
        first = frames["input"][: len(windows["input"])]
        np.testing.assert_array_equal(first, windows["input"])
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / CALIBRATION).unlink()
    without = quantized_file(find_workload(str(copy), ANY), "int8", "qdq", tmp_path)
    assert without.note == "calibrated on synthetic windows: its folder keeps none"
    assert without.sha256 != file.sha256


def _most_scales(path: Path) -> int:
    model = onnx.load(path)
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    return max(sizes[node.input[1]] for node in nodes)


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_a_core_array_may_have_a_scale_for_every_neuron(
    folder: Path, tmp_path: Path, precision: str
) -> None:
    quiet = shutil.copytree(folder, tmp_path / "quiet")  # but for one neuron
    windows = load_arrays(quiet / CALIBRATION)["input"]
    windows[..., 1:] /= 100
    save_arrays(quiet / CALIBRATION, {"input": windows})
    workload = find_workload(str(quiet), ANY)
    one = precision_file(workload, precision, tmp_path)
    many = precision_file(workload, precision, tmp_path, core_array=True)
    assert (_most_scales(one.path), _most_scales(many.path)) == (1, 5)
    assert precision_file(workload, precision, tmp_path).sha256 == one.sha256
    named = find_workload("linear-c4", ModelSize(neurons=5))
    chip = precision_file(named, precision, tmp_path, core_array=True)
    assert chip == precision_file(named, precision, tmp_path)


def test_torch_and_float16_have_the_same_network_without_its_normalisation(tmp_path: Path) -> None:
    spec = ForecasterSpec("time-mix-c256", 3)
    save_forecaster(tmp_path / "net", spec, build_forecaster(spec, seed=5), {})
    workload = find_workload(str(tmp_path / "net"), ANY)
    whole, half = float_file(workload, tmp_path), half_file(workload, tmp_path)
    inputs = sample_frames(workload, whole, 1)
    assert inputs is not None
    assert abs(float(inputs["input"].mean())) < 1e-3  # normalised: the file leaves it to the host
    wanted = _run(whole.path, dict(inputs))
    np.testing.assert_allclose(_run(half.path, dict(inputs)), wanted, atol=1e-2)
    assert KEY in {entry.key for entry in onnx.load(half.path).metadata_props}
    module = torch_file(workload, tmp_path)
    assert module is not None
    found = torch_query(module, inputs, half=False, device="cpu")()
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_another_number_of_neurons_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"neurons must be 5, not 7; .*linear was trained so"):
        find_workload(str(folder), ModelSize(neurons=7))
    with pytest.raises(UsageError, match=r"width must be None, not 8; .*linear was trained so"):
        find_workload(str(folder), ModelSize(width=8))


def test_other_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    write_network(tmp_path / "net.onnx")
    for name in (str(tmp_path), str(tmp_path / "missing")):
        with pytest.raises(UsageError, match=r"or a folder that zapdeploy train wrote, not '/"):
            find_workload(name, ANY)
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / WEIGHTS).unlink()
    with pytest.raises(DataError, match=r"folder must hold weights.safetensors, not lack it"):
        find_workload(str(copy), ANY)
    (copy / DESCRIPTION).write_text("{half")
    with pytest.raises(DataError, match=r"forecaster.json must describe a forecaster"):
        find_workload(str(copy), ANY)


def test_a_name_is_a_network_before_it_is_a_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, tmp_path / "tsmixer-c4")
    monkeypatch.chdir(tmp_path)
    assert find_workload("tsmixer-c4", ANY).trained is None
    assert find_workload("./tsmixer-c4", ANY).network == "linear-c4"


def _bench(folder: Path, output: Path) -> BenchmarkResult:
    request = BenchmarkRequest(
        models=(str(folder),), targets=("tile64-sim", "cpu"), precisions=("fp32", "int8", "int4")
    )
    return run_benchmark(request, output, resume=True, tools=PretendedMachine().tools())


def test_a_run_gives_speed_energy_and_accuracy_once(folder: Path, tmp_path: Path) -> None:
    first = _bench(folder, tmp_path / "out")
    devices = {(row.target, row.precision) for row in first.rows}
    assert devices == {
        ("cpu", "fp32"),
        ("cpu", "int8"),
        ("tile64-sim", "int8"),
        ("tile64-sim", "int4"),
    }
    for row in first.rows:
        assert row.frames_per_s is not None
        assert row.energy_per_frame is not None
        assert row.accuracy_metric == "MAE"
        assert row.horizon is not None
        assert len(row.horizon.mae) == len(row.horizon.naive) == 32
        assert row.accuracy == pytest.approx(np.mean(row.horizon.mae))
    before = (tmp_path / "out" / "rows.jsonl").read_bytes()
    assert _bench(folder, tmp_path / "out").rows == first.rows
    assert (tmp_path / "out" / "rows.jsonl").read_bytes() == before
