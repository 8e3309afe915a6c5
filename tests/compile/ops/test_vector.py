"""Work counts by hand, and what operators of the vector unit refuse."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.compile.ops.build import INT8, UINT8, call, plain, pool, quantized
from tests.compile.ops.cases import CASES
from zapdeploy.compile.graph import INT32, Call, Value
from zapdeploy.compile.ops.base import operator
from zapdeploy.errors import ModelError

X = quantized("x", (2, 3, 8, 8), UINT8, 0.1, 5)
Y = quantized("y", (), UINT8, 0.1, 5)
ZERO = quantized("z", (2, 3, 8, 8), UINT8, 0.1, 0)


@pytest.mark.parametrize(
    ("made", "vector", "activation"),
    [
        # a multiply and an add per operand, which hold the output's scale and zero point
        (call("Add", [X, X], Y), 4, 1),
        (call("Add", [X, ZERO], Y), 4, 1),
        (call("Add", [ZERO, ZERO], quantized("y", (), UINT8, 0.2)), 3, 1),
        (call("Add", [plain("a", (3,)), plain("b", (3,))], plain("y", ())), 1, 0),
        # read both, multiply, write
        (call("Mul", [X, X], Y), 2 + 2 + 1 + 2, 1),
        (call("Div", [plain("a", (3,)), plain("b", (3,))], plain("y", ())), 4, 1),
        (call("Max", [plain("a", (3,))] * 3, plain("y", ())), 2, 0),
        (call("Relu", [plain("a", (3,))], plain("y", ())), 0, 1),
        (call("Relu", [X], Y), 2 + 2, 2),
        (call("Sigmoid", [plain("a", (3,))], plain("y", ())), 0, 1),
        (call("Softmax", [plain("a", (3, 8))], plain("y", ()), axis=1), 4, 1 + 1 / 8),
        (call("Quantize", [plain("a", (3,))], Y), 2, 1),
        (call("Dequantize", [X], plain("y", ())), 2, 0),
        (call("Requantize", [X], quantized("y", (), UINT8, 0.2, 0)), 2 + 1, 1),
        # compares under a 3 x 3 window; with other parameters also a requantization
        (pool("MaxPool", X, Y, (3, 3)), 8, 0),
        (pool("MaxPool", X, quantized("y", (), UINT8, 0.2, 5), (3, 3)), 8 + 4, 1),
        # adds, one multiply for scales and count, one add for the zero points
        (pool("AveragePool", X, Y, (2, 2)), 3 + 2, 1),
        (call("GlobalAveragePool", [X], Y), 63 + 2, 1),
        (call("ReduceMean", [X], Y, axes=(1,), keepdims=0), 2 + 2, 1),
    ],
)
def test_work_per_element(made: Call, vector: float, activation: float) -> None:
    work = operator(made.node.op).element_work(made)
    assert (work.vector, work.activation) == (vector, activation)


@pytest.mark.parametrize(
    ("label", "cuttable"),
    [
        ("softmax", (True, True, True, False)),
        ("softmax first axis", (True, False, True, True)),
        ("layer norm", (True, True, False, False)),
        ("global pool", (True, True, False, False)),
        ("mean", (True, True, False, False)),
        ("mean without dimension", (True, True, True)),
        ("dynamic", (False, False, False)),
        ("conv", (True, True, True, True)),
    ],
)
def test_where_a_cut_makes_sense(label: str, cuttable: tuple[bool, ...]) -> None:
    c = CASES[label]
    assert operator(c.node.op).cuttable(c) == cuttable


def test_integers_divide_towards_zero() -> None:
    c = call("Div", [plain("a", (4,), INT32), plain("b", (), INT32)], plain("y", (), INT32))
    a = np.asarray([7, -7, 6, -1], np.int32)
    assert operator("Div").evaluate(c, [a, np.asarray(2, np.int32)])[0].tolist() == [3, -3, 3, 0]


def test_undefined_numbers_become_the_lowest_code() -> None:
    c = call("Log", [plain("a", (3,))], quantized("y", (), INT8, 0.1, limits=(-100, 100)))
    codes = operator("Log").evaluate(c, [np.asarray([-1, 0, np.inf], np.float32)])[0]
    assert codes.tolist() == [-100, -100, 100]


def test_a_narrower_range_clamps_moved_codes() -> None:
    y = quantized("y", (), UINT8, 0.1, 5, limits=(5, 20))
    c = call("Transpose", [quantized("x", (1, 3), UINT8, 0.1, 5)], y, perm=(1, 0))
    moved = operator("Transpose").evaluate(c, [np.asarray([[0, 7, 200]], np.uint8)])[0]
    assert moved.ravel().tolist() == [5, 7, 20]


def test_moving_codes_with_a_scale_along_an_axis() -> None:
    """Codes keep their meaning when the axis of their scales moves."""
    x = quantized("x", (2, 3), INT8, [0.1, 0.7], [1, -2], 0)
    y = quantized("y", (), INT8, [0.1, 0.7], [1, -2], 1)
    c = call("Transpose", [x], y, perm=(1, 0))
    codes = np.asarray([[-128, 0, 127], [5, -6, 7]], np.int8)
    np.testing.assert_array_equal(operator("Transpose").evaluate(c, [codes])[0], codes.T)


def _slice(starts: tuple[int, ...], steps: tuple[int, ...], count: int) -> Call:
    y = plain("y", (count,))
    return call("Slice", [plain("x", (6,))], y, starts=starts, steps=steps)


def _norm(scale: Value) -> Call:
    x = plain("x", (2, 3, 4))
    return call("LayerNormalization", [x, scale], plain("y", ()), axis=2, epsilon=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: call("Add", [plain("a", (2, 3)), plain("b", (4,))], plain("y", ())),
            "inputs must have shapes that broadcast, not [2, 3], [4] (node 'Add_0')",
        ),
        (
            lambda: pool("MaxPool", X, Y, (3,)),
            "kernel_shape must have 2 numbers of at least 1, not [3] (node 'MaxPool_0')",
        ),
        (
            lambda: pool("AveragePool", X, Y, (3, 0)),
            "kernel_shape must have 2 numbers of at least 1, not [3, 0] (node 'AveragePool_0')",
        ),
        (
            lambda: call("GlobalAveragePool", [plain("x", (2, 3))], Y),
            "input must have at least 3 dimensions, not [2, 3] (node 'GlobalAveragePool_0')",
        ),
        (
            lambda: call("ReduceMean", [X], Y, axes=(1, -3), keepdims=1),
            "axes must be different and in [-4, 4), not [1, -3] (node 'ReduceMean_0')",
        ),
        (
            lambda: call("Softmax", [X], Y, axis=4),
            "axis must be in [-4, 4), not 4 (node 'Softmax_0')",
        ),
        (
            lambda: _norm(plain("s", (3, 4))),
            "input 1 must broadcast to shape [4], not [3, 4] (node 'LayerNormalization_0')",
        ),
        (
            lambda: call("Concat", [X, X], Y, axis=4),
            "axis must be in [-4, 4), not 4 (node 'Concat_0')",
        ),
        (
            lambda: call("Concat", [X, quantized("b", (2, 3, 8, 7))], Y, axis=1),
            "inputs must have equal shapes but for axis 1, not [2, 3, 8, 8], [2, 3, 8, 7] "
            "(node 'Concat_0')",
        ),
        (
            lambda: _slice((0, 0), (1,), 2),
            "starts and steps must be 1 numbers each and no step 0, not [0, 0] and [1] "
            "(node 'Slice_0')",
        ),
        (
            lambda: _slice((4,), (1,), 3),
            "slices must stay inside the shape [6], not run from 4 to 6 (node 'Slice_0')",
        ),
        (
            lambda: call("Pad", [X], Y, pads=(0, 1), value=0.0),
            "pads must be 8 numbers, not [0, 1] (node 'Pad_0')",
        ),
        (
            lambda: call("Pad", [plain("x", (2,))], plain("y", ()), pads=(-2, -1), value=0.0),
            "pads must not crop more than the shape [2], not [-2, -1] (node 'Pad_0')",
        ),
        (
            lambda: call("Transpose", [X], Y, perm=(0, 1, 1, 2)),
            "perm must hold each of 0 to 3 once, not [0, 1, 1, 2] (node 'Transpose_0')",
        ),
        (
            lambda: call("Reshape", [X], quantized("y", (5, 5))),
            "shape must hold 384 elements, not [5, 5] (node 'Reshape_0')",
        ),
        (
            lambda: call("DynamicQuantizeLinear", [X], Y),
            "input must be floating point, not uint8 (node 'DynamicQuantizeLinear_0')",
        ),
    ],
)
def test_refusals(make: Callable[[], Call], message: str) -> None:
    with pytest.raises(ModelError) as caught:
        make()
    assert str(caught.value) == message


def test_unknown_operator() -> None:
    with pytest.raises(ModelError, match=r"operator 'LSTM' must be one of Abs, Add, "):
        operator("LSTM")
