"""QONNX quantizers against their definition, written out here a second time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compile.frontend.dialects import QONNX, Kind, QonnxWriter
from tests.compile.frontend.onnx_files import Array, OnnxFile
from zapdeploy.compile.frontend import UnsupportedModel, import_model
from zapdeploy.compile.graph import Graph
from zapdeploy.errors import ModelError
from zapdeploy.sim.functional import run


def quant(x: Array, scale: Any, zero: float, bits: int, signed: bool, narrow: bool) -> Array:
    """The definition in QONNX: round half to even, clamp, scale back."""
    low = -(2 ** (bits - 1)) + narrow if signed else 0
    high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1 - narrow
    codes = np.clip(np.rint(x / np.float32(scale) + np.float32(zero)), low, high)
    return np.asarray((codes - np.float32(zero)) * np.float32(scale), np.float32)


def file_of(op: str, shape: tuple[int, ...], inputs: list[Any], **attributes: Any) -> OnnxFile:
    file = OnnxFile()
    names = [file.constant(np.asarray(v, np.float32)) for v in inputs]
    x = file.input("x", shape)
    file.output(file.node(op, [x, *names], "y", name="node", domain=QONNX, **attributes))
    return file


def imported(tmp_path: Path, file: OnnxFile) -> Graph:
    return import_model(file.save(tmp_path / "model.onnx")).graph


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize(("signed", "narrow"), [(1, 0), (1, 1), (0, 0), (0, 1)])
def test_quant(tmp_path: Path, bits: int, signed: int, narrow: int) -> None:
    zero = 0 if signed else 2
    file = file_of("Quant", (50,), [0.25, zero, bits], signed=signed, narrow=narrow)
    graph = imported(tmp_path, file)
    x = np.linspace(-40, 70, 50, dtype=np.float32)
    expected = quant(x, 0.25, zero, bits, bool(signed), bool(narrow))
    np.testing.assert_array_equal(run(graph, {"x": x})["y"], expected)
    assert [node.op for node in graph.nodes] == ["Quantize", "Dequantize"]
    kind = "int" if signed else "uint"
    assert graph.values["y_codes"].element.name == f"{kind}{bits}"


@pytest.mark.parametrize("shape", [(3, 1), (1, 5)])
def test_scales_along_an_axis(tmp_path: Path, shape: tuple[int, int]) -> None:
    scale = np.random.default_rng(0).uniform(0.1, 1, shape).astype(np.float32)
    graph = imported(tmp_path, file_of("Quant", (2, 3, 5), [scale, 0, 4], signed=1))
    x = np.random.default_rng(1).normal(0, 2, (2, 3, 5)).astype(np.float32)
    np.testing.assert_array_equal(run(graph, {"x": x})["y"], quant(x, scale, 0, 4, True, False))
    meaning = graph.values["y_codes"].quantization
    assert meaning is not None
    assert meaning.axis == (1 if shape[0] > 1 else 2)


def test_bipolar_weights(tmp_path: Path) -> None:
    """By hand: (1, 2) times the signs of ((0.3, -1), (0, -5)), by 0.5."""
    file = OnnxFile()
    writer = QonnxWriter(file)
    x = writer.start("x", (1, 2), Kind(4, True, 1.0))
    weights = file.constant(np.float32([[0.3, -1], [0, -5]]))
    inputs = [weights, file.constant(np.float32(0.5))]
    w = file.node("BipolarQuant", inputs, "w", domain=QONNX)
    file.output(file.node("MatMul", [x.name, w], "y"))
    graph = imported(tmp_path, file)
    assert graph.values["w_codes"].element.name == "int2"
    assert run(graph, {"x": np.float32([[1, 2]])})["y"].tolist() == [[1.5, -1.5]]


@pytest.mark.parametrize("mode", ["FLOOR", "ROUND"])
@pytest.mark.parametrize(("before", "after"), [(8, 4), (6, 4), (9, 8), (4, 4)])
def test_trunc(tmp_path: Path, mode: str, before: int, after: int) -> None:
    """x / scale is a whole number; its upper bits are kept."""
    file = file_of("Trunc", (512,), [0.25, 0, before, after], rounding_mode=mode)
    graph = imported(tmp_path, file)
    whole = np.arange(-256, 256)
    steps = whole / 2 ** (before - after)
    kept = np.floor(steps) if mode == "FLOOR" else np.rint(steps)
    expected = np.clip(kept, -(2 ** (after - 1)), 2 ** (after - 1) - 1) * 0.25
    x = (whole * 0.25).astype(np.float32)
    np.testing.assert_array_equal(run(graph, {"x": x})["y"], expected)


def test_truncation_as_qcdq(tmp_path: Path) -> None:
    """Brevitas' other form: quantized with 4 s, clipped, dequantized with s."""
    file = OnnxFile()
    zero, coarse, fine = (file.constant(v) for v in (np.int8(0), np.float32(1), np.float32(0.25)))
    codes = file.node("QuantizeLinear", [file.input("x", (9,)), coarse, zero])
    bounds = [file.constant(np.int8(v)) for v in (-8, 7)]
    codes = file.node("Clip", [codes, *bounds])
    file.output(file.node("DequantizeLinear", [codes, fine, zero], "y"))
    x = np.linspace(-12, 12, 9, dtype=np.float32)
    graph = imported(tmp_path, file)
    np.testing.assert_array_equal(run(graph, {"x": x})["y"], quant(x, 1, 0, 4, True, False) / 4)


REFUSED: dict[str, tuple[str, list[Any], str]] = {
    "bit widths": ("Quant", [0.5, 0, [4, 8]], "bit width must be one whole number, not [4.0, 8.0]"),
    "fraction": ("Quant", [0.5, 0, 4.5], "bit width must be one whole number, not [4.5]"),
    "wide": (
        "Quant",
        [0.5, 0, 24],
        "bit width must be 1 to 16 (up to 32 for a constant), not 24",
    ),
    "very wide": ("Quant", [0.5, 0, 1e9], "bit width must be 1 to 32, not 1e+09"),
    "no bit": ("Quant", [0.5, 0, 0], "bit width must be 1 to 32, not 0"),
    "two axes": (
        "Quant",
        [np.ones((2, 3)), 0, 4],
        "scale must be one number or broadcast along one axis",
    ),
    "bipolar": ("Quant", [0.5, 1, 1], "zero point of a quantizer to one bit must be 0"),
    "wider": (
        "Trunc",
        [0.5, 0, 4, 8],
        "rounding_mode must be FLOOR or ROUND and the output narrower, not FLOOR from 4 to 8 bits",
    ),
    "wider by its scale": (
        "Trunc",
        [0.5, 0, 8, 0.25, 8],
        "rounding_mode must be FLOOR or ROUND and the output narrower, not FLOOR from 7 to 8 bits",
    ),
    "zero point": (
        "Trunc",
        [0.5, 1, 8, 4],
        "scale must be one for the tensor and the zero point 0",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path: Path, name: str) -> None:
    op, inputs, reason = REFUSED[name]
    with pytest.raises(UnsupportedModel) as caught:
        imported(tmp_path, file_of(op, (2, 3), inputs))
    assert f"node 'node' ({QONNX}.{op}): {reason}" in str(caught.value)


def test_scales_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        imported(tmp_path, file_of("Quant", (2, 3), [np.ones((4, 1)), 0, 4]))
    assert str(caught.value) == (
        "scales along axis 0 must be as many as its length, 2, not 4 (node 'node'); "
        "export the model again"
    )
