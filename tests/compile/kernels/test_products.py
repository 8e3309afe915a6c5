"""Convolutions and matrix products against plain int64 arithmetic, in every bit.

Every backend that this machine can run is held to it; needs no ONNX Runtime, so that it also runs
on emulated processors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.compile.kernels.plain import (
    BACKENDS,
    Attributes,
    ConvCase,
    conv_cases,
    integers,
    matmul_cases,
    plain_conv,
    plain_requantize,
    quick,
    requantizations,
    thorough,
)
from zapdeploy.compile import kernels
from zapdeploy.compile.kernels import Quantization, Requantization, blas, packed, threads
from zapdeploy.errors import DataError

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
