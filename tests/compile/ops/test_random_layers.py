"""Random convolutions, matrix products and sums against ONNX Runtime's integer kernels."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compile.ops.build import (
    INT8,
    UINT8,
    call,
    constant,
    convolution,
    integer_bias,
    quantized,
    random_data,
)
from tests.compile.ops.cases import inputs_of
from tests.compile.ops.test_against_onnxruntime import ours_and_theirs
from zapdeploy.compile.graph import Attribute, Value

SOME = settings(max_examples=40, deadline=None)
scales = st.floats(1e-3, 0.5).map(lambda s: float(np.float32(s)))


@st.composite
def activations(
    draw: st.DrawFn, name: str, shape: tuple[int, ...], like: Value | None = None
) -> Value:
    """8-bit codes with any scale and zero point; of the same type as another value if given."""
    element = like.element if like is not None else draw(st.sampled_from([UINT8, INT8]))
    low, high = element.limits
    zero_point = draw(st.integers(low, high))
    limits = draw(st.sampled_from([(low, high), (zero_point, high)]))
    return quantized(name, shape, element, draw(scales), zero_point, limits=limits)


@st.composite
def weights(draw: st.DrawFn, shape: tuple[int, ...], axis: int) -> Value:
    count = shape[axis]
    each = draw(st.lists(scales, min_size=count, max_size=count))
    value = quantized("w", shape, INT8, each, [0] * count, axis)
    return constant(value, random_data(value, np.random.default_rng(draw(st.integers(0, 99)))))


@SOME
@given(data=st.data())
def test_convolutions(data: Any) -> None:
    rank = data.draw(st.integers(1, 2))
    small = st.integers(1, 3)
    group, kernel = data.draw(small), tuple(data.draw(small) for _ in range(rank))
    spatial = tuple(data.draw(st.integers(7, 10)) for _ in range(rank))
    inputs, outputs = data.draw(small), data.draw(small)
    attributes: dict[str, Attribute] = {
        "strides": tuple(data.draw(small) for _ in range(rank)),
        "dilations": tuple(data.draw(small) for _ in range(rank)),
        "pads": tuple(data.draw(st.integers(0, 2)) for _ in range(2 * rank)),
        "group": group,
    }
    x = data.draw(activations("x", (2, inputs * group, *spatial)))
    w = data.draw(weights((outputs * group, inputs, *kernel), 0))
    y = data.draw(activations("y", (), x))
    bias = integer_bias(x, w) if data.draw(st.booleans()) else None
    ours, theirs = ours_and_theirs(convolution(x, w, y, bias, **attributes), 0, integer=True)
    np.testing.assert_array_equal(ours, np.clip(theirs, *_limits(y)))


def _tied(codes: Any, a: Value, w: Value, y: Value) -> Any:
    """Where the exact product lies as good as halfway between two codes."""
    steps = [v.quantization.scale.astype(np.float64) for v in (a, w, y) if v.quantization]
    zero = a.quantization.zero_point.astype(np.int64) if a.quantization else 0
    assert w.data is not None
    exact = ((codes - zero) @ w.data.astype(np.int64)) * (steps[0] * steps[1] / steps[2])
    return np.abs(exact - np.floor(exact) - 0.5) < 1e-4  # float32 sums of 20 products


@SOME
@given(data=st.data())
def test_matrix_products(data: Any) -> None:
    rows, inner, columns = (data.draw(st.integers(1, 20)) for _ in range(3))
    a = data.draw(activations("a", (rows, inner)))
    w = data.draw(weights((inner, columns), 1))
    y = data.draw(activations("y", (), a))
    product = call("MatMul", [a, w], y)
    ours, theirs = ours_and_theirs(product, 0, integer=True)
    theirs = np.clip(theirs, *_limits(y))
    # ONNX Runtime leaves these products in float32, which may round a tie to either side.
    tied = _tied(inputs_of(product, 0)[0], a, w, y)
    np.testing.assert_array_equal(ours[~tied], theirs[~tied])
    assert np.abs(ours.astype(int) - theirs).max() <= 1


@SOME
@given(data=st.data())
def test_sums_and_products(data: Any) -> None:
    shape = tuple(data.draw(st.integers(1, 4)) for _ in range(3))
    second = tuple(data.draw(st.sampled_from([1, n])) for n in shape)
    a = data.draw(activations("a", shape))
    b = data.draw(activations("b", second, a))
    y = data.draw(activations("y", (), a))
    op = data.draw(st.sampled_from(["Add", "Mul"]))
    ours, theirs = ours_and_theirs(call(op, [a, b], y), 0, integer=True)
    np.testing.assert_array_equal(ours, np.clip(theirs, *_limits(y)))


def _limits(value: Value) -> tuple[int, int]:
    assert value.quantization is not None
    return value.quantization.low, value.quantization.high
