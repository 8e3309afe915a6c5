"""Transposed convolution: values, phases, tiles and regions by hand; refusals."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compile.ops.build import INT8, UINT8, constant, convolution, graph, plain, quantized
from tests.compile.ops.cases import CASES, inputs_of
from tests.compile.ops.test_regions import box
from tests.networks import mesh
from zapdeploy.compile.graph import INT32, Attribute, Call
from zapdeploy.compile.layers import group_layers
from zapdeploy.compile.mapping.bound import layer_macs
from zapdeploy.compile.mapping.cost import own_loads
from zapdeploy.compile.mapping.tiling import Cuts, space_of
from zapdeploy.compile.ops.base import operator
from zapdeploy.compile.regions import Region, whole
from zapdeploy.errors import ModelError

TRANSPOSED = operator("ConvTranspose")


def layer(
    x: tuple[int, ...] = (1, 8, 5, 6), w: tuple[int, ...] = (4, 8, 3, 3), **changes: Attribute
) -> Call:
    weights = constant(quantized("w", w), np.zeros(w))
    y = quantized("y", (), UINT8, 1.0, 128)
    return convolution(quantized("x", x), weights, y, None, "ConvTranspose", **changes)


def one_box(*pairs: tuple[int, int]) -> Region:
    array = np.asarray(pairs, np.int64)
    return Region(array[:, 0], array[:, 1])


def sums(x: list[int], w: list[int], **changes: Attribute) -> list[int]:
    """Of one channel in one dimension, scale 1."""
    value = quantized("x", (1, 1, len(x)), INT8, 1.0)
    weights = constant(quantized("w", (1, 1, len(w)), INT8, 1.0), np.asarray(w).reshape(1, 1, -1))
    y = plain("y", (), INT32)
    c = convolution(value, weights, y, None, "ConvTranspose", **changes)
    codes = np.asarray(x, np.int8).reshape(1, 1, -1)
    return [int(v) for v in TRANSPOSED.evaluate(c, [codes, weights.data])[0].ravel()]


def test_every_input_spreads_over_the_kernel() -> None:
    """1, 2 times 10, 20, 30, two apart: 10 20 30+20 40 60."""
    assert sums([1, 2], [10, 20, 30], strides=(2,)) == [10, 20, 50, 40, 60]
    assert sums([1, 2], [10, 20, 30], strides=(2,), pads=(1, 1)) == [20, 50, 40]
    assert sums([1, 2], [10, 20, 30], strides=(2,), pads=(1, -1)) == [20, 50, 40, 60, 0]
    assert sums([1, 2], [10, 20], strides=(3,)) == [10, 20, 0, 20, 40]
    assert sums([1, 2], [10, 20], strides=(1,), dilations=(2,)) == [10, 20, 20, 40]


def test_padding_before_the_first_position() -> None:
    """A tile that begins before anything is computed: negative pads at both ends."""
    assert sums([1], [10, 20], strides=(2,), pads=(-3, -1)) == [0, 0, 0, 10, 20, 0]


def test_a_tile_for_each_phase() -> None:
    """Stride 2, kernel 3: even positions have 2 kernel elements, odd ones have 1.

    Outputs 11 x 13: 6 and 5 rows, 7 and 6 columns. Products with what lies beyond the border count,
    as a convolution's with its padding do.
    """
    c = layer(strides=(2, 2))
    assert c.output.shape == (1, 4, 11, 13)
    tiles = TRANSPOSED.matrix_tiles(c, whole(c.output.shape))
    found = [(int(t.positions), int(t.runs), int(t.run_values)) for t in tiles]
    assert found == [(42, 2, 16), (36, 2, 8), (35, 1, 16), (30, 1, 8)]
    assert sum(int(t.macs) for t in tiles) == (6 * 2 + 5) * (7 * 2 + 6) * 8 * 4


def test_no_products_between_far_apart_positions() -> None:
    """Stride 4 with a kernel of 2: half of the phases have no product along each dimension."""
    c = layer(w=(4, 8, 2, 2), strides=(4, 4))
    tiles = TRANSPOSED.matrix_tiles(c, whole(c.output.shape))
    assert sum(int(t.macs) > 0 for t in tiles) == 4
    x, _ = TRANSPOSED.input_regions(c, one_box((0, 1), (0, 4), (2, 4), (0, 9)))
    assert x is not None
    assert x.volume == 0


def test_regions_by_hand() -> None:
    """Stride 2, kernel 3: rows 3 to 6 take inputs 1 (3 = 2 + 1), 1 and 2 (4), 2, 2 and 3 (6)."""
    c = layer(strides=(2, 2))
    x, w = TRANSPOSED.input_regions(c, one_box((0, 1), (1, 3), (3, 7), (0, 1)), one_box((2, 6)))
    assert x is not None
    assert w is not None
    assert (x.low.tolist(), x.high.tolist()) == ([0, 2, 1, 0], [1, 6, 4, 1])
    assert (w.low.tolist(), w.high.tolist()) == ([1, 2, 0, 0], [3, 6, 3, 3])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"w": (4, 8, 3)},
            "input and weights must have the same 3 to 5 dimensions, not [1, 8, 5, 6] and "
            "[4, 8, 3] (node 'ConvTranspose_0')",
        ),
        (
            {"strides": (2, 0)},
            "strides must be 2 numbers of at least 1, not [2, 0] (node 'ConvTranspose_0')",
        ),
        ({"pads": (0, 0)}, "pads must be 4 numbers, not [0, 0] (node 'ConvTranspose_0')"),
        (
            {"pads": (3, 0, 4, 0)},
            "pads must leave some of the output, not [3, 0, 4, 0] (node 'ConvTranspose_0')",
        ),
    ],
)
def test_refusals(changes: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(ModelError) as caught:
        layer(**changes)
    assert str(caught.value) == message


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_tiles_give_the_sums_of_the_whole(data: Any) -> None:
    """A box of the output from the boxes that it needs, as if these were all there is."""
    labels = [k for k, c in CASES.items() if c.node.op == "ConvTranspose" and "float" not in k]
    c = CASES[data.draw(st.sampled_from(labels))]
    c = replace(c, inputs=c.inputs[:2], outputs=(plain("y", c.output.shape, INT32),))
    x, w = inputs_of(c, 1)
    assert x is not None
    assert w is not None
    pairs = [
        sorted(data.draw(st.sampled_from(range(n + 1))) for _ in range(2)) for n in c.output.shape
    ]
    if any(low == high for low, high in pairs):
        return
    out = one_box(*((low, high) for low, high in pairs))
    regions = TRANSPOSED.input_regions(c, out)[:2]
    if any(r is None or not r.volume for r in regions):
        return
    leading = [Region(r.low[None], r.high[None]) for r in (out, *regions) if r is not None]
    special = TRANSPOSED.tile_attributes(c, leading[0], leading[1:])
    attributes = {k: tuple(int(v) for v in a[0]) for k, a in special.items()}
    tile = Call(
        replace(c.node, attributes={**c.node.attributes, **attributes}),
        tuple(
            plain(v.name, tuple(r.extent[0]))
            for v, r in zip(c.inputs, leading[1:], strict=True)
            if v is not None
        ),
        (plain("y", tuple(int(e) for e in out.extent), INT32),),
    )
    arrays = []
    for index, (array, region) in enumerate(zip((x, w), regions, strict=True)):
        quantization = c.input(index).quantization
        assert region is not None
        assert quantization is not None
        zero = quantization.along(quantization.zero_point, array.ndim)
        part = (array.astype(np.float64) - zero)[box(region)]
        arrays.append(part[None])
    found = TRANSPOSED.accumulate(tile, *arrays)[0]  # type: ignore[attr-defined]
    np.testing.assert_array_equal(found, TRANSPOSED.evaluate(c, [x, w])[0][box(out)])


def test_cycles_of_the_matrix_unit() -> None:
    """64 channels in and out at 8 bits: vectors of 32 values, two sets of 32 outputs.

    42 positions with 2 runs of 2 x 64 values, 36 with 2 of 64, 35 with one of 2 x 64, 30 with one
    of 64. No accumulator is fuller than its phase.
    """
    c = layer((1, 64, 5, 6), (64, 64, 3, 3), strides=(2, 2))
    (alone,) = group_layers(graph(c))
    loads = own_loads(alone, Cuts(space_of(alone), np.ones((1, 5), np.int64), 1), mesh(1, 1))
    assert loads.matrix_cycles[0] == 42 * 2 * 4 * 2 + 36 * 2 * 2 * 2 + 35 * 4 * 2 + 30 * 2 * 2
    assert loads.macs[0] == (6 * 2 + 5) * (7 * 2 + 6) * 64 * 64 == layer_macs(alone)
