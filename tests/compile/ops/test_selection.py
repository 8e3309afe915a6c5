"""Take, Tile, Gather and Resize: values and regions by hand, work, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.compile.ops.build import UINT8, call, plain, quantized
from tests.compile.ops.cases import CASES
from zapdeploy.compile.graph import INT64, Call
from zapdeploy.compile.ops.base import operator
from zapdeploy.compile.ops.selection import reach
from zapdeploy.compile.regions import Region
from zapdeploy.errors import DataError, ModelError


def one_box(*pairs: tuple[int, int]) -> Region:
    array = np.asarray(pairs, np.int64)
    return Region(array[:, 0], array[:, 1])


def needed(c: Call, *pairs: tuple[int, int]) -> list[tuple[int, int]]:
    """The first input's box behind a box of the output."""
    region = operator(c.node.op).input_regions(c, one_box(*pairs))[0]
    assert region is not None
    return list(zip(region.low.tolist(), region.high.tolist(), strict=True))


@given(data=st.data())
def test_the_reach_of_any_spans(data: Any) -> None:
    """Against the extremes of every slice by itself."""
    indices = np.asarray(data.draw(st.lists(st.integers(0, 99), min_size=1, max_size=40)))
    count = data.draw(st.integers(1, 5))
    pairs = [
        sorted(data.draw(st.integers(0, indices.size)) for _ in range(2)) for _ in range(count)
    ]
    low, high = np.asarray(pairs).T
    first, last = reach(indices, (low, high))
    for n, (a, b) in enumerate(pairs):
        if b > a:
            assert (first[n], last[n]) == (indices[a:b].min(), indices[a:b].max() + 1)


def test_take_by_hand() -> None:
    c = call("Take", [plain("x", (4, 3))], plain("y", (3, 3)), axes=(0,), indices=(3, 0, 3))
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    assert operator("Take").evaluate(c, [x])[0].tolist() == [[9, 10, 11], [0, 1, 2], [9, 10, 11]]
    assert needed(c, (0, 1), (1, 2)) == [(3, 4), (1, 2)]
    assert needed(c, (0, 2), (0, 3)) == [(0, 4), (0, 3)]


def test_take_moves_any_type() -> None:
    """Where each element comes from is found by moving their numbers."""
    c = CASES["take"]
    numbers = np.arange(c.input(0).size, dtype=np.int64).reshape(c.input(0).shape)
    moved = operator("Take").arrange(c, [numbers])  # type: ignore[attr-defined]
    assert moved.dtype == np.int64
    assert moved[1, 2, 3, 4] == numbers[1, 2, 3, 2]


def test_tile_by_hand() -> None:
    """Inside one copy a box is a box; across a seam it is everything."""
    c = call("Tile", [plain("x", (1, 4))], plain("y", (3, 12)))
    assert needed(c, (0, 3), (5, 7)) == [(0, 1), (1, 3)]
    assert needed(c, (2, 3), (3, 5)) == [(0, 1), (0, 4)]
    assert needed(c, (2, 3), (0, 12)) == [(0, 1), (0, 4)]


def test_gather_needs_all_of_the_axis() -> None:
    c = call("Gather", [plain("x", (5, 6, 7)), plain("indices", (2, 3), INT64)], plain("y", ()),
             axis=1)  # fmt: skip
    assert c.output.shape == (5, 2, 3, 7)
    x, indices = operator("Gather").input_regions(c, one_box((0, 2), (1, 2), (0, 2), (3, 4)))
    assert x is not None
    assert indices is not None
    assert (x.low.tolist(), x.high.tolist()) == ([0, 0, 3], [2, 6, 4])
    assert (indices.low.tolist(), indices.high.tolist()) == ([1, 0], [2, 2])


def test_resize_reads_no_neighbour_of_weight_zero() -> None:
    c = CASES["resize"]  # rows at 0, 0.5, 1.25, 2, 3, 3
    assert [needed(c, (0, 1), (0, 1), (row, row + 1), (0, 1))[2] for row in range(6)] == [
        (0, 1), (0, 2), (1, 3), (2, 3), (3, 4), (3, 4),
    ]  # fmt: skip


def test_work() -> None:
    """An address for each element; weights for two or four neighbours and their sum."""
    for label, vector in (("gather float", 1), ("gather rescaled", 1 + 4), ("resize float", 3)):
        c = CASES[label]
        assert operator(c.node.op).element_work(c).vector == vector
    assert operator("Resize").element_work(CASES["resize"]).vector == 7 + 2 + 2
    assert operator("Take").element_work(CASES["take"]).vector == 0


def _take(axes: tuple[int, ...], indices: tuple[int, ...], out: tuple[int, ...] = (2, 3)) -> Call:
    return call("Take", [plain("x", (4, 3))], plain("y", out), axes=axes, indices=indices)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: _take((0, 0), (1, 2, 1, 2)),
            "axes must be different and in [0, 2), not [0, 0] (node 'Take_0')",
        ),
        (lambda: _take((0,), (1,)), "indices must be 2 numbers, not 1 (node 'Take_0')"),
        (
            lambda: _take((0,), (1, 4)),
            "indices along axis 0 must be in [0, 4), not 1 to 4 (node 'Take_0')",
        ),
        (
            lambda: _take((0,), (1, 2), (2, 3, 1)),
            "output must have 2 dimensions like the input, not 3 (node 'Take_0')",
        ),
        (
            lambda: call("Tile", [plain("x", (4, 3))], plain("y", (4, 5))),
            "output must be a multiple of [4, 3], not [4, 5] (node 'Tile_0')",
        ),
        (
            lambda: call("Gather", [plain("x", (4,)), plain("i", (2,))], plain("y", ()), axis=0),
            "indices must be integers, not float32 (node 'Gather_0')",
        ),
        (
            lambda: call(
                "Gather", [plain("x", (4,)), plain("i", (2,), INT64)], plain("y", ()), axis=1
            ),
            "axis must be in [-1, 1), not 1 (node 'Gather_0')",
        ),
        (
            lambda: call(
                "GatherElements",
                [plain("x", (4, 3)), plain("i", (2, 4), INT64)],
                plain("y", ()),
                axis=0,
            ),
            "indices must have 2 dimensions, none longer than [4, 3] but along axis 0, "
            "not [2, 4] (node 'GatherElements_0')",
        ),
        (
            lambda: call("Resize", [plain("x", (4,))], plain("y", (2,)), axes=(0,),
                         indices=(0, 1), fractions=(0.5, 1.5)),
            "fractions must be 2 numbers in [0, 1] (node 'Resize_0')",
        ),
    ],
)  # fmt: skip
def test_refusals(make: Callable[[], Call], text: str) -> None:
    with pytest.raises(ModelError) as caught:
        make()
    assert str(caught.value) == text


def test_an_index_that_is_not_there() -> None:
    c = call("Gather", [quantized("x", (4, 2), UINT8), plain("i", (1,), INT64)],
             quantized("y", (), UINT8), axis=0)  # fmt: skip
    with pytest.raises(DataError) as caught:
        operator("Gather").evaluate(c, [np.zeros((4, 2), np.uint8), np.asarray([-5])])
    assert str(caught.value) == "indices must be in [-4, 4), not -5 to -5 (node 'Gather_0')"
