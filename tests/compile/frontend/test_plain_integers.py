"""Clip and Relu of integers that are no codes, or that turn out to be some only later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.compile.frontend.onnx_files import Array, OnnxFile, reference
from zapdeploy.compile.frontend import import_model
from zapdeploy.sim.functional import run

TYPES = {"int8": 3, "uint8": 2, "int32": 6, "int64": 7}  # of onnx.TensorProto
OPERATORS = ("Clip", "low alone", "high alone", "Clip twice", "Relu")
USES = ("output", "Gather", "dequantized", "moved", "moved and dequantized")


def clipped(file: OnnxFile, x: str, dtype: str, operator: str) -> str:
    low, high = (file.constant(np.asarray(bound, dtype)) for bound in (2, 9))
    if operator == "Relu":
        return file.node("Relu", [x])
    if operator == "Clip twice":
        x = file.node("Clip", [x, "", high])
    bounds = {"low alone": [low], "high alone": ["", high], "Clip": [low, high]}
    return file.node("Clip", [x, *bounds.get(operator, [low])])


def used(file: OnnxFile, x: str, dtype: str, use: str) -> tuple[str, int]:
    if use.startswith("moved"):
        x = file.node("Transpose", [x])
    if use.endswith("dequantized"):
        parameters = [file.constant(np.float32(0.5)), file.constant(np.asarray(3, dtype))]
        return file.node("DequantizeLinear", [x, *parameters]), 1
    if use == "Gather":
        return file.node("Gather", [file.constant(np.arange(64, dtype=np.float32)), x]), 1
    return x, TYPES[dtype]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("use", USES)
def test_equals_onnx_runtime(tmp_path: Path, dtype: str, operator: str, use: str) -> None:
    if operator == "Relu" and dtype in ("uint8", "int64"):
        pytest.skip("ONNX Runtime has no such Relu")
    if use == "Gather" and "8" in dtype:
        pytest.skip("indices are int32 or int64")
    if use.endswith("dequantized") and dtype in ("int32", "int64"):
        pytest.skip("zero points of these types are 0 or not there")
    file = OnnxFile()
    x = file.input("x", (4, 6), TYPES[dtype])
    file.output(*used(file, clipped(file, x, dtype, operator), dtype, use))
    lowest = 0 if dtype.startswith("u") or use == "Gather" else -12
    values = np.arange(lowest, lowest + 24).reshape(4, 6).astype(dtype)
    assert_equal(file, tmp_path, values)


@pytest.mark.parametrize("zero_point", [0, 3])
def test_relu_before_its_meaning_is_known(tmp_path: Path, zero_point: int) -> None:
    """max(q, 0) whatever the zero point."""
    file = OnnxFile()
    codes = file.node("Relu", [file.input("x", (4, 6), TYPES["int8"])])
    parameters = [file.constant(np.float32(0.5)), file.constant(np.int8(zero_point))]
    file.output(file.node("DequantizeLinear", [codes, *parameters]))
    assert_equal(file, tmp_path, np.arange(-12, 12, dtype=np.int8).reshape(4, 6))


def test_bounds_of_64_bits_stay_exact(tmp_path: Path) -> None:
    """float64 does not hold them."""
    file = OnnxFile()
    bounds = [file.constant(np.int64(sign * (2**62 + 1))) for sign in (-1, 1)]
    x = file.input("x", (3,), TYPES["int64"])
    file.output(file.node("Clip", [x, *bounds]), TYPES["int64"])
    assert_equal(file, tmp_path, np.array([-(2**63), 7, 2**63 - 1]))


def assert_equal(file: OnnxFile, folder: Path, x: Array) -> None:
    path = file.save(folder / "model.onnx")
    expected = reference(path, {"x": x})
    found = run(import_model(path).graph, {"x": x})
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
