"""Laws of `input_regions`, `matrix_tile`, `cuttable` and `element_work`, for every operator."""

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compile.ops.build import plain
from tests.compile.ops.cases import CASES, MATRIX, inputs_of
from zapdeploy.compile.graph import INT32, Array, Call, Shape
from zapdeploy.compile.ops.base import Unit, operator, registered
from zapdeploy.compile.regions import Region, whole

FEW = settings(max_examples=15, deadline=None)


@st.composite
def regions(draw: st.DrawFn, shape: Shape) -> Region:
    """One box inside a shape; one in a few is empty."""
    pairs = [sorted((draw(st.integers(0, n)), draw(st.integers(0, n)))) for n in shape]
    array = np.asarray(pairs, np.int64).reshape(len(shape), 2)
    return Region(array[:, 0], array[:, 1])


@st.composite
def partitions(draw: st.DrawFn, shape: Shape) -> Region:
    """Boxes [n, rank] that fill a shape without overlap: every dimension cut at random places."""
    edges = [sorted({0, n, *draw(st.lists(st.integers(0, n), max_size=3))}) for n in shape]
    lows = np.meshgrid(*(e[:-1] for e in edges), indexing="ij")
    highs = np.meshgrid(*(e[1:] for e in edges), indexing="ij")
    return Region(np.stack([a.ravel() for a in lows], -1), np.stack([a.ravel() for a in highs], -1))


def box(region: Region) -> tuple[slice, ...]:
    return tuple(slice(int(a), int(b)) for a, b in zip(region.low, region.high, strict=True))


def only(array: Array, region: Region, elsewhere: Array) -> Array:
    """The array inside the box, other values outside."""
    found = np.array(np.broadcast_to(elsewhere, array.shape), array.dtype)
    found[box(region)] = array[box(region)]
    return found


@pytest.mark.parametrize("label", CASES)
@FEW
@given(data=st.data())
def test_values_outside_the_region_do_not_matter(label: str, data: Any) -> None:
    c = CASES[label]
    op = operator(c.node.op)
    out = data.draw(regions(c.output.shape))
    arrays, others = inputs_of(c, 1), inputs_of(c, 2)
    needed = op.input_regions(c, out)
    poisoned = [
        None if a is None or b is None or r is None else only(a, r, b)
        for a, b, r in zip(arrays, others, needed, strict=True)
    ]
    full = op.evaluate(c, arrays)[0]
    part = op.evaluate(c, poisoned)[0]
    np.testing.assert_array_equal(full[box(out)], part[box(out)])


@pytest.mark.parametrize("label", CASES)
@FEW
@given(data=st.data())
def test_regions_of_many_boxes(label: str, data: Any) -> None:
    """The same one by one as all at once; inside the input; nothing for an empty box."""
    c = CASES[label]
    op = operator(c.node.op)
    boxes = [data.draw(regions(c.output.shape)) for _ in range(4)]
    low = np.stack([b.low for b in boxes]).reshape(2, 2, -1)
    high = np.stack([b.high for b in boxes]).reshape(2, 2, -1)
    together = op.input_regions(c, Region(low, high))
    assert len(together) == len(c.inputs)
    for index, (value, region) in enumerate(zip(c.inputs, together, strict=True)):
        assert (value is None) == (region is None)
        if value is None or region is None:
            continue
        assert region.low.shape == (2, 2, len(value.shape))
        for where, out in zip(np.ndindex(2, 2), boxes, strict=True):
            alone = op.input_regions(c, out)[index]
            assert alone is not None
            np.testing.assert_array_equal(region.extent[where], alone.extent)
            if not value.shape or not alone.volume:
                continue
            np.testing.assert_array_equal(region.low[where], alone.low)
            assert (alone.low >= 0).all()
            assert (alone.high <= np.asarray(value.shape)).all()
            assert out.volume


@pytest.mark.parametrize("label", CASES)
@FEW
@given(data=st.data())
def test_a_full_cut_needs_what_the_whole_needs(label: str, data: Any) -> None:
    c = CASES[label]
    op = operator(c.node.op)
    parts = op.input_regions(c, data.draw(partitions(c.output.shape)))
    complete = op.input_regions(c, whole(c.output.shape))
    for part, all_of_it in zip(parts, complete, strict=True):
        if part is None or all_of_it is None or not all_of_it.low.size:
            continue
        used = part.volume > 0
        np.testing.assert_array_equal(part.low[used].min(axis=0), all_of_it.low)
        np.testing.assert_array_equal(part.high[used].max(axis=0), all_of_it.high)


def products(c: Call) -> int:
    """Products of each input channel, those with padding too, counted one position at a time."""
    if c.node.op == "BlockSparse":  # every weight that is there, for every frame
        return c.output.shape[0] * c.input(1).size
    kernel = c.input(1).shape[2:] if c.node.op != "MatMul" else ()
    if c.node.op != "ConvTranspose":
        return c.output.size * int(np.prod(kernel))
    pads, total = c.ints("pads"), math.prod(c.output.shape[:2])
    for d, (k, s, dilation) in enumerate(
        zip(kernel, c.ints("strides"), c.ints("dilations"), strict=True)
    ):
        pairs = itertools.product(range(c.output.shape[2 + d]), range(k))
        total *= sum((o + pads[d] - t * dilation) % s == 0 for o, t in pairs)
    return total


@pytest.mark.parametrize("label", MATRIX)
@FEW
@given(data=st.data())
def test_macs_of_a_partition_add_up(label: str, data: Any) -> None:
    c = CASES[label]
    op = operator(c.node.op)
    parts = data.draw(partitions(c.output.shape))
    sums = data.draw(partitions((op.reduction_size(c),)))
    low, high = parts.low[:, None, :], parts.high[:, None, :]
    tiles = op.matrix_tiles(c, Region(low, high), Region(sums.low[None], sums.high[None]))
    total = products(c) * op.reduction_size(c)
    assert all(tile.macs.shape == (len(parts.low), len(sums.low)) for tile in tiles)
    assert sum(tile.macs.sum() for tile in tiles) == total
    assert sum(tile.macs for tile in op.matrix_tiles(c, whole(c.output.shape))) == total


@pytest.mark.parametrize("label", MATRIX)
@FEW
@given(data=st.data())
def test_partial_sums_add_up(label: str, data: Any) -> None:
    """Each part of the reduction reads its own box of x and w; together they give the sums."""
    c = CASES[label]
    if not {"x", "a"} & {c.input(0).name} or c.optional(3) is not None or len(c.inputs) > 5:
        return
    op = operator(c.node.op)
    accumulator = replace(c, inputs=c.inputs[:2], outputs=(plain("y", c.output.shape, INT32),))
    arrays, others = inputs_of(accumulator, 1), inputs_of(accumulator, 2)
    x, w, noise = arrays[0], arrays[1], others[0]
    assert x is not None
    assert w is not None
    assert noise is not None
    quantization = c.input(1).quantization
    assert quantization is not None
    nothing = quantization.along(quantization.zero_point, w.ndim)
    cut = data.draw(partitions((op.reduction_size(c),)))
    total = np.zeros(c.output.shape, np.int64)
    for part in map(Region, cut.low, cut.high):
        x_box, w_box, *_ = op.input_regions(accumulator, whole(c.output.shape), part)
        assert x_box is not None
        assert w_box is not None
        total += op.evaluate(accumulator, [only(x, x_box, noise), only(w, w_box, nothing)])[0]
    np.testing.assert_array_equal(total, op.evaluate(accumulator, [x, w])[0])


@pytest.mark.parametrize("label", CASES)
def test_shapes_cuts_and_work(label: str) -> None:
    c = CASES[label]
    op = operator(c.node.op)
    assert op.infer(c) == tuple(v.shape for v in c.outputs)
    assert len(op.cuttable(c)) == len(c.output.shape)
    work = op.element_work(c)
    assert work.vector >= 0
    assert work.activation >= 0
    arrays = inputs_of(c)
    for mine, again in zip(op.evaluate(c, arrays), op.prepare(c)(arrays), strict=True):
        np.testing.assert_array_equal(mine, again)


def test_every_operator_has_a_case_and_a_summary() -> None:
    assert {op.name for op in registered()} == {c.node.op for c in CASES.values()}
    for op in registered():
        assert op.summary
        assert "\n" not in op.summary
    matrix = {op.name for op in registered() if op.unit is Unit.MATRIX}
    assert matrix == {"BlockSparse", "Conv", "ConvTranspose", "MatMul"}


def test_a_view_or_move_costs_no_arithmetic_unless_it_rescales() -> None:
    for label in ("concat", "transpose", "pad", "slice", "reshape"):
        work = operator(CASES[label].node.op).element_work(CASES[label])
        assert (work.vector, work.activation) == (0, 0)
    rescaled = CASES["concat rescaled"]
    assert operator("Concat").element_work(rescaled).vector == 4
