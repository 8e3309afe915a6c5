"""Convolution: arithmetic by hand, tiles, refusals."""

import numpy as np
import pytest

from tests.compile.ops.build import INT8, UINT8, call, constant, convolution, plain, quantized
from zapdeploy.compile.graph import INT32, Call, Value
from zapdeploy.compile.ops.base import operator
from zapdeploy.compile.regions import Region, whole
from zapdeploy.errors import ModelError

CONV = operator("Conv")


def layer(
    x: tuple[int, ...] = (1, 8, 10, 10), w: tuple[int, ...] = (16, 8, 3, 3), **changes: object
) -> Call:
    weights = constant(quantized("w", w), np.zeros(w))
    y = quantized("y", (), UINT8, 1.0, 128)
    return convolution(quantized("x", x), weights, y, **changes)  # type: ignore[arg-type]


def one_box(*pairs: tuple[int, int]) -> Region:
    array = np.asarray(pairs, np.int64)
    return Region(array[:, 0], array[:, 1])


def test_by_hand() -> None:
    """Inputs (3, -1), weights (2, 5), bias 1: acc 2; times 1/2 times 1/2 is 0.5, to even 0."""
    x = quantized("x", (1, 2, 1), INT8, 0.5)
    w = constant(quantized("w", (1, 2, 1), INT8, 0.5), np.asarray([[[2], [5]]]))
    b = constant(plain("b", (1,), INT32), np.asarray([1]))
    c = convolution(x, w, quantized("y", (), INT8, 1.0, 10), b)
    codes = np.asarray([[[3], [-1]]], np.int8)
    assert CONV.evaluate(c, [codes, w.data, b.data])[0].item() == 10
    codes = np.asarray([[[3], [1]]], np.int8)  # acc 12, times 1/4 is 3
    assert CONV.evaluate(c, [codes, w.data, b.data])[0].item() == 13


def test_tie_rounds_to_even_before_the_zero_point() -> None:
    """acc 2 times 1/4 is 0.5: to 0, and 1 with an odd zero point of 1 (not 2)."""
    x = quantized("x", (1, 1, 1), INT8, 0.25)
    w = constant(quantized("w", (1, 1, 1), INT8, 1.0), np.asarray([[[1]]]))
    c = convolution(x, w, quantized("y", (), INT8, 1.0, 1))
    assert CONV.evaluate(c, [np.asarray([[[2]]], np.int8), w.data])[0].item() == 1


def test_padding_is_the_zero_point() -> None:
    """Zero in real numbers, whatever its code: the sum over a padded window of zeros is 0."""
    x = quantized("x", (1, 1, 3), UINT8, 1.0, 131)
    w = constant(quantized("w", (1, 1, 3)), np.asarray([[[1, 2, 3]]]))
    c = convolution(x, w, plain("y", (), INT32), pads=(1, 1))
    zeros = np.full((1, 1, 3), 131, np.uint8)
    assert not CONV.evaluate(c, [zeros, w.data])[0].any()


@pytest.mark.parametrize(
    ("changes", "runs", "values"),
    [
        ({}, 3, 24),  # rows of the 3 x 3 window, 3 x 8 values each
        ({"dilations": (1, 2)}, 9, 8),  # the row breaks between kernel elements
        ({"dilations": (2, 1)}, 3, 24),
    ],
)
def test_runs_of_consecutive_values(changes: dict[str, object], runs: int, values: int) -> None:
    c = layer(**changes)
    tile = CONV.matrix_tile(c, whole(c.output.shape))
    assert (tile.runs, tile.run_values) == (runs, values)
    assert (tile.groups, tile.outputs) == (1, 16)


def test_tile_of_a_part_of_the_reduction() -> None:
    c = layer(pads=(1, 1, 1, 1))
    tile = CONV.matrix_tile(c, one_box((0, 1), (4, 8), (0, 5), (0, 10)), one_box((0, 2)))
    assert (tile.positions, tile.outputs, tile.runs, tile.run_values) == (50, 4, 3, 6)
    assert tile.macs == 50 * 4 * 9 * 2


@pytest.mark.parametrize(
    ("channels", "groups", "outputs"),
    [
        ((0, 16), 4, 4),
        ((4, 8), 1, 4),
        ((5, 7), 1, 2),
        ((2, 6), 2, 2),
        ((2, 12), 5, 2),  # 2 + 4 + 4 channels: five pieces of 2
        ((3, 9), 6, 1),  # 1 + 4 + 1 channels
        ((5, 5), 0, 0),
    ],
)
def test_groups_that_a_box_touches(channels: tuple[int, int], groups: int, outputs: int) -> None:
    c = layer(w=(16, 2, 3, 3), group=4)
    tile = CONV.matrix_tile(c, one_box((0, 1), channels, (0, 8), (0, 8)))
    assert (tile.groups, tile.outputs) == (groups, outputs)
    assert tile.macs == 64 * (channels[1] - channels[0]) * 9 * 2


def test_regions_by_hand() -> None:
    """Rows 2 and 3 of a 3 x 3 window with stride 2 and padding 1 read rows 3 to 7."""
    c = layer(x=(1, 8, 10, 10), pads=(1, 1, 1, 1), strides=(2, 2))
    x, w = CONV.input_regions(c, one_box((0, 1), (4, 8), (2, 4), (0, 5)), one_box((2, 6)))
    assert x is not None
    assert w is not None
    assert (x.low.tolist(), x.high.tolist()) == ([0, 2, 3, 0], [1, 6, 8, 10])
    assert (w.low.tolist(), w.high.tolist()) == ([4, 2, 0, 0], [8, 6, 3, 3])


def test_regions_of_groups() -> None:
    """Output channels 5 to 9 of groups of 4 lie in groups 1 and 2, that read channels 2 to 5."""
    c = layer(w=(16, 2, 3, 3), group=4)
    x, _ = CONV.input_regions(c, one_box((0, 1), (5, 10), (0, 8), (0, 8)))
    assert x is not None
    assert (x.low[1], x.high[1]) == (2, 6)


def test_epilogue_work() -> None:
    """Scale multiply and an add of bias or zero point; round and clamp. None on plain sums."""
    for zero_point, vector in ((128, 2), (0, 1)):
        y = quantized("y", (), UINT8, 1.0, zero_point)
        work = CONV.element_work(convolution(layer().input(0), layer().input(1), y))
        assert (work.vector, work.activation) == (vector, 1)
    sums = convolution(layer().input(0), layer().input(1), plain("y", (), INT32))
    assert (CONV.element_work(sums).vector, CONV.element_work(sums).activation) == (0, 0)
    bias = constant(plain("b", (16,)), np.zeros(16))
    real = convolution(layer().input(0), layer().input(1), plain("y", ()), bias)
    assert (CONV.element_work(real).vector, CONV.element_work(real).activation) == (2, 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: layer(w=(16, 8, 3)),
            "input and weights must have the same 3 to 5 dimensions, not [1, 8, 10, 10] and "
            "[16, 8, 3] (node 'Conv_0')",
        ),
        (
            lambda: layer(w=(16, 7, 3, 3)),
            "channels must be in groups of equal size, not 8 in and 16 out in 1 groups of 7 inputs "
            "(node 'Conv_0')",
        ),
        (
            lambda: layer(strides=(1,)),
            "strides must be 2 numbers of at least 1, not [1] (node 'Conv_0')",
        ),
        (
            lambda: layer(pads=(0, 0, 0, -1)),
            "pads must be 4 numbers of at least 0, not [0, 0, 0, -1] (node 'Conv_0')",
        ),
        (
            lambda: layer(x=(1, 8, 2, 10), pads=(0, 1, 0, 1)),
            "the padded input must be at least as large as the window [3, 3], not [2, 12] "
            "(node 'Conv_0')",
        ),
        (
            lambda: convolution(
                layer().input(0), layer().input(1), layer().output, plain("b", (4,))
            ),
            "bias must have shape [16], not [4] (node 'Conv_0')",
        ),
        (
            lambda: convolution(plain("x", (1, 8, 10, 10)), layer().input(1), layer().output),
            "input 0 must be quantized, not float32 (node 'Conv_0'); quantize the model first",
        ),
        (
            lambda: convolution(_per_row(layer().input(0)), layer().input(1), layer().output),
            "input 0 must have one scale or one along a dimension that is not summed over, not one "
            "along axis 1; quantize it per tensor (node 'Conv_0')",
        ),
    ],
)
def test_refusals(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ModelError) as caught:
        make()
    assert str(caught.value) == message


def _per_row(x: Value) -> Value:
    return quantized("x", x.shape, INT8, [0.1] * x.shape[1], [0] * x.shape[1], 1)


def test_missing_input() -> None:
    x = quantized("x", (1, 8, 10, 10))
    with pytest.raises(ModelError) as caught:
        call(
            "Conv",
            [x],
            quantized("y", ()),
            strides=(1, 1),
            pads=(0,) * 4,
            dilations=(1, 1),
            group=1,
        )
    assert str(caught.value) == "input 1 must be given (node 'Conv_0')"
