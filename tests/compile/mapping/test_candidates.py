"""The cuts worth pricing: which are kept, and that the good ones are among them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.networks import mesh, mlp, northpole, one_conv, resnet50, small_cnn
from zapdeploy.compile.layers import Layer, group_layers
from zapdeploy.compile.mapping.candidates import BEST, MOST, rank_cuts, with_neighbours
from zapdeploy.compile.mapping.cost import own_loads
from zapdeploy.compile.mapping.tiling import Cuts, Space, enumerate_cuts, space_of

LAYERS = [*group_layers(small_cnn(2)), *group_layers(mlp(4, (64, 96)))]


@pytest.fixture(params=LAYERS, ids=lambda layer: layer.name)
def layer(request: pytest.FixtureRequest) -> Layer:
    found: Layer = request.param
    return found


def _rows(factors: np.ndarray) -> set[tuple[int, ...]]:
    return set(map(tuple, factors.tolist()))


def test_kept_cuts_are_some_of_all_cuts(layer: Layer) -> None:
    space, target = space_of(layer), northpole()
    every, kept = enumerate_cuts(space, target.cores), rank_cuts(layer, space, target)
    assert _rows(kept) <= _rows(every)
    assert len(_rows(kept)) == len(kept) <= max(BEST, MOST)
    assert len(kept) > 0


def test_kept_cuts_keep_half_of_the_cores_busy(layer: Layer) -> None:
    """Of the most that any cut could."""
    space, target = space_of(layer), northpole()
    most = np.prod(enumerate_cuts(space, target.cores), axis=1).max()
    assert (np.prod(rank_cuts(layer, space, target), axis=1) >= most / 2).all()


def test_kept_cuts_share_the_weights_in_different_ways() -> None:
    """Along frames, channels and partial sums: what a neighbour likes is not known yet."""
    layer = one_conv((8, 64, 14, 14), 64, 3, input_bits=4, weight_bits=4, bits=4)
    kept = rank_cuts(layer, space_of(layer), northpole())
    assert len({(f[0], f[1], f[-1]) for f in kept.tolist()}) >= 5


@pytest.mark.parametrize("name", ["conv1", "s0b0c2", "s1b0c2", "s2b1c1", "s3b2c2", "fc"])
def test_the_best_of_all_cuts_is_kept_for_resnet50(name: str) -> None:
    """All cuts are priced in full: the kept ones come within 2 % of the fastest."""
    layer = next(la for la in group_layers(resnet50(4, 4)) if la.name == name)
    target = mesh(8, 8)
    space = space_of(layer)

    def fastest(factors: np.ndarray) -> float:
        loads = own_loads(layer, Cuts(space, factors, target.cores), target)
        return float((loads.busiest + loads.fill).min())

    every = enumerate_cuts(space, target.cores)
    every = every[np.prod(every, axis=1) >= target.cores // 4]
    parts = np.array_split(every, len(every) // 256 + 1)
    assert fastest(rank_cuts(layer, space, target)) <= 1.02 * min(map(fastest, parts))


def test_ranking_is_by_cost() -> None:
    """For a large layer, the first cut is at least as fast as the last."""
    layer = one_conv((8, 64, 28, 28), 128, 3, input_bits=4, weight_bits=4, bits=4)
    space, target = space_of(layer), mesh(8, 8)
    kept = rank_cuts(layer, space, target)
    loads = own_loads(layer, Cuts(space, kept, target.cores), target)
    assert loads.busiest[0] <= loads.busiest[-1]


SPACE = Space((4, 8, 6), 16, (True, True, False, True), (0, 2, 1, 3))


def test_a_neighbour_s_cuts_are_added_once() -> None:
    own = np.array([[1, 2, 1, 1], [4, 1, 1, 1]])
    theirs = np.array([[4, 1, 1, 1], [2, 2, 1, 1]])
    found = with_neighbours(SPACE, own, [theirs, theirs])
    assert found.tolist() == [[1, 2, 1, 1], [4, 1, 1, 1], [2, 2, 1, 1]]


def test_a_neighbour_s_cut_is_fitted_to_the_space() -> None:
    """At most the extents, whole where cutting is not allowed, no partial sums, no empty tile."""
    own = np.array([[1, 1, 1, 1]])
    theirs = np.array([[16, 5, 3, 4]])
    found = with_neighbours(SPACE, own, [theirs])
    assert found.tolist() == [[1, 1, 1, 1], [4, 4, 1, 1]]  # 8 in tiles of 2: 4, not 5


def test_a_neighbour_of_another_rank_is_left_out() -> None:
    own = np.array([[1, 1, 1, 1]])
    assert with_neighbours(SPACE, own, [np.array([[2, 1]])]).tolist() == own.tolist()


def test_without_neighbours_nothing_changes() -> None:
    own = np.array([[4, 1, 1, 1], [1, 2, 1, 1]])
    assert with_neighbours(SPACE, own, []).tolist() == own.tolist()
