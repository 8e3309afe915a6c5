"""The compiled counters against counting one bit at a time in plain Python."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapdeploy.sim.activity.bits import (
    as_words,
    link_activity,
    matrix_activity,
    stream_activity,
    vector_activity,
)

Sequence = list[int]
SEEDS = st.integers(0, 2**32 - 1)


def ones(words: Sequence) -> int:
    return sum(int(w).bit_count() for w in words)


def toggles(words: Sequence) -> int:
    """Each against the one before it, the first against the last."""
    return sum((int(a) ^ int(b)).bit_count() for a, b in pairwise([*words[-1:], *words]))


def without_zeros(words: Sequence) -> Sequence:
    return [w for w in words if w]


@pytest.mark.parametrize(
    ("values", "bits", "expected"),
    [
        (np.array([-1, 3, 0], np.int8), 8, [255, 3, 0]),
        (np.array([-1, 7, -8], np.int8), 4, [15, 7, 8]),
        (np.array([-2, 1], np.int8), 2, [2, 1]),
        (np.array([-1, 3], np.int8), 16, [65535, 3]),
        (np.array([200], np.uint8), 16, [200]),
        (np.array([-1], np.int32), 32, [2**32 - 1]),
        (np.array([True, False]), 8, [1, 0]),
        (np.array([1.0, -2.0], np.float32), 16, [0x3F80, 0xC000]),
        (np.array([1.0], np.float32), 32, [0x3F800000]),
    ],
)
def test_words_as_they_lie_in_memory(values: object, bits: int, expected: Sequence) -> None:
    assert as_words(np.asarray(values), bits).tolist() == expected


@given(SEEDS, st.integers(1, 9), st.integers(0, 20), st.sampled_from(("uint8", "uint16", "uint32")))
def test_streams(seed: int, stride: int, count: int, kind: str) -> None:
    random = np.random.default_rng(seed)
    words = random.integers(0, np.iinfo(kind).max, (2, 23), dtype=kind)
    found = np.zeros((2, 1), np.int64)
    one = np.ones(1, np.int64)
    stream_activity(words, one, one * 2, one * count, stride, *found)
    stream = words[1, 2 : 2 + count].tolist()
    wires = [stream[lane::stride] for lane in range(stride)]
    assert found[:, 0].tolist() == [ones(stream), sum(map(toggles, wires))]


@given(SEEDS, st.integers(1, 5), st.integers(1, 6))
def test_vectors(seed: int, inputs: int, chunk: int) -> None:
    """The register place by place: the values that lie in it, one after the other."""
    random = np.random.default_rng(seed)
    positions, runs, values = (int(n) for n in random.integers(1, 9, 3))
    vectors = random.integers(0, 256, (1, 1, positions, runs, values)).astype(np.uint8)
    vectors[random.random(vectors.shape) < random.random()] = 0
    shape = (1, 1, runs, values)
    moved, gated, nonzero = (np.zeros(shape, np.uint32) for _ in range(3))
    total = np.zeros((1, 1), np.int64)
    vector_activity(vectors, inputs, chunk, moved, gated, nonzero, total)
    order = [
        (p, run, value)
        for start in range(0, positions, chunk)
        for run in range(runs)
        for first in range(0, values, inputs)
        for p in range(start, min(start + chunk, positions))
        for value in range(first, min(first + inputs, values))
    ]
    places = [
        [int(vectors[0, 0, p, r, v]) for p, r, v in order if v % inputs == i] for i in range(inputs)
    ]
    assert moved.sum() == sum(map(toggles, places))
    assert gated.sum() == sum(toggles(without_zeros(place)) for place in places)
    assert total[0, 0] == sum(map(ones, places))
    np.testing.assert_array_equal(nonzero[0, 0], np.count_nonzero(vectors[0, 0], axis=0))


@given(SEEDS, st.integers(1, 4), st.integers(1, 4))
def test_matrices(seed: int, inputs: int, columns: int) -> None:
    random = np.random.default_rng(seed)
    groups, outputs, runs, values = (int(n) for n in random.integers(1, 6, 4))
    matrices = random.integers(0, 256, (1, groups, outputs, runs, values)).astype(np.uint8)
    matrices[random.random(matrices.shape) < 0.4] = 0
    shape = (1, groups, runs, values)
    moved, gated, nonzero = (np.zeros(shape, np.uint32) for _ in range(3))
    total = np.zeros(1, np.int64)
    matrix_activity(matrices, inputs, columns, moved, gated, nonzero, total)
    places: dict[tuple[int, int], Sequence] = {}
    for g in range(groups):
        for begin in range(0, outputs, columns):
            for run in range(runs):
                for first in range(0, values, inputs):
                    for o in range(begin, min(begin + columns, outputs)):
                        for v in range(first, min(first + inputs, values)):
                            place = places.setdefault((o - begin, v - first), [])
                            place.append(int(matrices[0, g, o, run, v]))
    assert moved.sum() == sum(map(toggles, places.values()))
    assert gated.sum() == sum(toggles(without_zeros(place)) for place in places.values())
    assert total[0] == ones(matrices.ravel().tolist())
    np.testing.assert_array_equal(nonzero[0], np.count_nonzero(matrices[0], axis=1))


@given(SEEDS, st.integers(1, 4))
def test_links(seed: int, stride: int) -> None:
    """Messages over random links: on every wire the elements of all messages, in order."""
    random = np.random.default_rng(seed)
    messages, links = (int(n) for n in random.integers(1, 6, 2))
    words = random.integers(0, 256, (messages, 8)).astype(np.uint8)
    first, count = random.integers(0, 3, messages), random.integers(0, 6, messages)
    taken = [np.flatnonzero(random.random(links) < 0.6) for _ in range(messages)]
    tree = np.cumsum([0, *map(len, taken)])
    inner = random.integers(0, 2, links)
    found, moved = (np.zeros(messages, np.int64) for _ in range(2))
    by_link = np.zeros(links, np.int64)
    row = np.arange(messages)
    link_activity(
        words, row, first, count, stride, tree, np.concatenate(taken), inner, found, moved, by_link
    )  # fmt: skip
    texts = [
        words[m, f : f + n].tolist() for m, (f, n) in enumerate(zip(first, count, strict=True))
    ]
    assert found.tolist() == [ones(text) for text in texts]
    for link in range(links):
        over = [text for text, tree in zip(texts, taken, strict=True) if link in tree]
        wires = [[w for text in over for w in text[lane::stride]] for lane in range(stride)]
        assert by_link[link] == sum(map(toggles, wires))
    assert moved.sum() == by_link[inner > 0].sum()
