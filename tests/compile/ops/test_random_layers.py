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
from zapdeploy.compile.graph import Attribute, Call, Value

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
    seed = data.draw(st.none() | st.integers(0, 99))
    bias = None if seed is None else integer_bias(x, w, np.random.default_rng(seed))
    made = convolution(x, w, y, bias, **attributes)
    ours, theirs = ours_and_theirs(made, 0, integer=True)
    theirs = np.clip(theirs, *_limits(y))
    # ONNX Runtime leaves convolutions of int8 inputs in float32, which may round a tie to either
    # side.
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    different = np.argwhere(ours != theirs)
    codes = inputs_of(made, 0)[0]
    assert all(_near_tie(_exact_output(made, codes, *map(int, at))) for at in different)


def _near_tie(exact: Any) -> Any:
    """Whether it lies as good as halfway between two codes: float32 sums of 20 products."""
    return np.abs(exact - np.floor(exact) - 0.5) < 1e-4


def _exact_output(c: Call, codes: Any, frame: int, channel: int, *position: int) -> float:
    """One output of a convolution in units of its step, before rounding, by its definition."""
    x, w, y = c.input(0), c.input(1), c.output
    assert w.data is not None
    strides, dilations, pads, group = (
        c.node.attributes[name] for name in ("strides", "dilations", "pads", "group")
    )
    each = w.data.shape[1]
    first = channel // (w.data.shape[0] // group) * each
    total = 0 if len(c.inputs) < 3 or c.inputs[2] is None else int(c.inputs[2].data[channel])
    for inner, *tap in np.ndindex(*w.data.shape[1:]):
        place = [
            p * s + t * d - pad
            for p, s, t, d, pad in zip(position, strides, tap, dilations, pads, strict=False)
        ]
        if all(0 <= p < size for p, size in zip(place, codes.shape[2:], strict=True)):
            code = int(codes[frame, first + inner, *place]) - int(x.quantization.zero_point)
            total += code * int(w.data[channel, inner, *tap])
    steps = [v.quantization.scale.astype(np.float64) for v in (x, w, y)]
    return total * float(steps[0][0]) * float(steps[1][channel]) / float(steps[2][0])


def _tied(codes: Any, a: Value, w: Value, y: Value) -> Any:
    """Where the exact product lies as good as halfway between two codes."""
    steps = [v.quantization.scale.astype(np.float64) for v in (a, w, y) if v.quantization]
    zero = a.quantization.zero_point.astype(np.int64) if a.quantization else 0
    assert w.data is not None
    exact = ((codes - zero) @ w.data.astype(np.int64)) * (steps[0] * steps[1] / steps[2])
    return _near_tie(exact)


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
