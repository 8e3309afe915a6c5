"""Scales of single neurons take memory and port, once in each core that holds the neurons."""

from __future__ import annotations

import numpy as np

from tests.compile.ops.test_scales_along_axes import time_mix
from tests.networks import mesh
from zapdeploy.compile.graph import Quantization
from zapdeploy.compile.layers import Layer
from zapdeploy.compile.mapping.cost import core_work, own_loads
from zapdeploy.compile.mapping.tiling import Cuts, space_of

NEURONS = 30


def layer(*, per_neuron: bool = True) -> Layer:
    """The time mix, with its scales or with the first of them for all neurons."""
    made = time_mix(neurons=NEURONS)
    if not per_neuron:
        for value in (made.input(0), made.output):
            q = value.quantization
            assert q is not None
            one = Quantization(q.scale[:1], q.zero_point[:1], q.low, q.high)
            object.__setattr__(value, "quantization", one)
    parameters = tuple(v for v in made.inputs[1:] if v is not None)
    return Layer("time_mix", (made,), (), parameters, made.output)


def cut(of: Layer, cores: int) -> Cuts:
    return Cuts(space_of(of), np.array([[1, 1, cores, 1]]), cores)


def test_bytes_by_hand() -> None:
    """A scale of 4 bytes and a zero point of 4 for each neuron, of what is read and written."""
    for cores in (1, 2):
        work = core_work(layer(), cut(layer(), cores), mesh(1, cores))
        expected = [2 * (4 + 4) * NEURONS // cores] * cores
        np.testing.assert_array_equal(work.scale_bytes, [expected])


def test_what_they_add() -> None:
    """To what each core stores, and to what passes its port: nothing to any network."""
    target = mesh(1, 2)
    with_scales, without = (
        own_loads(made, cut(made, 2), target) for made in (layer(), layer(per_neuron=False))
    )
    each = 2 * (4 + 4) * NEURONS // 2
    assert with_scales.parameter_bytes[0] == without.parameter_bytes[0] + each
    assert with_scales.memory_bytes[0] == without.memory_bytes[0] + 2 * each
    assert with_scales.model_bit_hops[0] == without.model_bit_hops[0]
    assert with_scales.vector_ops[0] > without.vector_ops[0]
