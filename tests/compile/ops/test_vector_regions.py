"""What the matrix unit reads vector by vector: all of the input that is needed, nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from tests.networks import NetworkBuilder, northpole, one_conv
from zapdeploy.compile.layers import Layer, group_layers
from zapdeploy.compile.mapping.cost import output_tiles_and_vectors
from zapdeploy.compile.mapping.tiling import Cuts, space_of
from zapdeploy.compile.regions import Region


def dense() -> Layer:
    net = NetworkBuilder("dense")
    (layer,) = group_layers(net.graph(net.dense(net.input("x", (6, 200)), 40)))
    return layer


# Layer, and a cut: batch, channels, (rows, columns,) reduction.
CASES = {
    "3 x 3": (one_conv((2, 64, 8, 8), 32, 3), (1, 2, 2, 2, 2)),
    "first layer": (one_conv((2, 3, 20, 20), 16, 7, 2), (2, 1, 4, 1, 1)),
    "1 x 1": (one_conv((2, 100, 5, 5), 32, 1), (2, 1, 1, 1, 3)),
    "strided": (one_conv((1, 64, 9, 9), 32, 3, 2), (1, 1, 2, 2, 1)),
    "groups": (one_conv((1, 16, 6, 6), 16, 3, groups=16), (1, 4, 2, 1, 1)),
    "dense": (dense(), (2, 4, 3)),
}


def read_by_vectors(name: str, inputs: int) -> tuple[Layer, Cuts, Region]:
    layer, factors = CASES[name]
    cuts = Cuts(space_of(layer), np.array([factors], np.int64), 16)
    out = Region(cuts.output.low[0], cuts.output.high[0])
    reduction = Region(cuts.reduction.low[0], cuts.reduction.high[0])
    return layer, cuts, layer.operator.vector_regions(layer.anchor, out, reduction, inputs)


@pytest.mark.parametrize("name", CASES)
def test_as_many_vectors_as_the_matrix_unit_takes(name: str) -> None:
    layer, cuts, found = read_by_vectors(name, 32)
    (tile,) = layer.operator.matrix_tiles(layer.anchor, cuts.output, cuts.reduction)
    vectors = output_tiles_and_vectors(tile, 8, northpole())[1]
    assert len(found.low) == vectors.max()
    busy = (found.volume > 0).sum(axis=0)
    assert (busy <= np.broadcast_to(vectors[0], busy.shape)).all()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("inputs", [16, 32, 10_000])
def test_together_they_are_what_the_layer_reads(name: str, inputs: int) -> None:
    layer, cuts, found = read_by_vectors(name, inputs)
    region = layer.operator.input_regions(layer.anchor, cuts.output, cuts.reduction)[0]
    assert region is not None
    shape = layer.anchor.input(0).shape
    for core in range(cuts.cores):
        seen, needed = np.zeros(shape, bool), np.zeros(shape, bool)
        needed[box(region.low[0, core], region.high[0, core])] = True
        for low, high in zip(found.low[:, core], found.high[:, core], strict=True):
            seen[box(low, high)] = True
        assert not (seen & ~needed).any()
        strides = layer.anchor.node.attributes.get("strides", (1,))
        if max(strides) == 1:  # a stride may leave rows out
            assert (seen == needed).all()


def box(low: np.ndarray, high: np.ndarray) -> tuple[slice, ...]:
    return tuple(slice(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True))
