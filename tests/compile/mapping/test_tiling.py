"""Cuts against counting: which element of the space is worked on, and how often."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks import NetworkBuilder, one_conv, small_cnn
from zapdeploy.compile.graph import Shape
from zapdeploy.compile.layers import group_layers
from zapdeploy.compile.mapping.tiling import Cuts, Space, enumerate_cuts, space_of
from zapdeploy.compile.regions import Region


def space(shape: Shape, reduction: int = 1) -> Space:
    rank = len(shape)
    return Space(shape, reduction, (True,) * (rank + 1), tuple(range(rank + 1)))


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=3)))
    digits = draw(st.permutations(range(len(shape) + 1)))
    cuttable = tuple(draw(st.booleans()) for _ in digits)
    return Space(shape, draw(st.integers(1, 9)), cuttable, tuple(digits))


@st.composite
def random_cuts(draw: st.DrawFn) -> Cuts:
    """Any factors of the output, also ones that leave tiles empty; sometimes cores to spare.

    The reduction's factor leaves none empty: the last core of a sum is the one that holds it.
    """
    where = draw(spaces())
    factors = [draw(st.integers(1, extent)) for extent in where.extents]
    factors[-1] = -(-where.reduction // -(-where.reduction // factors[-1]))
    cores = int(np.prod(factors)) + draw(st.integers(0, 5))
    return Cuts(where, np.array([factors], np.int64), cores)


def times_worked_on(boxes: Region, extents: Shape) -> np.ndarray:
    """How often boxes of all cores hold each element."""
    count = np.zeros(extents, int)
    for low, high in zip(boxes.low[0].tolist(), boxes.high[0].tolist(), strict=True):
        count[tuple(map(slice, low, high))] += 1
    return count


@settings(deadline=None, max_examples=200)
@given(random_cuts())
def test_boxes_cover_the_space_exactly_once(cuts: Cuts) -> None:
    assert (times_worked_on(cuts.boxes, cuts.space.extents) == 1).all()


@settings(deadline=None, max_examples=200)
@given(random_cuts())
def test_held_boxes_cover_the_output_exactly_once(cuts: Cuts) -> None:
    """Of the cores that sum up one box, the last ends up with it."""
    assert (times_worked_on(cuts.held, cuts.space.shape) == 1).all()


@settings(deadline=None, max_examples=200)
@given(random_cuts())
def test_output_and_reduction_are_the_two_parts_of_the_boxes(cuts: Cuts) -> None:
    volume = cuts.output.volume * np.where(cuts.output.volume > 0, cuts.reduction.volume, 1)
    assert np.array_equal(volume, np.where(cuts.output.volume > 0, cuts.boxes.volume, 0))
    assert volume.sum() == np.prod(cuts.space.extents)


@settings(deadline=None, max_examples=200)
@given(random_cuts())
def test_cores_beyond_the_cut_are_idle(cuts: Cuts) -> None:
    used = int(cuts.used[0])
    assert used == np.prod(cuts.factors[0])
    for idle in (cuts.boxes, cuts.output, cuts.held):
        assert (idle.volume[0, used:] == 0).all()


@settings(deadline=None, max_examples=200)
@given(random_cuts())
def test_the_first_core_has_a_largest_tile(cuts: Cuts) -> None:
    """What `candidates` relies on when it looks at one core alone."""
    assert cuts.boxes.volume[0, 0] == cuts.boxes.volume.max()


@settings(deadline=None, max_examples=100)
@given(random_cuts())
def test_place_is_the_number_in_mixed_radix(cuts: Cuts) -> None:
    """Counting through the digits, the last fastest, visits the cores in order."""
    factors, digits = cuts.factors[0], cuts.space.digits
    for core, values in enumerate(product(*(range(factors[d]) for d in digits))):
        place = dict(zip(digits, values, strict=True))
        assert cuts.coordinates[0, core].tolist() == [place[d] for d in range(len(digits))]


@settings(deadline=None, max_examples=100)
@given(random_cuts())
def test_partial_sums_go_to_the_next_core(cuts: Cuts) -> None:
    """With the reduction as fastest digit, the cores of one box are neighbours by number."""
    rank = len(cuts.space.shape)
    where = Space(
        cuts.space.shape, cuts.space.reduction, cuts.space.cuttable, tuple(range(rank + 1))
    )
    ordered = Cuts(where, cuts.factors, cuts.cores)
    place = ordered.coordinates[0, : ordered.used[0]]
    for before, after in pairwise(place):
        if after[-1] > 0:
            assert after[-1] == before[-1] + 1
            assert before[:-1].tolist() == after[:-1].tolist()


def test_a_cut_by_hand() -> None:
    """Seven rows over 3 cores: 3, 3 and 1; a fourth core has nothing to do."""
    cuts = Cuts(space((7,)), np.array([[3, 1]]), 4)
    assert cuts.tiles.tolist() == [[3, 1]]
    assert cuts.output.low[0, :, 0].tolist()[:3] == [0, 3, 6]
    assert cuts.output.extent[0, :, 0].tolist() == [3, 3, 1, 0]


def test_a_tile_that_rounding_leaves_empty() -> None:
    """Six rows over 4 cores in tiles of 2 leave the fourth core empty; nothing is lost."""
    cuts = Cuts(space((6,)), np.array([[4, 1]]), 4)
    assert cuts.output.extent[0, :, 0].tolist() == [2, 2, 2, 0]


def test_pick_takes_one_candidate() -> None:
    cuts = Cuts(space((4, 4)), np.array([[1, 2, 1], [2, 2, 1]]), 4)
    picked = cuts.pick(1)
    assert (len(cuts), len(picked)) == (2, 1)
    assert picked.factors.tolist() == [[2, 2, 1]]
    assert np.array_equal(picked.boxes.high[0], cuts.boxes.high[1])


@settings(deadline=None, max_examples=200)
@given(spaces(), st.integers(1, 40))
def test_enumerated_cuts(where: Space, cores: int) -> None:
    """No cut needs more cores than there are, none is there twice, none leaves a tile empty."""
    factors = enumerate_cuts(where, cores)
    cuts = Cuts(where, factors, cores)
    assert (cuts.used <= cores).all()
    assert len(np.unique(factors, axis=0)) == len(factors)
    assert (factors[:, [not c for c in where.cuttable]] == 1).all()
    assert (factors == 1).all(axis=1).any()
    busy = (cuts.boxes.volume > 0).sum(axis=1)
    assert np.array_equal(busy, cuts.used)


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 300), st.integers(1, 256))
def test_enumerated_factors_hold_the_usual_ones(extent: int, cores: int) -> None:
    """Divisors of the extent and of the array that fit, up to equal tiles."""
    found = set((-(-extent // enumerate_cuts(space((), extent), cores)[:, 0])).tolist())
    for factor in range(1, min(extent, cores) + 1):
        if extent % factor == 0 or cores % factor == 0:
            assert -(-extent // factor) in found


def test_space_of_a_convolution() -> None:
    """Output [N, O, H, W]; channels turn faster than positions, input channels fastest."""
    found = space_of(one_conv((2, 6, 8, 8), 10, 3, groups=2))
    assert found.shape == (2, 10, 8, 8)
    assert found.reduction == 3  # input channels of one group
    assert found.cuttable == (True, True, True, True, True)
    assert found.digits == (0, 2, 3, 1, 4)
    assert found.extents == (2, 10, 8, 8, 3)


def test_space_of_a_matrix_product() -> None:
    net = NetworkBuilder("n")
    (layer,) = group_layers(net.graph(net.dense(net.input("x", (3, 5, 7)), 11)))
    found = space_of(layer)
    assert (found.shape, found.reduction, found.digits) == ((3, 5, 11), 7, (0, 1, 2, 3))


def test_space_of_other_operators_has_no_reduction_to_cut() -> None:
    layers = {layer.name: layer for layer in group_layers(small_cnn(2))}
    pool = space_of(layers["pool"])
    assert pool.reduction == 1
    assert pool.cuttable == (True, True, False, False, False)
    assert pool.digits == (0, 1, 2, 3, 4)


@pytest.mark.parametrize("cores", [1, 16, 256])
def test_a_tensor_of_one_number_runs_on_one_core(cores: int) -> None:
    assert enumerate_cuts(space(()), cores).tolist() == [[1]]
