"""Boxes against sets of indices, made one by one."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from zapdeploy.compile.graph import Shape
from zapdeploy.compile.regions import Region, broadcast, reshaped, whole

Box = tuple[tuple[int, int], ...]  # [low, high) along each dimension
Index = tuple[int, ...]


def region(*boxes: Box) -> Region:
    """Boxes stacked along one leading axis."""
    return Region(
        np.array([[low for low, _ in box] for box in boxes], np.int64).reshape(len(boxes), -1),
        np.array([[high for _, high in box] for box in boxes], np.int64).reshape(len(boxes), -1),
    )


def indices(box: Region, number: int = 0) -> set[Index]:
    spans = zip(box.low[number].tolist(), box.high[number].tolist(), strict=True)
    return set(product(*(range(low, high) for low, high in spans)))


def bounding_box(found: set[Index]) -> Box:
    return tuple((min(axis), max(axis) + 1) for axis in zip(*found, strict=True))


@st.composite
def boxes(draw: st.DrawFn, shape: Shape, least: int = 0) -> Box:
    """A box inside a shape, at least so long along each dimension."""
    spans = []
    for length in shape:
        low = draw(st.integers(0, length - least))
        spans.append((low, draw(st.integers(low + least, length))))
    return tuple(spans)


@st.composite
def reshapes(draw: st.DrawFn) -> tuple[Shape, Shape]:
    """Two shapes of the same size, of random factors with ones in between."""
    primes = draw(st.lists(st.sampled_from([2, 2, 3, 5]), min_size=1, max_size=4))

    def shape() -> Shape:
        dims: list[int] = []
        for prime in primes:
            if dims and draw(st.sampled_from([False, True])):
                dims[-1] *= prime
            else:
                dims.append(prime)
        for _ in range(draw(st.integers(0, 2))):
            dims.insert(draw(st.integers(0, len(dims))), 1)
        return tuple(dims)

    return shape(), shape()


@st.composite
def reshaped_boxes(draw: st.DrawFn) -> tuple[Shape, Shape, Box]:
    out, into = draw(reshapes())
    return out, into, draw(boxes(out))


def seen_through(box: Box, out: Shape, into: Shape) -> set[Index]:
    """Indices of the input behind a box of its reshaped form, element by element."""
    flat = np.arange(np.prod(out, dtype=int))
    at = flat.reshape(out)[tuple(slice(low, high) for low, high in box)].reshape(-1)
    return set(zip(*(axis.tolist() for axis in np.unravel_index(at, into)), strict=True))


@settings(deadline=None, max_examples=300)
@given(reshaped_boxes())
def test_reshaped_covers_every_element(case: tuple[Shape, Shape, Box]) -> None:
    out, into, box = case
    found = indices(reshaped(region(box), out, into))
    assert seen_through(box, out, into) <= found
    assert found <= set(product(*(range(length) for length in into)))


@settings(deadline=None, max_examples=200)
@given(reshaped_boxes(), st.data())
def test_reshaped_of_nothing_is_nothing(
    case: tuple[Shape, Shape, Box], data: st.DataObject
) -> None:
    """A box without extent along any one dimension holds nothing."""
    out, into, box = case
    axis = data.draw(st.integers(0, len(out) - 1))
    box = tuple((low, low if d == axis else high) for d, (low, high) in enumerate(box))
    assert not indices(reshaped(region(box), out, into))


@settings(deadline=None, max_examples=300)
@given(reshapes(), st.data())
def test_reshaped_is_smallest_for_a_run_of_elements(
    shapes: tuple[Shape, Shape], data: st.DataObject
) -> None:
    """A cut along the outermost dimension of more than one element leaves a run of elements.

    What covers a run cannot be smaller than the box around its indices.
    """
    out, into = shapes
    outermost = next((d for d, length in enumerate(out) if length > 1), 0)
    low = data.draw(st.integers(0, out[outermost] - 1))
    high = data.draw(st.integers(low + 1, out[outermost]))
    box = tuple((low, high) if d == outermost else (0, n) for d, n in enumerate(out))
    found = reshaped(region(box), out, into)
    wanted = bounding_box(seen_through(box, out, into))
    assert list(zip(found.low[0].tolist(), found.high[0].tolist(), strict=True)) == list(wanted)


@settings(deadline=None, max_examples=100)
@given(reshapes(), st.data())
def test_reshaped_gives_groups_of_dimensions_their_own_boxes(
    shapes: tuple[Shape, Shape], data: st.DataObject
) -> None:
    """Dimensions that stand apart in both shapes (here the first) stay exact whatever the rest."""
    out, into = shapes
    low = data.draw(st.integers(0, 3))
    high = data.draw(st.integers(low + 1, 4))
    box = ((low, high), *data.draw(boxes(out, least=1)))
    found = reshaped(region(box), (4, *out), (4, *into))
    assert (found.low[0, 0], found.high[0, 0]) == (low, high)


def test_reshaped_by_hand() -> None:
    """Rows 1 and 2 of [4, 6] are elements 6 to 17: all of rows 0 to 2 of [3, 8] but their ends."""
    found = reshaped(region(((1, 3), (0, 6)), ((1, 2), (0, 2))), (4, 6), (3, 8))
    assert found.low.tolist() == [[0, 0], [0, 6]]
    assert found.high.tolist() == [[3, 8], [1, 8]]


def test_flatten_keeps_cuts_along_the_first_dimension() -> None:
    """[N, 2048, 1, 1] flattened: frames and channels stay where they are."""
    found = reshaped(region(((4, 8), (256, 512))), (32, 2048), (32, 2048, 1, 1))
    assert found.low.tolist() == [[4, 256, 0, 0]]
    assert found.high.tolist() == [[8, 512, 1, 1]]


@st.composite
def broadcasts(draw: st.DrawFn) -> tuple[Shape, Shape, Box]:
    out = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    kept = out[draw(st.integers(0, len(out))) :]
    into = tuple(1 if draw(st.booleans()) else length for length in kept)
    return out, into, draw(boxes(out))


@settings(deadline=None, max_examples=300)
@given(broadcasts())
def test_broadcast_reads_what_numpy_reads(case: tuple[Shape, Shape, Box]) -> None:
    out, into, box = case
    numbers = np.arange(np.prod(into, dtype=int)).reshape(into)
    stretched = np.broadcast_to(numbers, out)
    read = np.unique(stretched[tuple(slice(low, high) for low, high in box)])
    found = broadcast(region(box), out, into)
    window = tuple(map(slice, found.low[0].tolist(), found.high[0].tolist()))
    if len(read):
        assert np.array_equal(np.unique(numbers[window]), read)
    elif into:
        assert found.volume[0] == 0


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_intersect_and_volume_count_indices(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    a, b = region(data.draw(boxes(shape))), region(data.draw(boxes(shape)))
    assert a.volume[0] == len(indices(a))
    assert indices(a.intersect(b)) == indices(a) & indices(b)
    assert a.intersect(b).volume[0] == len(indices(a) & indices(b))


def test_clip_keeps_the_part_inside() -> None:
    found = region(((-2, 3), (1, 9))).clip((4, 5))
    assert indices(found) == set(product(range(3), range(1, 5)))


def test_take_reorders_dimensions() -> None:
    found = region(((0, 1), (2, 4), (5, 8))).take((2, 0))
    assert found.low.tolist() == [[5, 0]]
    assert found.high.tolist() == [[8, 1]]


def test_whole_repeats_over_leading_axes() -> None:
    found = whole((3, 4), (2, 5))
    assert found.volume.shape == (2, 5)
    assert (found.volume == 12).all()


def test_extent_is_never_negative() -> None:
    backwards = Region(np.array([[3, 0]]), np.array([[1, 2]]))
    assert backwards.extent.tolist() == [[0, 2]]
    assert backwards.volume.tolist() == [0]
