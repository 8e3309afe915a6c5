"""The networks that zapdeploy is for, quantized: TSMixer small, ResNet-50 whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

from tests.quantize.networks import operators, run, signal_to_noise_db
from zapdeploy.forecasters import export_model, sample_inputs
from zapdeploy.quantize import quantize_onnx

pytest.importorskip("torch")

INT4: dict[str, Any] = {"weights": 4, "activations": 4}


@pytest.fixture(scope="module")
def mixer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixer")
    return export_model("tsmixer-c4", folder / "mixer.onnx", neurons=200, width=32)


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("PIL")
    return export_model("resnet50", tmp_path_factory.mktemp("resnet") / "resnet50.onnx")


@pytest.mark.parametrize(
    ("options", "least_db"),
    [
        ({}, 30),
        ({"form": "qoperator"}, 30),
        ({**INT4, "form": "qcdq"}, 14),
        ({**INT4, "form": "packed"}, 14),
    ],
)
def test_tsmixer_in_every_form(
    mixer: Path, tmp_path: Path, options: dict[str, Any], least_db: float
) -> None:
    target = tmp_path / "q.onnx"
    windows = sample_inputs("tsmixer-c4", 20, neurons=200)["input"]  # of the same neurons
    quantize_onnx(mixer, target, calibration={"input": windows[:16]}, **options)
    x = windows[16:]
    assert signal_to_noise_db(run(mixer, x), run(target, x)) > least_db


def test_tsmixer_int8_runs_on_integer_kernels(mixer: Path, tmp_path: Path) -> None:
    target = tmp_path / "q.onnx"
    calibration = sample_inputs("tsmixer-c4", 16, neurons=200)
    quantize_onnx(mixer, target, calibration=calibration)
    run(target, calibration["input"][:1], optimized=tmp_path / "optimized.onnx")
    found = operators(tmp_path / "optimized.onnx")
    assert (found["QLinearConv"], found["QGemm"], found["QLinearAdd"]) == (3, 4, 4)
    assert not {"Conv", "Gemm", "MatMul", "Add"} & set(found)


def test_reshapes_keep_an_open_batch(mixer: Path, tmp_path: Path) -> None:
    target = tmp_path / "q.onnx"
    quantize_onnx(mixer, target, calibration=sample_inputs("tsmixer-c4", 4, neurons=200), **INT4)
    graph = onnx.load(target).graph
    held = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    shapes = [held[node.input[1]][0] for node in graph.node if node.op_type == "Reshape"]
    assert shapes == [-1] * 4


def test_normalisation_stays_in_float_at_both_ends(tmp_path: Path) -> None:
    source = export_model("tsmixer-c256", tmp_path / "m.onnx", neurons=60, width=16, revin=True)
    target = tmp_path / "q.onnx"
    windows = sample_inputs("tsmixer-c256", 6, neurons=60)["input"]
    record = quantize_onnx(source, target, calibration={"input": windows[:4]}, form="qoperator")
    found = operators(target)
    assert (found["QuantizeLinear"], found["DequantizeLinear"]) == (1, 1)
    assert (found["ReduceMean"], found["Sqrt"], found["Div"]) == (2, 1, 2)
    assert {layer.weights for layer in record.layers} == {8}
    x = windows[4:]
    assert signal_to_noise_db(run(source, x), run(target, x)) > 30


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "least_db"),
    [({}, 24), ({"form": "qoperator"}, 24), ({**INT4, "form": "qcdq"}, 10), (INT4, 10)],
)
def test_resnet50_in_every_form(
    resnet: Path, tmp_path: Path, options: dict[str, Any], least_db: float
) -> None:
    target = tmp_path / "q.onnx"
    quantize_onnx(resnet, target, calibration=sample_inputs("resnet50", 16, seed=1), **options)
    x = sample_inputs("resnet50", 4, seed=2)["input"]
    assert signal_to_noise_db(run(resnet, x), run(target, x)) > least_db


@pytest.mark.slow
def test_resnet50_int8_runs_on_integer_kernels(resnet: Path, tmp_path: Path) -> None:
    target = tmp_path / "q.onnx"
    calibration = sample_inputs("resnet50", 4, seed=1)
    quantize_onnx(resnet, target, calibration=calibration)
    run(target, calibration["input"][:1], optimized=tmp_path / "optimized.onnx")
    found = operators(tmp_path / "optimized.onnx")
    assert (found["QLinearConv"], found["QGemm"], found["QLinearAdd"]) == (53, 1, 16)
    assert found["QLinearGlobalAveragePool"] == 1
    assert not {"Conv", "Gemm", "Add", "Relu", "GlobalAveragePool"} & set(found)


@pytest.mark.slow
def test_resnet50_int4_is_as_small_as_its_bits(resnet: Path, tmp_path: Path) -> None:
    """By hand: 23.5 M weights at half a byte, conv1 and fc (2.06 M) at one, and their scales."""
    target = tmp_path / "q.onnx"
    record = quantize_onnx(resnet, target, calibration=sample_inputs("resnet50", 2), **INT4)
    assert 23_445_504 / 2 + 2_057_408 < target.stat().st_size < 15e6
    bits = [layer.weights for layer in record.layers]
    assert (bits[0], bits[-1], set(bits[1:-1])) == (8, 8, {4})
    inputs = [layer.inputs for layer in record.layers]
    assert (inputs[0], inputs[-1], set(inputs[1:-1])) == (8, 8, {4})
