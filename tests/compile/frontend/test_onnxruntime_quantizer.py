"""Files written by ONNX Runtime's own quantizer, in all of its formats."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from tests.compile.frontend.comparing import differences
from tests.compile.frontend.onnx_files import Array, OnnxFile, reference
from zapdeploy.compile.frontend import Outcome, import_model
from zapdeploy.sim.functional import run

SHAPE = (1, 3, 16, 16)


class Reader(CalibrationDataReader):
    """A few random images."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.images: Iterator[Array] = iter(rng.normal(0, 1, (8, *SHAPE)).astype(np.float32))

    def get_next(self) -> dict[str, Array] | None:
        image = next(self.images, None)
        return None if image is None else {"x": image}


def convolutional() -> OnnxFile:
    """Conv, Relu, MaxPool, residual Add, Clip, Concat, AveragePool, Gemm, Softmax."""
    file, rng = OnnxFile(opset=17), np.random.default_rng(4)

    def conv(x: str, inputs: int, outputs: int, kernel: int, **attributes: Any) -> str:
        shape = (outputs, inputs // attributes.get("group", 1), kernel, kernel)
        weights = rng.normal(0, (inputs * kernel**2) ** -0.5, shape).astype(np.float32)
        bias = rng.normal(0, 0.1, outputs).astype(np.float32)
        names = [x, file.constant(weights), file.constant(bias)]
        return file.node("Conv", names, pads=[kernel // 2] * 4, **attributes)

    x = file.input("x", SHAPE)
    a = file.node("Relu", [conv(x, 3, 8, 3)])
    a = file.node("MaxPool", [a], kernel_shape=[2, 2], strides=[2, 2])
    bounds = [file.constant(np.float32(v)) for v in (0, 6)]
    b = file.node("Clip", [conv(a, 8, 8, 3, group=8), *bounds])
    c = file.node("Add", [conv(b, 8, 8, 1), a])
    d = file.node("Concat", [c, a], axis=1)
    e = file.node("Sigmoid", [conv(d, 16, 4, 1)])
    e = file.node("Mul", [e, conv(d, 16, 4, 1)])
    e = file.node("AveragePool", [e], kernel_shape=[2, 2], strides=[2, 2])
    e = file.node("Flatten", [file.node("LeakyRelu", [e], alpha=0.1)])
    weights = file.constant(rng.normal(0, 0.2, (10, 64)).astype(np.float32))
    bias = file.constant(rng.normal(0, 0.1, 10).astype(np.float32))
    file.output(file.node("Softmax", [file.node("Gemm", [e, weights, bias], transB=1)]))
    return file


@pytest.fixture(scope="module")
def float_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convolutional().save(tmp_path_factory.mktemp("float") / "model.onnx")


STATIC = {
    "QDQ, unsigned": {"quant_format": QuantFormat.QDQ, "activation_type": QuantType.QUInt8},
    "QDQ, signed, per channel": {
        "quant_format": QuantFormat.QDQ,
        "activation_type": QuantType.QInt8,
        "per_channel": True,
    },
    "QDQ, symmetric, weights in pairs": {
        "quant_format": QuantFormat.QDQ,
        "activation_type": QuantType.QInt8,
        "extra_options": {"ActivationSymmetric": True, "AddQDQPairToWeight": True},
    },
    "QDQ, int4 weights": {"quant_format": QuantFormat.QDQ, "weight_type": QuantType.QInt4},
    "QDQ, uint16 activations": {
        "quant_format": QuantFormat.QDQ,
        "activation_type": QuantType.QUInt16,
        "extra_options": {"UseQDQContribOps": True},
    },
    "operators, unsigned": {
        "quant_format": QuantFormat.QOperator,
        "activation_type": QuantType.QUInt8,
        "per_channel": True,
    },
    "operators, signed": {
        "quant_format": QuantFormat.QOperator,
        "activation_type": QuantType.QInt8,
    },
}


def quantized(float_file: Path, path: Path, options: dict[str, Any]) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantize_static(float_file, path, Reader(), **{"weight_type": QuantType.QInt8, **options})
    return path


@pytest.mark.parametrize("name", STATIC)
def test_static(float_file: Path, tmp_path: Path, name: str) -> None:
    path = quantized(float_file, tmp_path / "quantized.onnx", STATIC[name])
    imported = import_model(path)
    inputs = {"x": np.random.default_rng(1).normal(0, 1, SHAPE).astype(np.float32)}
    found = differences(imported.graph, onnx.load(path), inputs)
    assert len(found) >= 12
    for difference in found:
        assert difference.largest <= (1 if difference.integer else 1e-5), difference
        ties = 0.1 if difference.op == "AveragePool" else 0.01  # a mean of 4 often lies half way
        assert difference.share <= ties or not difference.integer, difference
    matrix = [d for d in imported.decisions if d.op.endswith(("Conv", "Gemm", "MatMul"))]
    assert len(matrix) == 6
    assert {d.outcome for d in matrix} == {Outcome.ACCEPTED}
    assert not any(d.outcome is Outcome.REFUSED for d in imported.decisions)


def test_operator_form_is_equal_to_the_bit(float_file: Path, tmp_path: Path) -> None:
    path = quantized(float_file, tmp_path / "q.onnx", STATIC["operators, unsigned"])
    graph = import_model(path).graph
    inputs = {"x": np.random.default_rng(1).normal(0, 1, SHAPE).astype(np.float32)}
    for difference in differences(graph, onnx.load(path), inputs):
        exact = difference.op in ("Conv", "MatMul", "Add", "Mul", "MaxPool", "Quantize")
        assert not exact or difference.largest == 0, difference


def test_dynamic(tmp_path: Path) -> None:
    """Scales from the data: the matrix unit gives int32, the vector unit does the rest."""
    file, rng = OnnxFile(opset=17), np.random.default_rng(5)
    x = file.input("x", (4, 24))
    for inputs, outputs in ((24, 16), (16, 8)):
        weights = rng.normal(0, 0.2, (inputs, outputs)).astype(np.float32)
        product = file.node("MatMul", [x, file.constant(weights)])
        bias = file.constant(rng.normal(0, 0.1, outputs).astype(np.float32))
        x = file.node("Relu", [file.node("Add", [product, bias])])
    file.output(x)
    path = tmp_path / "dynamic.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantize_dynamic(file.save(tmp_path / "float.onnx"), path, weight_type=QuantType.QInt8)
    imported = import_model(path)
    inputs = {"x": rng.normal(0, 1, (4, 24)).astype(np.float32)}
    (expected,), (output,) = (
        found.values() for found in (reference(path, inputs), run(imported.graph, inputs))
    )
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)
    assert imported.origin.dialects == ("dynamic",)
    assert [n.op for n in imported.graph.nodes].count("MatMul") == 2
