"""The four forms: what they hold, and that they all mean the same integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from tests.quantize.networks import (
    images,
    node,
    operators,
    perceptron,
    random_weights,
    residual_cnn,
    run,
    save,
    signal_to_noise_db,
)
from zapdeploy.onnxruntime_sessions import Purpose, open_session
from zapdeploy.quantize import quantize_onnx

FLOAT_LAYERS = {"Conv", "Gemm", "MatMul", "Add", "GlobalAveragePool"}


def quantized(source: Path, **options: Any) -> Path:
    target = source.with_name("quantized.onnx")
    quantize_onnx(source, target, calibration=images(64), **options)
    return target


def tensor_types(path: Path) -> dict[str, int]:
    return {tensor.name: tensor.data_type for tensor in onnx.load(path).graph.initializer}


def test_qdq_runs_on_integer_kernels(tmp_path: Path) -> None:
    path = quantized(residual_cnn(tmp_path / "net.onnx"))
    x = images(8, seed=1)["input"]
    run(path, x, optimized=tmp_path / "optimized.onnx")
    found = operators(tmp_path / "optimized.onnx")
    assert not FLOAT_LAYERS & set(found)
    assert (found["QLinearConv"], found["QGemm"]) == (3, 1)
    assert (found["QLinearAdd"], found["QLinearGlobalAveragePool"]) == (1, 1)


def test_qoperator_has_integer_operators(tmp_path: Path) -> None:
    path = quantized(residual_cnn(tmp_path / "net.onnx"), form="qoperator")
    assert operators(path) == {
        "QuantizeLinear": 1, "QLinearConv": 3, "MaxPool": 1, "QLinearAdd": 1,
        "QLinearGlobalAveragePool": 1, "Flatten": 1, "QGemm": 1, "DequantizeLinear": 1,
    }  # fmt: skip


def test_qdq_and_qoperator_are_the_same_function(tmp_path: Path) -> None:
    """ONNX Runtime turns the one into the other: the results are equal bit for bit."""
    source = residual_cnn(tmp_path / "net.onnx")
    x = images(32, seed=1)["input"]
    as_pairs = run(quantized(source), x, optimized=tmp_path / "optimized.onnx")
    as_operators = run(quantized(source, form="qoperator"), x)
    np.testing.assert_array_equal(as_pairs, as_operators)


@pytest.mark.parametrize(("weights", "activations"), [(4, 4), (4, 8), (8, 4)])
def test_qcdq_and_packed_are_the_same_function(
    tmp_path: Path, weights: int, activations: int
) -> None:
    source = residual_cnn(tmp_path / "net.onnx")
    x = images(32, seed=1)["input"]
    options = {"weights": weights, "activations": activations}
    clipped = run(quantized(source, form="qcdq", **options), x)
    packed = run(quantized(source, form="packed", **options), x)
    np.testing.assert_array_equal(clipped, packed)


@pytest.mark.parametrize(
    ("options", "least_db"),
    [
        ({}, 30),
        ({"form": "qoperator"}, 30),
        ({"weights": 4, "form": "qcdq"}, 22),
        ({"weights": 4, "activations": 4, "form": "qcdq"}, 18),
        ({"weights": 4, "activations": 4, "form": "packed"}, 18),
        ({"weights": 2, "activations": 8}, 14),
    ],
)
def test_the_error_is_what_the_bits_allow(
    tmp_path: Path, options: dict[str, Any], least_db: float
) -> None:
    source = residual_cnn(tmp_path / "net.onnx")
    x = images(32, seed=1)["input"]
    assert signal_to_noise_db(run(source, x), run(quantized(source, **options), x)) > least_db


def test_qcdq_holds_low_bits_in_8_behind_clips(tmp_path: Path) -> None:
    path = quantized(residual_cnn(tmp_path / "net.onnx"), weights=4, activations=4, form="qcdq")
    types = set(tensor_types(path).values())
    assert types == {TensorProto.FLOAT, TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32}
    bounds = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in onnx.load(path).graph.initializer
        if tensor.name.endswith(("_low", "_high"))
    }
    assert operators(path)["Clip"] == 2 + 5  # weights of two layers, five tensors between them
    assert {int(value) for value in bounds.values()} == {-8, 7, 0, 15}


def test_packed_holds_real_4_bit_tensors(tmp_path: Path) -> None:
    path = quantized(residual_cnn(tmp_path / "net.onnx"), weights=4, activations=4)
    types = tensor_types(path)
    assert types["Conv_c2_weight_quantized"] == TensorProto.INT4
    assert types["Conv_c1_weight_quantized"] == TensorProto.INT8
    assert types["r2_zero_point"] == types["input_zero_point"] == TensorProto.UINT8
    assert operators(path)["Clip"] == 5  # tensors between the two layers


def chain(path: Path, between: str) -> Path:
    """Convolutions with a clamp at six or a maximum between them."""
    weights = random_weights({"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3), "w3": (5, 8, 1, 1)})
    weights |= {"zero": np.array(0, np.float32), "six": np.array(6, np.float32)}
    made = {
        "relu6": lambda x, y: node("Clip", f"{x} zero six", y),
        "maximum": lambda x, y: node("MaxPool", x, y, kernel_shape=[2, 2]),
        "relu": lambda x, y: node("Relu", x, y),
    }[between]
    nodes = [
        node("Conv", "input w1", "c1", pads=[1, 1, 1, 1]),
        made("c1", "b1"),
        node("Conv", "b1 w2", "c2", pads=[1, 1, 1, 1]),
        made("c2", "b2"),
        node("Conv", "b2 w3", "output"),
    ]
    side = 6 if between == "maximum" else 8
    return save(path, nodes, weights, ([1, 3, 8, 8], [1, 5, side, side]))


@pytest.mark.parametrize("between", ["relu6", "maximum", "relu"])
@pytest.mark.parametrize("bits", [(4, 4), (4, 8), (8, 4)])
@pytest.mark.parametrize("snr", [None, 1.0])
def test_onnxruntime_loads_4_bit_files_with_its_default_options(
    tmp_path: Path, between: str, bits: tuple[int, int], snr: float | None
) -> None:
    path = quantized(
        chain(tmp_path / "net.onnx", between), weights=bits[0], activations=bits[1],
        keep_first_last=4, min_snr_db=snr,
    )  # fmt: skip
    x = images(2)["input"][:1]
    # By default: that it loads and runs. Its values saturate on some processors.
    assert len(open_session(path, Purpose.BASELINE).run(None, {"input": x})) == 1
    fused = open_session(path, Purpose.INTEGER).run(None, {"input": x})[0]
    plain = open_session(path, Purpose.PLAIN).run(None, {"input": x})[0]
    assert signal_to_noise_db(plain, fused) > 20  # a step here and there, where sums meet ties


def test_packed_holds_real_2_bit_weights(tmp_path: Path) -> None:
    path = quantized(residual_cnn(tmp_path / "net.onnx"), weights=2, activations=4)
    assert tensor_types(path)["Conv_c2_weight_quantized"] == TensorProto.INT2
    assert onnx.load(path).opset_import[0].version == 25


@pytest.mark.parametrize("options", [{}, {"weights": 4, "form": "qcdq"}, {"weights": 2}])
def test_files_are_valid_onnx(tmp_path: Path, options: dict[str, Any]) -> None:
    model = onnx.load(quantized(residual_cnn(tmp_path / "net.onnx"), **options))
    onnx.checker.check_model(model, full_check=True)


def test_qgemm_computes_the_documented_integers(tmp_path: Path) -> None:
    """clamp(round_half_even(acc * m) + z) with m = s_x s_w / s_y in float32, layer by layer."""
    source = perceptron(tmp_path / "net.onnx")
    target = tmp_path / "q.onnx"
    random = np.random.default_rng(0)
    x = random.standard_normal((64, 6)).astype(np.float32)
    quantize_onnx(source, target, form="qoperator", calibration={"input": x})
    held = {t.name: numpy_helper.to_array(t) for t in onnx.load(target).graph.initializer}
    value = np.rint(x / held["input_scale"]) + held["input_zero_point"]
    value = np.clip(value, 0, 255).astype(np.int64)
    name = "input"
    for layer, result in (("Gemm_g1", "r1"), ("Gemm_output", "output")):
        weight = held[f"{layer}_weight_quantized"].astype(np.int64)
        total = (value - held[f"{name}_zero_point"]) @ weight + held[f"{layer}_bias_quantized"]
        scale = held[f"{name}_scale"] * held[f"{layer}_weight_scale"] / held[f"{result}_scale"]
        scaled = np.rint(total.astype(np.float32) * scale.astype(np.float32))
        value = np.clip(scaled + held[f"{result}_zero_point"], 0, 255).astype(np.int64)
        name = result
    expected = (value - held["output_zero_point"]) * held["output_scale"]
    np.testing.assert_array_equal(run(target, x), expected.astype(np.float32))
    reference = run(source, x)
    assert signal_to_noise_db(reference, expected) > 30


def test_biases_are_in_units_of_input_times_weight_scale(tmp_path: Path) -> None:
    path = quantized(residual_cnn(tmp_path / "net.onnx"))
    held = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    for layer, source in (("Conv_c1", "input"), ("Conv_c2", "p1"), ("Gemm_output", "f1")):
        assert held[f"{layer}_bias_quantized"].dtype == np.int32
        expected = held[f"{source}_scale"] * held[f"{layer}_weight_scale"]
        np.testing.assert_array_equal(held[f"{layer}_bias_scale"], expected)


def test_float_operators_stand_between_quantizers(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "input w1 b1", "c1"),
        node("Sigmoid", "c1", "s1"),
        node("Conv", "s1 w2", "c2"),
        node("Concat", "c2 s1", "t1", axis=1),
        node("AveragePool", "t1", "output", kernel_shape=[2, 2]),
    ]
    weights = random_weights({"w1": (4, 3, 1, 1), "b1": (4,), "w2": (4, 4, 1, 1)})
    source = save(tmp_path / "net.onnx", nodes, weights, ([1, 3, 8, 8], [1, 8, 7, 7]))
    x = images(8, seed=1)["input"]
    for form in ("qdq", "qoperator"):
        path = quantized(source, form=form)
        assert operators(path)["Sigmoid"] == 1
        assert signal_to_noise_db(run(source, x), run(path, x)) > 30
    assert operators(path)["QLinearConcat"] == 1
    assert operators(path)["QLinearAveragePool"] == 1


@pytest.mark.parametrize("form", ["qdq", "qoperator", "qcdq", "packed"])
def test_matrix_product_without_bias_and_relu6_and_grouped_convolution(
    tmp_path: Path, form: Any
) -> None:
    nodes = [
        node("Conv", "input w1 b1", "c1", group=3),
        node("Clip", "c1 zero six", "r1"),
        node("MatMul", "r1 w2", "output"),
    ]
    weights = random_weights({"w1": (6, 1, 1, 1), "b1": (6,), "w2": (8, 5)})
    weights |= {"zero": np.array(0, np.float32), "six": np.array(6, np.float32)}
    source = save(tmp_path / "net.onnx", nodes, weights, ([1, 3, 8, 8], [1, 6, 8, 5]))
    x = images(8, seed=1)["input"]
    path = quantized(source, form=form)
    assert signal_to_noise_db(run(source, x), run(path, x)) > 30
