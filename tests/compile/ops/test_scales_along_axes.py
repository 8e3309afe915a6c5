"""Activations with a scale for each index of a dimension that is not summed over (of each neuron).

The formula is written out here once more, in plain NumPy with int64 sums; ONNX Runtime is the
outside judge.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compile.ops.build import (
    INT8,
    UINT8,
    call,
    constant,
    convolution,
    graph,
    plain,
    quantized,
    random_data,
    real_bias,
    weights,
)
from tests.compile.ops.onnx_reference import run as run_onnx_reference
from zapdeploy.compile.graph import Array, Call, ElementType, Shape, Value
from zapdeploy.compile.ops.base import operator
from zapdeploy.errors import ModelError

UINT4 = ElementType("uint", 4)
RANDOM = np.random.default_rng(11)


def per_index(
    name: str, shape: Shape, axis: int, element: ElementType = UINT8, near: float = 0.02
) -> Value:
    """Scales over two orders of magnitude, zero points over half the codes."""
    count, half = shape[axis], 1 << (element.bits - 1)
    scales = near * np.exp(RANDOM.normal(0, 1, count)) * 2 ** (8 - element.bits)
    zeros = RANDOM.integers(0, half, count)
    return quantized(name, shape, element, scales.tolist(), zeros.tolist(), axis)


def time_mix(element: ElementType = UINT8, neurons: int = 30, *, bias: bool = True) -> Call:
    """A layer shared by all neurons: [1, 4, neurons] to [1, 6, neurons]."""
    x, y = (per_index(n, (1, c, neurons), 2, element) for n, c in (("x", 4), ("y", 6)))
    return convolution(x, weights((6, 4, 1), 0), y, real_bias(6) if bias else None)


def rows_apart() -> Call:
    """A window that slides along the height, padded there, over columns of their own scales."""
    x, y = per_index("x", (2, 4, 7, 9), 3), per_index("y", (2, 6, 7, 9), 3)
    return convolution(x, weights((6, 4, 3, 1), 0), y, pads=(1, 0, 1, 0))


def channels_apart() -> Call:
    """Depthwise: what each channel reads has a scale of its own."""
    x, y = per_index("x", (1, 5, 8), 1), quantized("y", (1, 5, 8), UINT8, 0.1, 7)
    return convolution(x, weights((5, 1, 3), 0), y, group=5, pads=(1, 1))


def rows_of_a_product() -> Call:
    """A matrix product whose rows have scales of their own, its result one scale."""
    x, y = per_index("x", (2, 5, 8), 1), quantized("y", (2, 5, 3), INT8, 0.3, -4)
    return call("MatMul", [x, weights((8, 3), 1), real_bias(3)], y)


def columns_of_the_result() -> Call:
    """Only what is written has scales of its own, along the output channels."""
    x, y = quantized("x", (1, 4, 9), UINT8, 0.02, 9), per_index("y", (1, 6, 9), 1)
    return convolution(x, weights((6, 4, 1), 0), y, real_bias(6))


LAYERS: dict[str, Callable[[], Call]] = {
    "time mix": time_mix,
    "time mix without bias": lambda: time_mix(bias=False),
    "4 bits": lambda: time_mix(UINT4),
    "columns apart": rows_apart,
    "depthwise": channels_apart,
    "rows of a product": rows_of_a_product,
    "result alone": columns_of_the_result,
}


def along(which: Array, axis: int | None, rank: int) -> Array:
    return which.reshape([-1 if d == axis else 1 for d in range(rank)])


def shifted(value: Value, codes: Array) -> Array:
    """q - z, int64."""
    q = value.quantization
    assert q is not None
    return codes.astype(np.int64) - along(q.zero_point, q.axis, codes.ndim)


def sums(c: Call, x: Array) -> Array:
    """The accumulator by definition: every kernel element in turn, int64."""
    a, w = shifted(c.input(0), x), shifted(c.input(1), np.asarray(c.input(1).data))
    if c.node.op == "MatMul":
        return a @ w
    pads, kernel, group = c.ints("pads"), w.shape[2:], c.int("group")
    a = np.pad(a, [(0, 0), (0, 0), *zip(pads[: len(kernel)], pads[len(kernel) :], strict=True)])
    out = np.zeros(c.output.shape, np.int64)
    for tap in np.ndindex(*kernel):
        part = a[:, :, *(slice(t, t + s) for t, s in zip(tap, out.shape[2:], strict=True))]
        columns = w[:, :, *tap]
        if group == 1:
            out += np.einsum("nc...,oc->no...", part, columns)
        else:
            out += part * columns.reshape(1, -1, *[1] * len(kernel))
    return out


def expected(c: Call, x: Array) -> Array:
    """The documented formula in float32, operation by operation."""
    rank, out = len(c.output.shape), c.output.quantization
    x_is, w_is = c.input(0).quantization, c.input(1).quantization
    assert out is not None
    assert x_is is not None
    assert w_is is not None
    channel = rank - 1 if c.node.op == "MatMul" else 1
    s_x, s_w = along(x_is.scale, x_is.axis, rank), along(w_is.scale, channel, rank)
    s_y, z_y = (along(a, out.axis, rank) for a in (out.scale, out.zero_point))
    acc, bias = sums(c, x).astype(np.float32), c.optional(2)
    if bias is None:
        steps = acc * (s_x * s_w / s_y)
    else:
        steps = (acc * (s_x * s_w) + along(np.asarray(bias.data), channel, rank)) / s_y
    assert steps.dtype == np.float32
    return np.clip(np.rint(steps) + z_y, out.low, out.high).astype(c.output.element.numpy)


@pytest.mark.parametrize("name", LAYERS)
def test_the_formula(name: str) -> None:
    """Every element, of a call and of a call made ready; both by the same kernel as ever."""
    c = LAYERS[name]()
    x = random_data(c.input(0), RANDOM)
    given = [x, *(None if v is None else v.data for v in c.inputs[1:])]
    wanted = expected(c, x)
    assert len(np.unique(wanted)) > 5
    (found,) = operator(c.node.op).evaluate(c, given)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(operator(c.node.op).prepare(c)([x])[0], wanted)


@pytest.mark.parametrize("name", LAYERS)
def test_against_onnx_runtime(name: str) -> None:
    """Its float sum may round across a tie: one step, on at most one element in 1,000."""
    c = LAYERS[name]()
    made = graph(c)
    x = random_data(c.input(0), RANDOM)
    theirs = run_onnx_reference(made, {"x": x})["y"].astype(np.int64)
    given = [x, *(None if v is None else v.data for v in c.inputs[1:])]
    steps = np.abs(operator(c.node.op).evaluate(c, given)[0] - theirs)
    assert steps.max() <= 1
    assert np.count_nonzero(steps) <= -(-steps.size // 1000)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_residual_sums_equal_onnx_runtime(data: st.DataObject) -> None:
    """Codes of single scales and of scales along an axis are added as real numbers, exactly."""
    element = data.draw(st.sampled_from((UINT8, UINT4, INT8)))
    shape = data.draw(st.sampled_from(((1, 4, 9), (2, 3, 4, 5))))
    axes = [data.draw(st.sampled_from((None, *range(len(shape))))) for _ in range(3)]
    values = [
        quantized(name, shape, element, 0.03, 3)
        if axis is None or shape[axis] == 1
        else per_index(name, shape, axis, element)
        for name, axis in zip("abc", axes, strict=True)
    ]
    if all(value.quantization.axis is None for value in values):  # type: ignore[union-attr]
        return  # QLinearAdd's formula, tested elsewhere
    c = call("Add", [*values[:2]], values[2])
    inputs = {v.name: random_data(v, RANDOM) for v in values[:2]}
    (found,) = operator("Add").evaluate(c, [inputs["a"], inputs["b"]])
    np.testing.assert_array_equal(found, run_onnx_reference(graph(c), inputs)["c"])


def test_moves_keep_the_codes() -> None:
    """A transposed tensor has its scales along the moved axis: no arithmetic, no work."""
    x = per_index("x", (1, 4, 6), 2)
    q = x.quantization
    assert q is not None
    y = quantized("y", (6, 1, 4), UINT8, q.scale.tolist(), q.zero_point.tolist(), 0)
    c = call("Transpose", [x], y, perm=(2, 0, 1))
    codes = random_data(x, RANDOM)
    (found,) = operator("Transpose").evaluate(c, [codes])
    np.testing.assert_array_equal(found, codes.transpose(2, 0, 1))
    assert operator("Transpose").element_work(c).vector == 0


def test_moves_to_other_scales_requantize() -> None:
    x, y = per_index("x", (1, 4, 6), 2), per_index("y", (6, 1, 4), 0)
    c = call("Transpose", [x], y, perm=(2, 0, 1))
    codes = random_data(x, RANDOM)
    (found,) = operator("Transpose").evaluate(c, [codes])
    np.testing.assert_array_equal(found, run_onnx_reference(graph(c), {"x": codes})["y"])
    assert operator("Transpose").element_work(c).vector > 0


@pytest.mark.parametrize(
    ("make", "axis"),
    [
        (
            lambda: convolution(
                per_index("x", (1, 4, 9), 1), weights((6, 4, 1), 0), plain("y", ())
            ),
            1,
        ),
        (
            lambda: convolution(
                per_index("x", (1, 4, 9), 2), weights((6, 4, 3), 0), plain("y", ())
            ),
            2,
        ),
        (
            lambda: convolution(
                per_index("x", (1, 4, 9), 2), weights((6, 4, 1), 0), plain("y", ()), strides=(2,)
            ),
            2,
        ),
        (
            lambda: call("MatMul", [per_index("x", (5, 8), 1), weights((8, 3), 1)], plain("y", ())),
            1,
        ),
    ],
    ids=["channels", "window", "stride", "inner"],
)
def test_scales_that_sums_mix_are_refused(make: Callable[[], Call], axis: int) -> None:
    with pytest.raises(ModelError) as caught:
        make()
    assert str(caught.value).startswith(
        "input 0 must have one scale or one along a dimension that is not summed over, not one "
        f"along axis {axis}; quantize it per tensor (node '"
    )


def test_work_of_the_epilogue() -> None:
    """Counted by hand: acc s_w[o] s_x[n] + b[o], over s_y[n], + z_y[n], less z_x[n] sum w[o]."""
    work = operator("Conv").element_work
    assert work(time_mix()).vector == 3 + 1 + 1 + 2
    assert work(time_mix(bias=False)).vector == 2 + 1 + 2
    assert work(columns_of_the_result()).vector == 2  # all along the channels: as one multiply
    x, y = (quantized(n, (1, c, 30), UINT8, 0.1, 3) for n, c in (("x", 4), ("y", 6)))
    plainly = convolution(x, weights((6, 4, 1), 0), y, real_bias(6))
    assert work(plainly).vector == 2


def test_one_zero_point_for_all_needs_no_correction() -> None:
    x = quantized("x", (1, 4, 3), UINT8, [0.1, 0.2, 0.3], [5, 5, 5], 2)
    y = quantized("y", (1, 6, 3), UINT8, [0.1, 0.2, 0.3], [5, 5, 5], 2)
    c = convolution(x, weights((6, 4, 1), 0), y)
    assert operator("Conv").element_work(c).vector == 2 + 1
    codes = random_data(x, RANDOM)
    np.testing.assert_array_equal(
        operator("Conv").evaluate(c, [codes, c.input(1).data])[0], expected(c, codes)
    )


def test_constants_stand_for_themselves() -> None:
    """A weight read as x of a product keeps its scales per column only where they are rows."""
    w = weights((3, 5), 0)
    x = constant(quantized("x", (3, 5), INT8, [0.1, 0.2, 0.3], [0, 0, 0], 0), np.asarray(w.data))
    c = call("MatMul", [x, weights((5, 4), 1)], quantized("y", (3, 4), INT8, 0.4, 0))
    np.testing.assert_array_equal(
        operator("MatMul").evaluate(c, [x.data, c.input(1).data])[0],
        expected(c, np.asarray(x.data)),
    )
