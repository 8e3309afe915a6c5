"""Scales beyond float32 are refused, and NaN becomes the code that ONNX Runtime makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.compile.frontend.onnx_files import OnnxFile, reference
from zapdeploy.compile.frontend import import_model
from zapdeploy.errors import ModelError
from zapdeploy.sim.functional import run


def coded(file: OnnxFile, x: str, scale: float, zero: np.generic) -> str:
    parameters = [file.constant(np.float32(scale)), file.constant(zero)]
    return file.node(
        "DequantizeLinear", [file.node("QuantizeLinear", [x, *parameters]), *parameters]
    )


@pytest.mark.parametrize(
    ("op", "scales"),
    [
        ("MatMul", (1e30, 1e30, 1)),
        ("MatMul", (1e10, 1e20, 1e-20)),
        ("Mul", (1e30, 1e30, 1)),
        ("Add", (1e30, 1, 1e-20)),
    ],
)
def test_overflowing_scales_are_refused(
    tmp_path: Path, op: str, scales: tuple[float, float, float]
) -> None:
    file = OnnxFile()
    zero = np.uint8(0)
    operands = [
        coded(file, file.input(name, (4, 4)), scale, zero)
        for name, scale in zip("ab", scales, strict=False)
    ]
    file.output(coded(file, file.node(op, operands, name="product"), scales[2], zero))
    with pytest.raises(ModelError) as error:
        import_model(file.save(tmp_path / "model.onnx"))
    message = str(error.value)
    assert message.startswith("scales must have products and ratios that float32 holds")
    assert f"{scales[0]:g}" in message
    assert "(node 'product')" in message
    assert message.endswith("quantize them with scales nearer to 1")


def test_advice_works(tmp_path: Path) -> None:
    file = OnnxFile()
    operands = [coded(file, file.input(name, (4, 4)), 1, np.uint8(0)) for name in "ab"]
    file.output(coded(file, file.node("MatMul", operands), 1, np.uint8(0)))
    import_model(file.save(tmp_path / "model.onnx"))


@pytest.mark.parametrize("function", ["Log", "Sqrt", "Pow", "Div"])
@pytest.mark.parametrize("clamp", ["Relu", "Clip", "Reshape, Relu"])
def test_nan_passes_a_clamp(tmp_path: Path, function: str, clamp: str) -> None:
    """Relu and Clip hand NaN on, and a quantizer makes its lowest code of it."""
    file = OnnxFile()
    x = coded(file, file.input("x", (6,)), 0.1, np.int8(0))
    more = {"Pow": [file.constant(np.float32(0.5))], "Div": [x]}
    y = file.node(function, [x, *more.get(function, [])])
    if clamp.startswith("Reshape"):
        y = file.node("Reshape", [y, file.constant(np.array([2, 3]))])
    bounds = [file.constant(np.float32(b)) for b in (0, 6)] if clamp == "Clip" else []
    y = file.node("Clip" if clamp == "Clip" else "Relu", [y, *bounds])
    file.output(coded(file, y, 0.1, np.int8(0)))
    path = file.save(tmp_path / "model.onnx")
    inputs = {"x": np.array([-3, -0.1, 0, 0.1, 2, 9], np.float32)}
    (expected,) = reference(path, inputs).values()
    (found,) = run(import_model(path).graph, inputs).values()
    assert (expected == np.float32(-12.8)).any()
    np.testing.assert_array_equal(found, expected)
