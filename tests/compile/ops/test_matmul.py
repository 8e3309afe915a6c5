"""Matrix product: arithmetic by hand, tiles, refusals."""

import numpy as np
import pytest

from tests.compile.ops.build import INT8, call, constant, plain, quantized
from zapdeploy.compile.graph import INT32, Call
from zapdeploy.compile.ops.base import operator
from zapdeploy.compile.regions import Region, whole
from zapdeploy.errors import ModelError

MATMUL = operator("MatMul")


def product(a: tuple[int, ...], b: tuple[int, ...]) -> Call:
    return call("MatMul", [quantized("a", a), quantized("b", b)], plain("y", (), INT32))


def test_by_hand() -> None:
    c = product((1, 2), (2, 2))
    a, b = np.asarray([[1, 2]], np.int8), np.asarray([[3, 4], [5, 6]], np.int8)
    assert MATMUL.evaluate(c, [a, b])[0].tolist() == [[13, 16]]


def test_float_bias_is_added_after_scaling() -> None:
    """acc 13 times 1/2 times 1/2 is 3.25, plus 0.5 is 3.75, over 1/2 is 7.5: to even 8."""
    a, b = quantized("a", (1, 2), INT8, 0.5), quantized("b", (2, 1), INT8, 0.5)
    bias = constant(plain("c", (1,)), np.asarray([0.5]))
    c = call("MatMul", [a, b, bias], quantized("y", (), INT8, 0.5))
    arrays = [np.asarray([[1, 2]], np.int8), np.asarray([[3], [5]], np.int8), bias.data]
    assert MATMUL.evaluate(c, arrays)[0].item() == 8


def test_one_matrix_for_all_leading_indices() -> None:
    c = product((4, 5, 6), (6, 7))
    tile = MATMUL.matrix_tile(c, whole(c.output.shape))
    assert (tile.positions, tile.groups, tile.outputs) == (20, 1, 7)
    assert (tile.runs, tile.run_values) == (1, 6)


def test_a_matrix_for_each_leading_index() -> None:
    """Leading dimensions 2 (shared matrices) and 3 (one matrix each)."""
    c = product((2, 3, 5, 6), (3, 6, 7))
    tile = MATMUL.matrix_tile(c, whole(c.output.shape))
    assert (tile.positions, tile.groups, tile.outputs) == (10, 3, 7)
    assert tile.macs == 2 * 3 * 5 * 6 * 7


def test_regions_by_hand() -> None:
    c = product((2, 1, 5, 6), (3, 6, 7))
    out = Region(np.asarray([1, 1, 0, 2]), np.asarray([2, 3, 4, 5]))
    a, b = MATMUL.input_regions(c, out, Region(np.asarray([3]), np.asarray([6])))
    assert a is not None
    assert b is not None
    assert (a.low.tolist(), a.high.tolist()) == ([1, 0, 0, 3], [2, 1, 4, 6])
    assert (b.low.tolist(), b.high.tolist()) == ([1, 3, 2], [3, 6, 5])


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (
            (3,),
            (3, 4),
            "inputs must have shapes [..., M, K] and [..., K, N], not [3] and [3, 4] "
            "(node 'MatMul_0')",
        ),
        (
            (2, 3),
            (4, 5),
            "inputs must have shapes [..., M, K] and [..., K, N], not [2, 3] and [4, 5] "
            "(node 'MatMul_0')",
        ),
        (
            (2, 2, 3),
            (4, 3, 5),
            "leading dimensions must broadcast, not [2, 2, 3] and [4, 3, 5] (node 'MatMul_0')",
        ),
    ],
)
def test_refused_shapes(a: tuple[int, ...], b: tuple[int, ...], message: str) -> None:
    with pytest.raises(ModelError) as caught:
        product(a, b)
    assert str(caught.value) == message


def test_refused_bias_and_types() -> None:
    a, b = quantized("a", (2, 3)), quantized("b", (3, 4))
    with pytest.raises(ModelError) as caught:
        call("MatMul", [a, b, plain("c", (2, 4))], plain("y", ()))
    assert str(caught.value) == "bias must have shape [4], not [2, 4] (node 'MatMul_0')"
    rows = quantized("b", (3, 4), INT8, [0.1] * 3, [0] * 3, 0)
    with pytest.raises(ModelError) as caught:
        call("MatMul", [a, rows], plain("y", ()))
    assert str(caught.value) == (
        "input 1 must have one scale or one per output channel, not one along axis 0 "
        "(node 'MatMul_0')"
    )
