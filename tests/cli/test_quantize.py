"""zapdeploy quantize on torch modules: files, records, and one line for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Call
from tests.quantize.networks import images, residual_cnn

FACTORY = "tests.quantize.modules:perceptron"


@pytest.fixture
def calibration(tmp_path: Path) -> Path:
    path = tmp_path / "x.npz"
    values = np.random.default_rng(0).standard_normal((48, 16), np.float32)
    np.savez(path, input=values)
    return path


def test_a_factory_is_quantized_trained_and_checked(
    zapdeploy: Call, tmp_path: Path, calibration: Path
) -> None:
    pytest.importorskip("brevitas")
    output = tmp_path / "q.onnx"
    arguments = ("--calibration", calibration, "-o", output, "--weights", 4, "--activations", 4)
    called = zapdeploy("quantize", FACTORY, *arguments, "--qat", 10, "--json")
    assert called.status == 0, called.err
    document = called.json
    assert document["recipe"]["name"] == "int4"
    assert document["agreement"]["functional"]["passed"]
    assert document["training"]["steps"] == 10
    assert json.loads(output.with_suffix(".json").read_text()) == document
    text = zapdeploy("quantize", FACTORY, *arguments).out
    assert "functional simulator agrees with ONNX Runtime layer by layer" in text


def test_mixed_shows_the_front(zapdeploy: Call, tmp_path: Path, calibration: Path) -> None:
    pytest.importorskip("brevitas")
    pytest.importorskip("plotly")
    output = tmp_path / "q.onnx"
    options = ("--weights", "mixed", "--min-snr", 20, "--calibration", calibration, "-o", output)
    called = zapdeploy("quantize", FACTORY, *options)
    assert called.status == 0, called.err
    assert "Pareto front" in called.out
    assert "energy per frame" in called.out
    assert output.with_suffix(".front.html").is_file()
    assert "mixed" in json.loads(output.with_suffix(".json").read_text())


def test_a_forecasters_folder_is_quantized(zapdeploy: Call, tmp_path: Path) -> None:
    pytest.importorskip("brevitas")
    from zapdeploy.forecasters.folder import ForecasterSpec, save_forecaster

    spec = ForecasterSpec("tsmixer-c4", 40, 8)
    save_forecaster(tmp_path / "net", spec, spec.build(), {})
    windows = np.random.default_rng(0).standard_normal((16, 4, 40)).astype(np.float32)
    np.savez(tmp_path / "x.npz", input=windows)
    called = zapdeploy(
        "quantize", tmp_path / "net", "--calibration", tmp_path / "x.npz", "-o", tmp_path / "q.onnx"
    )
    assert called.status == 0, called.err


def test_an_onnx_file_is_quantized_as_before(zapdeploy: Call, tmp_path: Path) -> None:
    source = residual_cnn(tmp_path / "net.onnx")
    np.savez(tmp_path / "x.npz", **images(8))
    arguments = ("quantize", source, "--calibration", tmp_path / "x.npz", "-o", tmp_path / "q.onnx")
    called = zapdeploy(*arguments, "--weights", 4, "--json")
    assert called.status == 0, called.err
    assert called.json["weights"] == 4


WRONG = {
    "untraceable": (
        ["tests.quantize.modules:branching"],
        "module must be traceable by torch.fx",
    ),
    "no module": (["tests.quantize.modules:no_module"], "must return a torch.nn.Module, not int"),
    "no function": (["tests.quantize.modules:nothing"], "must be a function of"),
    "no package": (["nowhere:net"], "must be an importable package.module:factory"),
    "bits": ([FACTORY, "--weights", "3"], "--weights must be 8, 4, 2 or mixed, not '3'"),
    "no budget": ([FACTORY, "--weights", "mixed"], "--weights mixed must have a budget, not none"),
    "budget": (
        [FACTORY, "--weights", "mixed", "--max-energy", "1e-12"],
        "budget must be one that some choice of bits meets, not 1e-12 J",
    ),
    "stray budget": ([FACTORY, "--min-snr", "20"], "must go with --weights mixed, not 8"),
    "form": ([FACTORY, "--form", "qoperator"], "form must be 'qcdq' or 'packed'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_calls_get_one_line(
    zapdeploy: Call, tmp_path: Path, calibration: Path, case: str
) -> None:
    pytest.importorskip("brevitas")
    arguments, message = WRONG[case]
    output = tmp_path / "q.onnx"
    called = zapdeploy("quantize", *arguments, "--calibration", calibration, "-o", output)
    assert called.status == 2
    assert message in called.err
    assert called.err.count("\n") == 1
    assert not output.exists()


def test_torch_options_are_refused_for_onnx_files(zapdeploy: Call, tmp_path: Path) -> None:
    source = residual_cnn(tmp_path / "net.onnx")
    called = zapdeploy("quantize", source, "--qat", 5, "-o", tmp_path / "q.onnx")
    assert called.status == 2
    assert "model must be a torch module for" in called.err
    called = zapdeploy("quantize", FACTORY, "-o", tmp_path / "q.onnx")
    assert "must be given --calibration X.npz" in called.err
