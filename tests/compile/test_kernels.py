"""The integer kernels against plain int64 arithmetic, and against ONNX Runtime, in every bit.

Long, because every kernel is held to the same two references that stand here once.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from zapdeploy.compile import kernels
from zapdeploy.compile.kernels import Quantization, Requantization, blas, packed, threads
from zapdeploy.errors import DataError

Array = npt.NDArray[Any]

BACKENDS: tuple[str | None, ...] = (None, *kernels.available_backends())
BYTES = (np.uint8, np.int8)

quick = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
thorough = settings(quick, max_examples=400)


# --- The slow, obvious meaning ----------------------------------------------------------------


def plain_conv(x: Array, w: Array, x_zero: int, w_zero: Array, attributes: Attributes) -> Array:
    """int64 [N, O, ...]: every output by its definition, one kernel position after the other."""
    axes = w.ndim - 2
    begins, ends = attributes.pads[:axes], attributes.pads[axes:]
    wide = np.pad(x.astype(np.int64) - x_zero, [(0, 0), (0, 0), *zip(begins, ends, strict=True)])
    weights = w.astype(np.int64) - w_zero.astype(np.int64).reshape(-1, *[1] * (axes + 1))
    reach = [d * (k - 1) + 1 for d, k in zip(attributes.dilations, w.shape[2:], strict=True)]
    sizes = [
        (n - r) // s + 1 for n, r, s in zip(wide.shape[2:], reach, attributes.strides, strict=True)
    ]
    inputs = wide.reshape(x.shape[0], attributes.groups, w.shape[1], *wide.shape[2:])
    grouped = weights.reshape(attributes.groups, -1, *w.shape[1:])
    out = np.zeros((x.shape[0], attributes.groups, grouped.shape[1], *sizes), dtype=np.int64)
    for place in product(*(range(k) for k in w.shape[2:])):
        seen = inputs[:, :, :, *attributes.seen_from(place, sizes)]
        out += np.einsum("ngc...,goc->ngo...", seen, grouped[:, :, :, *place])
    return out.reshape(x.shape[0], w.shape[0], *sizes)


def plain_requantize(acc: Array, multiplier: Array, how: Requantization) -> Array:
    """multiplier: float32, of a shape that broadcasts to acc."""
    low, high = how.bounds
    scaled = acc.astype(np.int32).astype(np.float32) * multiplier
    assert scaled.dtype == np.float32
    return np.clip(np.rint(scaled).astype(np.float64) + how.zero_point, low, high).astype(how.dtype)


@dataclass(frozen=True)
class Attributes:
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    groups: int

    def seen_from(self, place: tuple[int, ...], sizes: list[int]) -> list[slice]:
        """The padded inputs that one position of the kernel meets."""
        starts = [d * p for d, p in zip(self.dilations, place, strict=True)]
        return [
            slice(start, start + stride * (size - 1) + 1, stride)
            for start, stride, size in zip(starts, self.strides, sizes, strict=True)
        ]

    def for_kernels(self) -> dict[str, Any]:
        return vars(self)

    def for_onnx(self) -> dict[str, Any]:
        named = {name: list(getattr(self, name)) for name in ("strides", "dilations", "pads")}
        return {**named, "group": self.groups}


# --- Random cases -----------------------------------------------------------------------------


def integers(rng: np.random.Generator, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> Array:
    """All values of the type, and often its limits."""
    limits = np.iinfo(np.dtype(dtype))
    values = rng.integers(limits.min, limits.max + 1, shape)
    extreme = rng.choice([limits.min, limits.max], shape)
    return np.where(rng.random(shape) < 0.2, extreme, values).astype(dtype)


@dataclass(frozen=True)
class ConvCase:
    x: Array
    w: Array
    x_zero: int
    w_zero: Array
    bias: Array
    attributes: Attributes
    how: Requantization

    def arguments(self) -> dict[str, Any]:
        zeros = {"x_zero_point": self.x_zero, "w_zero_point": self.w_zero}
        return {**zeros, "bias": self.bias, **self.attributes.for_kernels()}

    def plain(self) -> Array:
        acc = plain_conv(self.x, self.w, self.x_zero, self.w_zero, self.attributes)
        return acc + self.bias.astype(np.int64).reshape(-1, *[1] * (acc.ndim - 2))

    def plain_requantized(self) -> Array:
        acc = self.plain()
        multiplier = np.asarray(self.how.multiplier, np.float32)
        if multiplier.size > 1:
            multiplier = multiplier.reshape(-1, *[1] * (acc.ndim - 2))
        return plain_requantize(acc, multiplier, self.how)


@st.composite
def requantizations(draw: st.DrawFn, channels: int) -> Requantization:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from(BYTES))
    limits = np.iinfo(dtype)
    low, high = (
        sorted(rng.integers(limits.min, limits.max + 1, 2)) if draw(st.booleans()) else (None, None)
    )
    multiplier = np.exp(rng.uniform(-12, 0, channels if draw(st.booleans()) else ())).astype(
        np.float32
    )
    return Requantization(
        multiplier, int(rng.integers(limits.min, limits.max + 1)), dtype, low, high
    )


@st.composite
def conv_cases(draw: st.DrawFn) -> ConvCase:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    axes = draw(st.sampled_from([2, 2, 2, 1, 3]))
    kind = draw(st.sampled_from(["dense", "dense", "grouped", "depthwise"]))
    groups = 1 if kind == "dense" else draw(st.integers(2, 5))
    inputs, outputs = (
        (1, 1) if kind == "depthwise" else (draw(st.integers(1, 9)), draw(st.integers(1, 40)))
    )
    kernel = tuple(int(k) for k in rng.integers(1, 4, axes))
    dilations = tuple(int(d) for d in rng.integers(1, 3, axes))
    pads = tuple(int(p) for p in rng.integers(0, 3, 2 * axes))
    spatial = tuple(int(d * k + rng.integers(0, 6)) for d, k in zip(dilations, kernel, strict=True))
    x_dtype, w_dtype = draw(st.sampled_from(BYTES)), draw(st.sampled_from(BYTES))
    x = integers(rng, x_dtype, (draw(st.integers(1, 2)), inputs * groups, *spatial))
    w = integers(rng, w_dtype, (outputs * groups, inputs, *kernel))
    zero_kind = draw(st.sampled_from(["none", "one", "per channel"]))
    w_zero = np.zeros(1, w_dtype) if zero_kind == "none" else integers(rng, w_dtype, (1,))
    if zero_kind == "per channel":
        w_zero = integers(rng, w_dtype, (w.shape[0],))
    return ConvCase(
        x=kernels.channels_last(x) if draw(st.booleans()) else x,
        w=w,
        x_zero=int(integers(rng, x_dtype, ())),
        w_zero=w_zero,
        bias=rng.integers(-(2**20), 2**20, w.shape[0]).astype(np.int32),
        attributes=Attributes(
            tuple(int(s) for s in rng.integers(1, 4, axes)), dilations, pads, groups
        ),
        how=draw(requantizations(w.shape[0])),
    )


# --- Convolution ------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@thorough
@given(case=conv_cases())
def test_conv_equals_plain_integers(case: ConvCase, backend: str | None) -> None:
    out = kernels.conv(case.x, case.w, **case.arguments(), backend=backend)
    assert out.dtype == np.int32
    np.testing.assert_array_equal(out, case.plain())


@pytest.mark.parametrize("backend", BACKENDS)
@thorough
@given(case=conv_cases())
def test_conv_with_requantization_equals_plain_integers(
    case: ConvCase, backend: str | None
) -> None:
    out = kernels.conv(case.x, case.w, **case.arguments(), requantization=case.how, backend=backend)
    assert out.dtype == case.how.dtype
    np.testing.assert_array_equal(out, case.plain_requantized())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("x_value", "w_value"), [(255, -128), (255, 127), (0, -128)])
def test_conv_of_the_largest_values(x_value: int, w_value: int, backend: str | None) -> None:
    """4608 products of 255 x -128 are -150,405,120, by hand: float32 alone cannot count so far."""
    x = np.full((1, 512, 4, 4), x_value, np.uint8)
    w = np.full((33, 512, 3, 3), w_value, np.int8)
    out = kernels.conv(x, w, backend=backend)
    assert np.unique(out).tolist() == [4608 * x_value * w_value]


@pytest.mark.parametrize("backend", BACKENDS)
def test_long_reduction_up_to_the_limits_of_int32(backend: str | None) -> None:
    x = np.full((3, 33_000), 255, np.uint8)
    w = np.full((33_000, 5), 255, np.uint8)
    out = kernels.matmul(x, w, backend=backend)
    assert np.unique(out).tolist() == [33_000 * 255 * 255]
    signed = kernels.matmul(np.full_like(x, -128, np.int8), w, w_zero_point=0, backend=backend)
    assert np.unique(signed).tolist() == [33_000 * 255 * -128]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("outputs", [1, 15, 16, 17, 31, 32, 33, 64, 100])
def test_every_number_of_columns_and_rows(outputs: int, backend: str | None) -> None:
    """Tiles are 5 to 7 rows by 8 to 32 columns: every remainder of both."""
    rng = np.random.default_rng(outputs)
    w = integers(rng, np.int8, (37, outputs))
    for rows in range(1, 30):
        x = integers(rng, np.uint8, (rows, 37))
        out = kernels.matmul(x, w, x_zero_point=3, backend=backend)
        np.testing.assert_array_equal(out, (x.astype(np.int64) - 3) @ w.astype(np.int64))


@pytest.mark.parametrize("x_dtype", [np.int16, np.int32, np.uint16])
def test_wider_inputs(x_dtype: npt.DTypeLike) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2**15, (1, 3, 6, 6)).astype(x_dtype)
    w = integers(rng, np.int8, (4, 3, 3, 3))
    attributes = Attributes((1, 1), (1, 1), (1, 1, 1, 1), 1)
    out = kernels.conv(x, w, x_zero_point=5, pads=(1, 1, 1, 1))
    np.testing.assert_array_equal(out, plain_conv(x, w, 5, np.zeros(1), attributes))


def test_inputs_beyond_float32_stay_exact() -> None:
    x = np.array([[2**24 + 1], [2**30 + 1]], np.int32)
    assert kernels.matmul(x, np.ones((1, 1), np.int8)).ravel().tolist() == [2**24 + 1, 2**30 + 1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_layout_and_write_protection_do_not_change_the_result(backend: str | None) -> None:
    rng = np.random.default_rng(1)
    x = integers(rng, np.uint8, (2, 8, 5, 6))
    w = integers(rng, np.int8, (8, 8, 1, 1))
    expected = kernels.conv(x, w, backend=backend)
    protected = kernels.channels_last(x)
    protected.flags.writeable = False
    for same in (kernels.channels_last(x), protected, x[:, :, ::-1][:, :, ::-1]):
        np.testing.assert_array_equal(kernels.conv(same, w, backend=backend), expected)


def test_output_has_its_channels_as_neighbours() -> None:
    out = kernels.conv(np.ones((2, 3, 5, 5), np.uint8), np.ones((7, 3, 3, 3), np.int8))
    assert out.shape == (2, 7, 3, 3)
    assert out.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("backend", BACKENDS)
def test_prepared_layer_answers_for_every_batch_and_size(backend: str | None) -> None:
    rng = np.random.default_rng(2)
    w = integers(rng, np.int8, (5, 3, 3, 3))
    layer = kernels.prepare_conv(w, x_dtype=np.uint8, pads=(0, 1, 1, 0), backend=backend)
    attributes = Attributes((1, 1), (1, 1), (0, 1, 1, 0), 1)
    for shape in [(1, 3, 4, 4), (3, 3, 4, 4), (1, 3, 9, 5), (1, 3, 4, 4), (0, 3, 4, 4)]:
        x = integers(rng, np.uint8, shape)
        np.testing.assert_array_equal(layer(x), plain_conv(x, w, 0, np.zeros(1), attributes))


@pytest.mark.parametrize("backend", BACKENDS)
def test_result_does_not_depend_on_the_number_of_threads(
    backend: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("MACS_PER_THREAD", "MACS_TO_SHARE", "MACS_AT_A_TIME"):
        monkeypatch.setattr(threads, limit, 1000)
    rng = np.random.default_rng(3)
    x, w = integers(rng, np.uint8, (2, 16, 20, 20)), integers(rng, np.int8, (70, 16, 3, 3))
    deep = integers(rng, np.int8, (16, 1, 3, 3))
    before, results = kernels.thread_count(), []
    for count in (1, 2, 5):
        kernels.set_thread_count(count)
        assert kernels.thread_count() == count
        grouped = kernels.conv(x, deep, groups=16, backend=backend)
        results.append((kernels.conv(x, w, backend=backend), grouped))
    kernels.set_thread_count(before)
    for result in results[1:]:
        np.testing.assert_array_equal(result[0], results[0][0])
        np.testing.assert_array_equal(result[1], results[0][1])


# --- Matrix products --------------------------------------------------------------------------


@st.composite
def matmul_cases(draw: st.DrawFn) -> tuple[Array, Array, int, Array, Array, Requantization]:
    """x [..., M, K], w [..., K, N], zero points, bias, requantization."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    m, k, n = draw(st.integers(1, 40)), draw(st.integers(1, 70)), draw(st.integers(1, 70))
    leading = draw(
        st.sampled_from([((), ()), ((2, 3), ()), ((2, 3), (2, 3)), ((2, 1), (1, 3)), ((), (4,))])
    )
    x_dtype, w_dtype = draw(st.sampled_from(BYTES)), draw(st.sampled_from(BYTES))
    w_zero = draw(st.sampled_from([(), (1,), (n,)]))
    return (
        integers(rng, x_dtype, (*leading[0], m, k)),
        integers(rng, w_dtype, (*leading[1], k, n)),
        int(integers(rng, x_dtype, ())),
        integers(rng, w_dtype, w_zero) if w_zero else np.zeros(1, w_dtype),
        rng.integers(-(2**20), 2**20, n).astype(np.int32),
        draw(requantizations(n)),
    )


@pytest.mark.parametrize("backend", BACKENDS)
@thorough
@given(case=matmul_cases())
def test_matmul_equals_plain_integers(case: tuple[Any, ...], backend: str | None) -> None:
    x, w, x_zero, w_zero, bias, how = case
    expected = (x.astype(np.int64) - x_zero) @ (w.astype(np.int64) - w_zero.astype(np.int64)) + bias
    zeros = {"x_zero_point": x_zero, "w_zero_point": w_zero}
    out = kernels.matmul(x, w, **zeros, bias=bias, backend=backend)
    assert out.dtype == np.int32
    np.testing.assert_array_equal(out, expected)
    out = kernels.matmul(x, w, **zeros, bias=bias, requantization=how, backend=backend)
    np.testing.assert_array_equal(
        out, plain_requantize(expected, np.asarray(how.multiplier, np.float32), how)
    )


def test_prepared_matmul_broadcasts_its_input() -> None:
    rng = np.random.default_rng(4)
    w = integers(rng, np.int8, (3, 8, 5))
    x = integers(rng, np.uint8, (7, 8))
    out = kernels.prepare_matmul(w, x_dtype=np.uint8)(x)
    np.testing.assert_array_equal(out, x.astype(np.int64) @ w.astype(np.int64))


# --- Parts of the implementation with a law of their own --------------------------------------


@quick
@given(st.lists(st.integers(-255, 255), min_size=1, max_size=50))
def test_parts_of_wide_weights_are_bytes_that_add_up(values: list[int]) -> None:
    weights = np.array(values, np.int16)
    parts = packed._parts(weights, np.int8)
    assert all(part.dtype == np.int8 for part in parts)
    assert len(packed._parts(weights, np.int16)) == 1
    np.testing.assert_array_equal(sum(part.astype(np.int64) for part in parts), weights)


@quick
@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(1000, 100_000))
def test_cuts_keep_every_partial_sum_exact(seed: int, length: int, limit: int) -> None:
    weights = np.random.default_rng(seed).integers(-128, 128, (3, length))
    cuts = blas.exact_cuts(weights, 7, limit)
    assert cuts == sorted(set(cuts))
    assert cuts[-1] == length
    for start, end in zip([0, *cuts], cuts, strict=False):
        assert (np.abs(weights[:, start:end]).sum(axis=1) * 7).max() <= limit


@quick
@given(data=st.data())
def test_requantize_alone(data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from([(2, 5, 3, 4), (1, 5, 7), (5, 5), (3, 5, 1, 1)]))
    how = data.draw(requantizations(5))
    acc = (
        np.random.default_rng(data.draw(st.integers(0, 2**32)))
        .integers(-(2**31), 2**31, shape)
        .astype(np.int32)
    )
    multiplier = np.asarray(how.multiplier, np.float32)
    for axis in [a for a in range(len(shape)) if shape[a] == 5]:
        along = [1] * len(shape)
        along[axis] = multiplier.size
        expected = plain_requantize(acc, multiplier.reshape(along), how)
        for layout in (acc, kernels.channels_last(acc), acc[::-1][::-1]):
            np.testing.assert_array_equal(kernels.requantize(layout, how, axis), expected)


def test_ties_go_to_the_even_integer() -> None:
    acc = np.array([[-5, -3, -1, 1, 3, 5]], np.int32)
    out = kernels.requantize(acc, Requantization(0.5, 0, np.int8))
    assert out.tolist() == [[-2, -2, 0, 0, 2, 2]]


# --- Errors -----------------------------------------------------------------------------------

W = np.ones((4, 3, 3, 3), np.int8)
X = np.ones((1, 3, 5, 5), np.uint8)

REFUSED: list[tuple[Any, str]] = [
    (
        lambda: kernels.conv(X, W.astype(np.float32)),
        "weights must be integers, at least one, not float32",
    ),
    (
        lambda: kernels.conv(X, W[:0]),
        r"weights must be integers, at least one, not int8 \(0, 3, 3, 3\)",
    ),
    (
        lambda: kernels.conv(X, W, groups=3),
        r"weights must be \[O, C / groups, \.\.\.\] with O divisible by 3, not \(4, 3, 3, 3\)",
    ),
    (
        lambda: kernels.conv(X, W, strides=(0, 1)),
        r"strides must be 2 integers of at least 1, not \[0, 1\]",
    ),
    (
        lambda: kernels.conv(X, W, pads=(1, 1)),
        r"pads must be 4 integers of at least 0, not \[1, 1\]",
    ),
    (
        lambda: kernels.conv(X, W, bias=[1, 2]),
        r"bias must have shape \(4,\), not \(2,\)",
    ),
    (
        lambda: kernels.conv(X, W, w_zero_point=[1, 2]),
        "weight zero point must have 1 or 4 values, not 2",
    ),
    (
        lambda: kernels.conv(X, W, x_zero_point=256),
        r"input zero point must lie within 0\.\.255, not 256",
    ),
    (
        lambda: kernels.conv(X.astype(np.float32), W),
        "input must have an integer type, not float32",
    ),
    (
        lambda: kernels.conv(X[:, :2], W),
        r"input must be uint8 with 3 channels and 2 spatial axes, not uint8 \(1, 2, 5, 5\)",
    ),
    (
        lambda: kernels.conv(X[..., :2], W),
        r"padded input must be at least \(3, 3\) for this kernel, not \(5, 2\)",
    ),
    (
        lambda: kernels.conv(X, W, backend="gpu"),  # type: ignore[arg-type]
        r"backend must be one of \('.*\), not 'gpu'",
    ),
    (
        lambda: kernels.conv(X, W, requantization=Requantization([0.5, 0.5])),
        "multiplier must have 1 or 4 values, not 2",
    ),
    (
        lambda: Requantization(1.0, dtype=np.int16),
        "requantized dtype must be uint8 or int8, not int16",
    ),
    (
        lambda: Requantization(1.0, low=-1),
        r"clamp must lie within 0\.\.255, not -1\.\.255",
    ),
    (
        lambda: kernels.matmul(X, W[0, 0, 0]),
        r"weights must be \[\.\.\., K, N\], not \(3,\)",
    ),
    (
        lambda: kernels.matmul(X, W[0, 0]),
        r"input must be uint8 \[\.\.\., 3\], not uint8 \(1, 3, 5, 5\)",
    ),
    (
        lambda: kernels.prepare_matmul(W, x_dtype=np.uint8)(X[:, :2, :, :3]),
        r"leading axes must broadcast to \(4, 3\), not \(1, 2\)",
    ),
    (
        lambda: kernels.add(X, X.view(np.int8), *[Quantization(1.0)] * 3),
        "operands must both be uint8 or both int8, not uint8 and int8",
    ),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_what_does_not_fit_is_refused(call: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        call()


@pytest.mark.parametrize("backend", kernels.available_backends()[:-1])
def test_wide_operands_are_refused_by_the_narrow_backends(backend: str | None) -> None:
    with pytest.raises(
        DataError, match=f"operands must be 8 bits wide for backend '{backend}', not int16"
    ):
        kernels.conv(X.astype(np.int16), W, backend=backend)


def test_thread_count_must_be_positive() -> None:
    with pytest.raises(ValueError, match="thread count must be at least 1, not 0"):
        kernels.set_thread_count(0)


# --- ONNX Runtime -----------------------------------------------------------------------------


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
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, ["CPUExecutionProvider"]
    )
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


@pytest.mark.parametrize("count_include_pad", [False, True])
def test_average_pool_equals_onnx_runtime(count_include_pad: bool) -> None:
    attributes = {"strides": [2, 1], "pads": [1, 0, 1, 1]}
    for x, (x_is, out_is, _) in pooled_cases():
        if x.ndim != 4 or min(x.shape[2:]) < 3:
            continue
        pairs = [
            (np.asarray(q.scale, np.float32), np.asarray(q.zero_point, x.dtype))
            for q in (x_is, out_is)
        ]
        expected = run_onnx(
            "QLinearAveragePool", [x, *pairs[0], *pairs[1]], "com.microsoft",
            kernel_shape=[3, 2], count_include_pad=int(count_include_pad), **attributes,
        )  # fmt: skip
        out = kernels.average_pool(
            x, (3, 2), x_is, out_is, count_include_pad=count_include_pad, **attributes
        )
        np.testing.assert_array_equal(out, expected)


def test_max_pool_equals_onnx_runtime() -> None:
    attributes = {"strides": [2, 1], "pads": [1, 0, 1, 1], "dilations": [1, 2]}
    for x, _ in pooled_cases():
        if x.ndim != 4 or min(x.shape[2:]) < 3:
            continue
        expected = run_onnx("MaxPool", [x], kernel_shape=[3, 2], **attributes)
        np.testing.assert_array_equal(kernels.max_pool(x, (3, 2), **attributes), expected)


@pytest.mark.parametrize("dtype", BYTES)
def test_leaky_relu_equals_onnx_runtime(dtype: npt.DTypeLike) -> None:
    rng = np.random.default_rng(8)
    x = np.arange(256, dtype=np.uint8).view(dtype).reshape(2, 8, 4, 4)
    for _ in range(50):
        x_is, out_is, _ = quantizations(rng, dtype)
        alpha = float(np.float32(rng.uniform(0.001, 0.5)))
        pairs = [
            (np.asarray(q.scale, np.float32), np.asarray(q.zero_point, dtype))
            for q in (x_is, out_is)
        ]
        expected = run_onnx(
            "QLinearLeakyRelu", [x, *pairs[0], *pairs[1]], "com.microsoft", alpha=alpha
        )
        table = kernels.leaky_relu_table(dtype, x_is, out_is, alpha)
        np.testing.assert_array_equal(kernels.lookup(kernels.channels_last(x), table), expected)
