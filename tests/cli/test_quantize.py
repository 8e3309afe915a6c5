"""zapdeploy quantize on torch modules: files, records, and one line for what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from tests.cli.conftest import Call
from tests.quantize.networks import images, node, random_weights, residual_cnn, save
from tests.quantize.networks import perceptron as float_perceptron

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


def test_mixed_by_what_the_values_cost(zapdeploy: Call, tmp_path: Path, calibration: Path) -> None:
    """The energy it names is that of `simulate --activity` with the inputs it was chosen on."""
    pytest.importorskip("brevitas")
    output, zap = tmp_path / "q.onnx", tmp_path / "q.zap"
    options = ("--weights", "mixed", "--min-snr", 20, "--calibration", calibration, "-o", output)
    called = zapdeploy("quantize", FACTORY, *options, "--activity", "--json")
    assert called.status == 0, called.err
    mixed = called.json["mixed"]
    assert mixed["energy_of"] == "values"
    assert mixed["energy_j"]["predicted"] == pytest.approx(mixed["energy_j"]["compiled"], rel=1e-3)
    assert zapdeploy("compile", output, "--batch", 1, "-o", zap).status == 0
    asked = ("--activity", "--inputs", calibration, "--level", "estimate", "--json")
    counted = zapdeploy("simulate", zap, *asked).json["activity"]
    energy = counted["energy_per_frame_j"]
    assert mixed["energy_j"]["compiled"] == pytest.approx(
        energy["without_gating"]["actual"]["value"], rel=1e-9
    )
    assert mixed["energy_j"]["compiled"] < energy["constants"]["value"]


@pytest.mark.parametrize("name", ["tsmixer-c4", "tide-c4"])
def test_a_forecasters_folder_is_quantized_on_its_own_windows(
    zapdeploy: Call, tmp_path: Path, name: str
) -> None:
    """They are there by the names of the exported file's inputs; so are the result's."""
    pytest.importorskip("brevitas")
    from zapdeploy.forecasters import sample_inputs
    from zapdeploy.forecasters.build import build_forecaster
    from zapdeploy.forecasters.folder import ForecasterSpec, save_forecaster

    spec = ForecasterSpec(name, 12, 8 if name == "tsmixer-c4" else None)
    save_forecaster(tmp_path / "net", spec, build_forecaster(spec), {})
    windows = sample_inputs(name, 4, neurons=12)
    np.savez(tmp_path / "net" / "calibration.npz", **windows)  # type: ignore[arg-type]
    output = tmp_path / "q.onnx"
    called = zapdeploy("quantize", tmp_path / "net", "-o", output, "--json")
    assert called.status == 0, called.err
    assert called.json["calibration_samples"] == 4
    assert {value.name for value in onnx.load(output).graph.input} == set(windows)


def test_an_onnx_file_is_quantized_as_before(zapdeploy: Call, tmp_path: Path) -> None:
    source = residual_cnn(tmp_path / "net.onnx")
    np.savez(tmp_path / "x.npz", **images(8))
    arguments = ("quantize", source, "--calibration", tmp_path / "x.npz", "-o", tmp_path / "q.onnx")
    called = zapdeploy(*arguments, "--weights", 4, "--json")
    assert called.status == 0, called.err
    assert called.json["weights"] == 4


def scales_of_the_input(path: Path) -> int:
    """How many scales the first quantizer of a file has."""
    graph = onnx.load(path).graph
    name = next(node.input[1] for node in graph.node if node.op_type == "QuantizeLinear")
    (scale,) = (tensor for tensor in graph.initializer if tensor.name == name)
    return int(onnx.numpy_helper.to_array(scale).size)


@pytest.mark.parametrize(
    ("given", "count"),
    [((), 1), (("--activation-scales", "per-neuron"), 6), (("--activation-scales", "auto"), 1)],
)
def test_scales_of_a_file_are_per_tensor_unless_asked_otherwise(
    zapdeploy: Call, tmp_path: Path, given: tuple[str, ...], count: int
) -> None:
    """A 1x1 convolution over [1, 4, 6]: with so few values "auto" does not judge."""
    nodes = [node("Conv", "input w", "output", kernel_shape=[1])]
    shapes: list[int | str] = [1, 4, 6]
    source = save(tmp_path / "net.onnx", nodes, random_weights({"w": (4, 4, 1)}), (shapes, shapes))
    output = tmp_path / "q.onnx"
    called = zapdeploy("quantize", source, "-o", output, *given)
    assert called.status == 0, called.err
    assert scales_of_the_input(output) == count


def test_scales_of_a_module_are_in_its_record(
    zapdeploy: Call, tmp_path: Path, calibration: Path
) -> None:
    pytest.importorskip("brevitas")
    arguments = ("quantize", FACTORY, "--calibration", calibration, "-o", tmp_path / "q.onnx")
    called = zapdeploy(*arguments, "--activation-scales", "per-tensor", "--json")
    assert called.json["recipe"]["activation_scales"] == "per tensor"


def test_scales_that_a_form_cannot_have_are_refused(zapdeploy: Call, tmp_path: Path) -> None:
    source = residual_cnn(tmp_path / "net.onnx")
    options = ("--form", "qoperator", "--activation-scales", "per-neuron")
    called = zapdeploy("quantize", source, "-o", tmp_path / "q.onnx", *options)
    assert called.status == 2
    assert "for activation scales 'per neuron', not 'qoperator'" in called.err


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
    "edges of a mixed network": (
        [FACTORY, "--weights", "mixed", "--min-snr", "20", "--keep-first-last", "8"],
        "--keep-first-last must go with --weights 8, 4 or 2, not mixed",
    ),
    "scales": (
        [FACTORY, "--activation-scales", "per tensor"],
        "--activation-scales must be auto, per-neuron, per-tensor, not 'per tensor'",
    ),
    "stray values": ([FACTORY, "--activity"], "--activity must go with --weights mixed, not 8"),
    "stray budget": ([FACTORY, "--min-snr", "20"], "must go with --weights mixed, not 8"),
    "form": ([FACTORY, "--form", "qoperator"], "form must be 'qcdq' or 'packed'"),
    "rounding": ([FACTORY, "--rounding", "up"], "rounding must be one of nearest, gptq, gpfq, not"),
    "activations": ([FACTORY, "--activations", "2"], "activations must be one of 8, 4, not 2"),
    "no folder": (["."], "folder must be one that zapdeploy train wrote"),
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


Floats = NDArray[np.float32]
# From inputs that would do, apart from being constant, to unfit ones; and what is said of them.
VIOLATION: dict[str, tuple[Callable[[Floats], dict[str, NDArray[Any]]], str]] = {
    "names": (lambda x: {"other": x}, "calibration must hold the inputs ['input'], not ['other']"),
    "shape": (lambda x: {"input": x[:, 1:].cumsum(axis=1)}, "not of shape [[15]]"),
    "nan": (lambda x: {"input": x * np.nan}, "values must be finite, not NaN or infinite"),
    "constant": (lambda x: {"input": x}, "values must vary, not be all 1"),
    "integers": (lambda x: {"input": x.astype(int)}, "values must be floating point, not int64"),
    "none": (lambda x: {"input": x[:0]}, "samples must be at least one, not none"),
}


@pytest.mark.parametrize("case", VIOLATION)
def test_unfit_calibration_of_a_module_gets_one_line(
    zapdeploy: Call, tmp_path: Path, case: str
) -> None:
    pytest.importorskip("brevitas")
    make, message = VIOLATION[case]
    np.savez(tmp_path / "x.npz", **make(np.ones((8, 16), np.float32)))  # type: ignore[arg-type]
    output = tmp_path / "q.onnx"
    called = zapdeploy("quantize", FACTORY, "--calibration", tmp_path / "x.npz", "-o", output)
    assert called.status == 2
    assert message in called.err
    assert called.err.count("\n") == 1
    assert not output.exists()


@pytest.mark.parametrize("case", VIOLATION)
def test_unfit_calibration_of_a_file_gets_one_line(
    zapdeploy: Call, tmp_path: Path, case: str
) -> None:
    make, message = VIOLATION[case]
    np.savez(tmp_path / "x.npz", **make(np.ones((8, 6), np.float32)))  # type: ignore[arg-type]
    source, output = float_perceptron(tmp_path / "net.onnx"), tmp_path / "q.onnx"
    called = zapdeploy("quantize", source, "--calibration", tmp_path / "x.npz", "-o", output)
    assert called.status == 2
    wanted = "shape must be [count, 6], not [8, 5]" if case == "shape" else message
    assert wanted in called.err
    assert called.err.count("\n") == 1
    assert not output.exists()


def test_torch_options_are_refused_for_onnx_files(zapdeploy: Call, tmp_path: Path) -> None:
    source = residual_cnn(tmp_path / "net.onnx")
    called = zapdeploy("quantize", source, "--qat", 5, "-o", tmp_path / "q.onnx")
    assert called.status == 2
    assert "model must be a torch module for" in called.err
    called = zapdeploy("quantize", FACTORY, "-o", tmp_path / "q.onnx")
    assert "add --calibration X.npz" in called.err
