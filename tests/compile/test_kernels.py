"""The integer kernels against ONNX Runtime, in every bit."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from tests.compile.kernels.plain import (
    BACKENDS,
    BYTES,
    Array,
    ConvCase,
    conv_cases,
    integers,
    matmul_cases,
    quick,
)
from zapdeploy.compile import kernels
from zapdeploy.compile.kernels import Quantization, Requantization
from zapdeploy.onnxruntime_sessions import Purpose, open_session


def run_onnx(operator: str, inputs: list[Array], domain: str = "", **attributes: Any) -> Array:
    """One operator's first output, computed by ONNX Runtime on one thread without optimizations."""
    inputs = [np.asarray(value) for value in inputs]
    names = [f"input{i}" for i in range(len(inputs))]
    kinds = [helper.np_dtype_to_tensor_dtype(value.dtype) for value in inputs]
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node(operator, names, ["out"], domain=domain, **attributes)],
            "one operator",
            [
                helper.make_tensor_value_info(n, k, v.shape)
                for n, k, v in zip(names, kinds, inputs, strict=True)
            ],
            [onnx.ValueInfoProto(name="out")],
        ),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)],
        ir_version=9,
    )
    session = open_session(model, Purpose.PLAIN, threads=1)
    out: Array = session.run(None, dict(zip(names, inputs, strict=True)))[0]
    return out


def scale(rng: np.random.Generator, shape: tuple[int, ...] = ()) -> Array:
    return np.asarray(np.exp(rng.uniform(-6, 0, shape)), np.float32)


def narrow_weights(w: Array) -> Array:
    """Seven bits: without VNNI, ONNX Runtime's own sums of two products saturate at 16 bits."""
    return (w // 2).astype(w.dtype)


def known_to_onnxruntime(x: Array, w: Array) -> bool:
    """It has no kernels for signed inputs with unsigned weights."""
    return not (x.dtype == np.int8 and w.dtype == np.uint8)


def requantized_by(x_scale: Array, w_scale: Array, out_scale: Array, zero: Array) -> Requantization:
    return Requantization(x_scale * w_scale / out_scale, int(zero), zero.dtype)


@quick
@given(case=conv_cases(), seed=st.integers(0, 2**32), per_channel=st.booleans())
def test_conv_equals_qlinear_conv(case: ConvCase, seed: int, per_channel: bool) -> None:
    rng = np.random.default_rng(seed)
    w = narrow_weights(case.w)
    if not known_to_onnxruntime(case.x, w):
        return
    w_zero = case.w_zero[:1] if per_channel else case.w_zero[0]
    zeros = np.zeros(w.shape[0], w.dtype) if per_channel else np.asarray(w_zero)
    x_scale, w_scale = scale(rng), scale(rng, (w.shape[0],) if per_channel else ())
    out_scale, out_zero = scale(rng) * 100, np.asarray(rng.integers(0, 100), case.x.dtype)
    x_zero = np.asarray(case.x_zero, case.x.dtype)
    expected = run_onnx(
        "QLinearConv",
        [
            np.ascontiguousarray(case.x),
            x_scale,
            x_zero,
            w,
            w_scale,
            zeros,
            out_scale,
            out_zero,
            case.bias,
        ],
        **case.attributes.for_onnx(),
    )
    arguments = {**case.arguments(), "w_zero_point": zeros}
    for backend in BACKENDS:
        how = requantized_by(x_scale, w_scale, out_scale, out_zero)
        out = kernels.conv(case.x, w, **arguments, requantization=how, backend=backend)
        np.testing.assert_array_equal(out, expected)


@quick
@given(case=matmul_cases(), seed=st.integers(0, 2**32))
def test_matmul_equals_qlinear_matmul_and_matmul_integer(case: tuple[Any, ...], seed: int) -> None:
    x, w, x_zero, w_zero, _, _ = case
    if not known_to_onnxruntime(x, w):
        return
    rng = np.random.default_rng(seed)
    w, zero = narrow_weights(w), np.asarray(x_zero, x.dtype)
    if w.ndim > 2 or w_zero.size == 1:
        w_zero = w_zero[0]
    zeros = {"x_zero_point": x_zero, "w_zero_point": w_zero}
    x_scale, w_scale, out_scale = scale(rng), scale(rng, np.shape(w_zero)), scale(rng) * 100
    out_zero = np.asarray(rng.integers(0, 100), x.dtype)
    expected = run_onnx("MatMulInteger", [x, w, zero, np.asarray(w_zero)])
    expected8 = run_onnx(
        "QLinearMatMul", [x, x_scale, zero, w, w_scale, np.asarray(w_zero), out_scale, out_zero]
    )
    how = requantized_by(x_scale, w_scale, out_scale, out_zero)
    for backend in BACKENDS:
        np.testing.assert_array_equal(kernels.matmul(x, w, **zeros, backend=backend), expected)
        out = kernels.matmul(x, w, **zeros, requantization=how, backend=backend)
        np.testing.assert_array_equal(out, expected8)


@quick
@given(seed=st.integers(0, 2**32), per_channel=st.booleans())
def test_matmul_equals_qgemm(seed: int, per_channel: bool) -> None:
    rng = np.random.default_rng(seed)
    m, k, n = (int(size) for size in rng.integers(1, 60, 3))
    x, w = integers(rng, np.uint8, (m, k)), narrow_weights(integers(rng, np.int8, (k, n)))
    bias = rng.integers(-1000, 1000, n).astype(np.int32)
    x_zero, w_zero = (
        np.asarray(rng.integers(0, 256), np.uint8),
        np.zeros((n,) if per_channel else (), np.int8),
    )
    x_scale, w_scale, out_scale = scale(rng), scale(rng, w_zero.shape), scale(rng) * 100
    out_zero = np.asarray(rng.integers(0, 256), np.uint8)
    inputs = [x, x_scale, x_zero, w, w_scale, w_zero, bias, out_scale, out_zero]
    expected = run_onnx("QGemm", inputs, "com.microsoft")
    how = requantized_by(x_scale, w_scale, out_scale, out_zero)
    out = kernels.matmul(x, w, x_zero_point=int(x_zero), bias=bias, requantization=how)
    np.testing.assert_array_equal(out, expected)


# The formulas of the vector unit are those of ONNX Runtime on x86; elsewhere it has others.
on_x86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="formulas of x86")


def near_tie(rng: np.random.Generator) -> float:
    """A ratio a few units in the last place from one that makes ties: it tells formulas apart."""
    ratio = rng.choice([0.125, 0.25, 0.5, 0.75, 1.25, 1.5, 2.5])
    return float(np.float32(ratio * (1 + int(rng.integers(-9, 10)) * 2.0**-23)))


def quantizations(rng: np.random.Generator, dtype: npt.DTypeLike) -> list[Quantization]:
    """Of a, b and the result: half of them with ratios of scales close to ties."""
    limits = np.iinfo(np.dtype(dtype))
    zeros = [int(zero) for zero in rng.integers(limits.min, limits.max + 1, 3)]
    scales = [float(s) for s in scale(rng, (3,))]
    if rng.random() < 0.5:
        scales = [near_tie(rng), near_tie(rng), 1.0]
    return [Quantization(s, z) for s, z in zip(scales, zeros, strict=True)]


def by_onnx_elementwise(operator: str, a: Array, b: Array, how: list[Quantization]) -> Array:
    pairs = [(np.asarray(q.scale, np.float32), np.asarray(q.zero_point, a.dtype)) for q in how]
    return run_onnx(operator, [a, *pairs[0], b, *pairs[1], *pairs[2]], "com.microsoft")


ELEMENTWISE = {"QLinearAdd": kernels.add, "QLinearMul": kernels.multiply}
SHAPES = [
    ((4096,), (4096,)), ((31,), (31,)), ((1,), (1,)), ((), ()), ((401,), (1,)), ((1,), (401,)),
    ((), (401,)), ((64, 63), (64, 1)), ((64, 1), (64, 63)), ((64, 63), (63,)), ((63,), (64, 63)),
    ((5, 1), (1, 5)), ((5, 1), (5, 1)), ((6, 1), (5, 6, 1)), ((2, 1, 4), (2, 3, 4)),
    ((2, 1, 1), (2, 3, 4)), ((1, 5, 1), (1, 1, 1)), ((1, 64, 1, 1), (2, 64, 7, 7)),
    ((2, 64, 7, 7), (1, 64, 1, 1)), ((2, 3, 7, 7), (2, 3, 7, 7)),
]  # fmt: skip


@on_x86
@pytest.mark.parametrize("operator", ELEMENTWISE)
@pytest.mark.parametrize("dtype", BYTES)
def test_elementwise_on_every_pair_of_values(operator: str, dtype: npt.DTypeLike) -> None:
    rng = np.random.default_rng(5)
    every = np.arange(256, dtype=np.uint8).view(dtype)
    a, b = np.repeat(every, 256), np.tile(every, 256)
    for _ in range(60):
        how = quantizations(rng, dtype)
        expected = by_onnx_elementwise(operator, a, b, how)
        np.testing.assert_array_equal(ELEMENTWISE[operator](a, b, *how), expected)


@on_x86
@pytest.mark.parametrize("operator", ELEMENTWISE)
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_elementwise_broadcasts_as_onnx_runtime(operator: str, shapes: tuple[Any, Any]) -> None:
    """Which operand ONNX Runtime repeats decides the order of its sum, and so the last bit."""
    rng = np.random.default_rng(6)
    for dtype, _ in product(BYTES, range(12)):
        a, b = (integers(rng, dtype, shape) for shape in shapes)
        how = quantizations(rng, dtype)
        expected = by_onnx_elementwise(operator, a, b, how)
        np.testing.assert_array_equal(ELEMENTWISE[operator](a, b, *how), expected)
        if a.ndim == 4:
            last = ELEMENTWISE[operator](kernels.channels_last(a), kernels.channels_last(b), *how)
            np.testing.assert_array_equal(last, expected)


def test_elementwise_keeps_the_layout_of_the_larger_operand() -> None:
    a, b = kernels.channels_last(np.ones((2, 3, 4, 5), np.uint8)), np.ones((1, 3, 1, 1), np.uint8)
    for out in (
        kernels.add(a, b, *[Quantization(1.0)] * 3),
        kernels.add(b, a, *[Quantization(1.0)] * 3),
    ):
        assert out.strides == a.strides
        assert np.unique(out).tolist() == [2]


def pooled_cases() -> Iterator[tuple[Array, list[Quantization]]]:
    rng = np.random.default_rng(7)
    for dtype, shape in product(BYTES, [(1, 5, 7, 7), (2, 3, 1, 1), (2, 17, 9, 6), (1, 4, 33)]):
        for _ in range(6):
            yield integers(rng, dtype, shape), quantizations(rng, dtype)


def test_global_average_pool_equals_onnx_runtime() -> None:
    for x, (x_is, out_is, _) in pooled_cases():
        pairs = [
            (np.asarray(q.scale, np.float32), np.asarray(q.zero_point, x.dtype))
            for q in (x_is, out_is)
        ]
        expected = run_onnx("QLinearGlobalAveragePool", [x, *pairs[0], *pairs[1]], "com.microsoft")
        for layout in (x, kernels.channels_last(x)):
            np.testing.assert_array_equal(
                kernels.global_average_pool(layout, x_is, out_is), expected
            )


def test_max_pool_equals_onnx_runtime() -> None:
    attributes = {"strides": [2, 1], "pads": [1, 0, 1, 1], "dilations": [1, 2]}
    for x, _ in pooled_cases():
        if x.ndim != 4 or min(x.shape[2:]) < 3:
            continue
        expected = run_onnx("MaxPool", [x], kernel_shape=[3, 2], **attributes)
        np.testing.assert_array_equal(kernels.max_pool(x, (3, 2), **attributes), expected)
