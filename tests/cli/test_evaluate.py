"""zapdeploy evaluate: every form of a forecaster, side by side."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("tensorstore")

from tests.cli.conftest import Call
from zapdeploy.api import compile_model
from zapdeploy.arrays import save_arrays
from zapdeploy.forecasters import export_model, open_recording, sample_inputs
from zapdeploy.forecasters.build import build_forecaster
from zapdeploy.forecasters.folder import ForecasterSpec, save_forecaster
from zapdeploy.quantize import quantize_onnx

NEURONS = 16
FORMS = ("folder", "float.onnx", "int8.onnx", "int4.onnx", "int8.zap")


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A time-mix forecaster as a folder, as float, int8 and int4 ONNX files, and as a .zap."""
    place = tmp_path_factory.mktemp("forms")
    spec = ForecasterSpec("time-mix-c4", NEURONS)
    save_forecaster(place / "folder", spec, build_forecaster(spec, seed=1), {})
    export_model(
        spec.name, place / "float.onnx", neurons=NEURONS, batch=3, checkpoint=place / "folder"
    )
    samples = sample_inputs(spec.name, 6, neurons=NEURONS)
    for bits in (8, 4):
        quantize_onnx(
            place / "float.onnx",
            place / f"int{bits}.onnx",
            weights=bits,
            activations=bits,
            calibration=samples,
        )
    compile_model(place / "int8.onnx", output=place / "int8.zap")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZAPDEPLOY_CACHE", str(place))
        open_recording("synthetic", NEURONS)
    return place


@pytest.fixture(autouse=True)
def _kept(forms: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZAPDEPLOY_CACHE", str(forms))


def test_all_forms_side_by_side(zapdeploy: Call, forms: Path) -> None:
    models = [forms / name for name in FORMS]
    call = ("evaluate", *models, "--data", "synthetic", "--windows", 4, "--simulate", "--json")
    called = zapdeploy(*call)
    assert called.status == 0
    assert called.json["synthetic"] is True
    assert called.json["neurons"] == NEURONS
    found = called.json["models"]
    assert [(Path(entry["model"]).name, entry["runner"], entry["kind"]) for entry in found] == [
        ("folder", "torch", "measured"),
        ("float.onnx", "onnxruntime", "measured"),
        ("int8.onnx", "onnxruntime", "measured"),
        ("int8.onnx", "functional simulator", "simulated"),
        ("int4.onnx", "onnxruntime", "measured"),
        ("int4.onnx", "functional simulator", "simulated"),
        ("int8.zap", "functional simulator", "simulated"),
    ]
    assert [entry["precision"] for entry in found] == [
        "float", "fp32", "int8", "int8", "int4+8", "int4+8", "int8",
    ]  # fmt: skip
    mae = [np.array(entry["mae"]) for entry in found]
    np.testing.assert_allclose(mae[1], mae[0], rtol=1e-4)  # ONNX float is the torch network
    np.testing.assert_allclose(mae[3], mae[2], rtol=1e-3)  # the simulator is ONNX Runtime
    np.testing.assert_allclose(mae[5], mae[4], rtol=1e-2)
    np.testing.assert_array_equal(mae[6], mae[3])  # a .zap is the file it was made from
    assert 0 < abs(mae[2] - mae[0]).max() < 0.1 * mae[0].max()
    assert all(entry["mean_over_conditions"] == 8 for entry in found)
    assert all(entry["held_out"][0]["name"] == "taxis" for entry in found)
    assert all(entry["windows"] == 32 for entry in found)
    assert [len(entry["conditions"]) for entry in found] == [8] * 7


def test_the_table_and_the_plot(zapdeploy: Call, forms: Path, tmp_path: Path) -> None:
    page, document = tmp_path / "curve.html", tmp_path / "e.json"
    models = (forms / "folder", "mean", "mean:2", "stimulus")
    options = ("--data", "synthetic", "--windows", 2, "--plot", page, "-o", document)
    called = zapdeploy("evaluate", *models, *options)
    assert called.status == 0
    assert "mean over 8 conditions, held-out taxis apart; 16 neurons, synthetic data" in called.out
    for text in ("h=1", "h=32", "held out", "torch", "mean:2", "stimulus", "open loop"):
        assert text in called.out
    assert f"wrote {document}\nwrote {page}\n" in called.out
    assert len(json.loads(document.read_text())["models"]) == 4
    text = page.read_text()
    assert "synthetic data, mean over 8 conditions" in text
    assert 'src="http' not in text


def test_a_local_recording(zapdeploy: Call, forms: Path) -> None:
    folder = next(forms.glob("synthetic-*"))
    called = zapdeploy("evaluate", "mean", "--data", folder, "--windows", 1, "--json")
    assert called.json["data"] == str(folder)
    assert called.json["synthetic"] is False
    assert called.json["neurons"] == NEURONS


def test_tide_is_given_the_stimuli(zapdeploy: Call, tmp_path: Path) -> None:
    spec = ForecasterSpec("tide-c4", NEURONS)
    save_forecaster(tmp_path / "tide", spec, build_forecaster(spec), {})
    path = export_model(spec.name, tmp_path / "tide.onnx", neurons=NEURONS)
    models = (tmp_path / "tide", path)
    called = zapdeploy("evaluate", *models, "--data", "synthetic", "--windows", 1, "--json")
    torch_mae, onnx_mae = (entry["mae"] for entry in called.json["models"])
    np.testing.assert_allclose(onnx_mae, torch_mae, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing",), "model must be a folder from zapdeploy train, an .onnx or .zap file"),
        (("mean:x",), "window of the mean baseline must be 1 to 256 frames, not 'x'"),
        (("none.onnx",), "model must be a file, not missing (none.onnx)"),
        (("mean", "--windows", 0), "--windows must be at least 1, not 0"),
        (("mean", "--neurons", 0), "neurons must be 1 to 71721, not 0"),
    ],
)
def test_refusals(zapdeploy: Call, arguments: tuple[object, ...], message: str) -> None:
    called = zapdeploy("evaluate", "--data", "synthetic", "--neurons", NEURONS, *arguments)
    assert called.status == 2
    assert message in called.err
    assert called.err.count("\n") == 1


def test_another_number_of_neurons(zapdeploy: Call, forms: Path) -> None:
    models = (forms / "folder", forms / "int8.onnx")
    for model in models:
        called = zapdeploy("evaluate", model, "--data", "synthetic", "--neurons", 5)
        assert called.status == 2
        assert f"neurons must be the recording's 5, not 16 ({model})" in called.err


def test_a_network_that_forecasts_nothing(zapdeploy: Call, model: Path) -> None:
    called = zapdeploy("evaluate", model, "--data", "synthetic", "--neurons", NEURONS)
    assert called.status == 2
    assert "model must have one input [batch, context, neurons]" in called.err


def test_the_host_normalises_where_a_file_leaves_it_to_the_host(
    zapdeploy: Call, tmp_path: Path
) -> None:
    """Exported, quantized on raw windows, compiled, all without an option: the same forecasts."""
    spec = ForecasterSpec("time-mix-c256", NEURONS)
    save_forecaster(tmp_path / "folder", spec, build_forecaster(spec, seed=1), {})
    save_arrays(tmp_path / "raw.npz", sample_inputs(spec.name, 6, neurons=NEURONS))
    files = [tmp_path / name for name in ("float.onnx", "int8.onnx", "int8.zap")]
    checkpoint = ("--checkpoint", tmp_path / "folder", "--neurons", NEURONS)
    zapdeploy("models", "export", spec.name, *checkpoint, "-o", files[0])
    quantized = ("--weights", 8, "--activations", 8, "--calibration", tmp_path / "raw.npz")
    zapdeploy("quantize", files[0], *quantized, "-o", files[1])
    compile_model(files[1], output=files[2])
    by_module = tmp_path / "module.onnx"
    assert zapdeploy("quantize", tmp_path / "folder", *quantized, "-o", by_module).status == 0
    models = (tmp_path / "folder", *files, by_module)
    options = ("--data", "synthetic", "--windows", 1, "--simulate", "--json")
    called = zapdeploy("evaluate", *models, *options)
    plain, exported, int8, simulated, program, module, _ = (
        np.array(entry["mae"]) for entry in called.json["models"]
    )
    np.testing.assert_allclose(exported, plain, rtol=1e-3)
    np.testing.assert_allclose([int8, module], [plain, plain], rtol=0.05)
    np.testing.assert_allclose(simulated, int8, rtol=1e-3)
    np.testing.assert_array_equal(program, simulated)
