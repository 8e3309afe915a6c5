from __future__ import annotations

import numpy as np
import pytest

from tests.compile.passes.sketch import CONV, INT32, UINT8, Codes, Q, Sketch
from zapdeploy.compile.graph import Array, Call, Graph, Value
from zapdeploy.compile.ops.base import operator
from zapdeploy.compile.ops.matrix import MatrixOperator
from zapdeploy.compile.passes.check_accumulators import (
    CheckAccumulators,
    accumulator_bound,
    weight_sums,
)
from zapdeploy.errors import ModelError

LIMIT = 2**31 - 1


def convolution(codes: Array, weights: Codes, x: Codes, bias: list[int] | None = None) -> Graph:
    s = Sketch()
    inputs = (s.input("x", (1, codes.shape[1], 4, 4), x), s.constant("w", codes, weights))
    if bias is not None:
        inputs += (s.constant("b", bias, Codes(INT32)),)
    return s.graph(s.node("Conv", inputs, "y", Q, (1, len(codes), 4, 4), **CONV))


def call_of(graph: Graph) -> Call:
    return graph.call(graph.nodes[0])


def test_bound_by_hand() -> None:
    """|w - z| sums to 1+3 = 4 and 5+7 = 12; |x - z| is at most 255 - 5 = 250."""
    codes = np.reshape([3, 5, 7, 9], (2, 2, 1, 1))
    graph = convolution(codes, Codes(zero=2), Codes(UINT8, zero=5), [-10, 20])
    assert accumulator_bound(call_of(graph), 0) == 12 * 250 + 20
    assert accumulator_bound(call_of(graph), LIMIT) == 2 * 130 * 250 + 20


def _sums(name: str, w: Value) -> Array | None:
    op = operator(name)
    assert isinstance(op, MatrixOperator)
    return weight_sums(op, w)


@pytest.mark.parametrize("zero", [0, -3, [-128, 127, 5, 0]])
def test_sums_against_plain_arithmetic(zero: int | list[int]) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(-128, 128, (4, 3, 2, 2)).astype(np.int8)
    weights = Codes(scale=np.ones(np.size(zero)), zero=zero, axis=None if zero == 0 else 0)
    value = convolution(codes, weights, Q).values["w"]
    zeros = np.broadcast_to(np.reshape(zero, (-1, 1, 1, 1)), (4, 1, 1, 1))
    expected = np.abs(codes.astype(int) - zeros).sum(axis=(1, 2, 3))
    np.testing.assert_array_equal(_sums("Conv", value), expected)


def test_sums_of_matrices_in_blocks_of_rows_and_columns() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(-128, 128, (3000, 900)).astype(np.int8)
    for matrix in (codes, codes.T, codes[None]):
        value = Sketch()
        value.constant("w", matrix, Q)
        found = _sums("MatMul", value.values["w"])
        expected = np.abs(matrix.astype(int)).sum(axis=-2).reshape(-1)
        np.testing.assert_array_equal(found, expected)


def test_overflow_names_every_layer() -> None:
    s = Sketch()
    x = s.input("x", (1, 200_000), Q)
    for name, weight in (("a", 127), ("b", 3), ("c", -128)):
        w = s.constant(f"w{name}", np.full((200_000, 1), weight), Q)
        s.node("MatMul", (x, w), name, Q, (1, 1))
    with pytest.raises(ModelError) as caught:
        CheckAccumulators()(s.graph("a", "b", "c"))
    assert str(caught.value) == (
        f"accumulators must stay within int32, at most {LIMIT}, and could exceed it in node "
        f"'matmul_a' ({200_000 * 127 * 128}), 'matmul_c' ({200_000 * 128 * 128}); "
        "quantize weights or activations to fewer bits"
    )


def test_operands_computed_at_run_time_are_bounded_by_their_types() -> None:
    s = Sketch()
    y = s.node("MatMul", (s.input("a", (2, 3), Q), s.input("b", (3, 2), Q)), "y", Q, (2, 2))
    graph = s.graph(y)
    assert accumulator_bound(call_of(graph), LIMIT) == 3 * 128 * 128
    assert CheckAccumulators()(graph) is graph
