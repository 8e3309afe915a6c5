"""What must hold of any network, any data and any cut."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from tests.compile.ops.build import graph
from tests.compile.ops.cases import CASES, inputs_of
from tests.cuts import drawn_by, recut
from tests.networks import compiled, mesh, mlp, small_cnn
from tests.sim.core_array.test_equality import ON_CHIP
from tests.sim.networks import FOUR_BITS, residual_network
from zapdeploy.compile.graph import Array, Call, Graph
from zapdeploy.compile.layers import group_layers
from zapdeploy.compile.mapping.cost import storage_bits
from zapdeploy.compile.ops.base import Unit, operator
from zapdeploy.compile.ops.matrix import MatrixOperator
from zapdeploy.compile.program.layer import lower
from zapdeploy.compile.program.program import Program
from zapdeploy.compile.regions import Region
from zapdeploy.sim.activity import CASES as VALUES
from zapdeploy.sim.activity import ActivityResult, measure_activity
from zapdeploy.sim.activity.counting import Counter
from zapdeploy.sim.activity.counts import NETWORKS, Products, StageActivity
from zapdeploy.sim.check import reference_inputs
from zapdeploy.sim.core_array import CoreArray
from zapdeploy.sim.core_array.local import together
from zapdeploy.sim.core_array.tiles import Tiles
from zapdeploy.sim.results import summarize


def counted(program: Program, inputs: dict[str, Array]) -> StageActivity:
    lowered = lower(program)
    counter = Counter(lowered)
    CoreArray(lowered, counter).run(inputs)
    return counter.taken()


def assert_adds_up(program: Program, found: StageActivity) -> None:
    """Over cores and links to what the compiler counted, layer by layer."""
    lowered = lower(program)
    for events, layer in zip(lowered.layers, found.layers, strict=True):
        np.testing.assert_array_equal(layer.products.macs, events.work.macs[0])
        for network in NETWORKS:
            hops = getattr(events.program.counts, f"{network}_bit_hops")
            assert layer.hops[network].bits.sum() == hops, network
        bits = storage_bits(events.layer.output, program.target)
        np.testing.assert_array_equal(layer.memory["written"].bits, events.held.volume * bits)


def assert_bounded(found: StageActivity) -> None:
    """No bit toggles more than once a word, or more often than there are ones and zeros for it."""
    for layer in found.layers:
        p = layer.products
        assert (p.gated_toggles <= p.multiplier_toggles).all()
        assert (p.multiplier_toggles <= p.operand_toggles).all()
        assert (p.operand_toggles <= p.operand_bits).all()
        assert (p.zero_products <= p.macs).all()
        for words in (*layer.memory.values(), *layer.links.values(), layer.accumulators):
            assert (words.toggles <= 2 * np.minimum(words.ones, words.bits - words.ones)).all()


MATRIX = [n for n in ON_CHIP if operator(CASES[n].node.op).unit is Unit.MATRIX]
OTHERS = {CASES[n].node.op: n for n in ON_CHIP if n not in MATRIX}.values()  # one of each


@pytest.mark.parametrize("label", [*MATRIX, *OTHERS])
def test_every_operator_under_a_drawn_cut(label: str) -> None:
    one = CASES[label]
    made = graph(one)
    if not group_layers(made):
        pytest.skip("runs on the host or is a view")
    arrays = dict(zip(one.node.inputs, inputs_of(one, 3), strict=True))
    inputs = {name: np.asarray(arrays[name]) for name in made.inputs}
    program = recut(compiled(made, mesh(2, 3)), drawn_by(np.random.default_rng(5)))
    found = counted(program, inputs)
    assert_adds_up(program, found)
    assert_bounded(found)


@pytest.mark.parametrize("label", MATRIX)
def test_what_meets_is_what_is_summed(label: str) -> None:
    """Vectors times matrices hold every product of the operator's own sums of products."""
    call = CASES[label]
    op = operator(call.node.op)
    assert isinstance(op, MatrixOperator)
    rng = np.random.default_rng(2)
    x, w = (rng.integers(0, 100, (1, *call.input(i).shape)) for i in (0, 1))
    tile = tile_of(call)
    sums = op.accumulate(tile, x.astype(np.float64), w.astype(np.float64))
    pairs = list(op.operands(tile, x, w, 0))
    products = [np.einsum("cgprv,cgorv->cgpo", *pair) for pair in pairs]
    found = np.concatenate([p.ravel() for p in products])
    rest = sums.ravel()[sums.ravel() != 0]
    np.testing.assert_array_equal(np.sort(found[found != 0]), np.sort(rest))


def tile_of(call: Call) -> Call:
    """The call as one core that has all of it sees it."""

    def everything(shape: tuple[int, ...]) -> Region:
        return Region(np.zeros((1, len(shape)), np.int64), np.array([shape], np.int64))

    inputs = [
        None if v is None else Tiles.own(np.zeros((1, v.size)), everything(v.shape))
        for v in call.inputs
    ]
    (some,) = together(call, everything(call.output.shape), inputs)
    return some.call


NETWORKS_TESTED = {
    "residual": residual_network,
    "residual, 4 bits": lambda: residual_network(*FOUR_BITS),
    "convolutions": small_cnn,
    "perceptron": mlp,
}


def costs(made: Graph, batches: int = 3) -> ActivityResult:
    program = compiled(made, mesh(4, 4))
    given = [reference_inputs(made, seed) for seed in range(batches)]
    return measure_activity(summarize(program), given, frames=100)


@pytest.mark.parametrize("name", NETWORKS_TESTED)
def test_zeros_cost_least_and_alternating_bits_most(name: str) -> None:
    found = costs(NETWORKS_TESTED[name]())
    for gated in (False, True):
        zeros, actual, random, worst = (found.events_j(case, gated) for case in VALUES)
        assert zeros <= actual <= worst
        assert zeros < random < worst
        for layer in range(len(found.layers)):
            zeros, actual, _, worst = (found.layer_j(layer, case, gated) for case in VALUES)
            assert zeros <= actual <= worst
        energies = [found.energy(case, gated) for case in VALUES]
        assert all(e.low < e.value < e.high for e in energies)
    assert found.events_j("actual", True) <= found.events_j("actual", False)
    stated = found.performance.energy_per_frame
    assert found.energy("random", False).value == pytest.approx(stated.value)
    assert found.energy("random", False).low == pytest.approx(stated.low)


def test_batches_add_up() -> None:
    """What is counted of two batches is the sum of what is counted of each."""
    made = residual_network()
    program = compiled(made, mesh(2, 2))
    first, second = (reference_inputs(made, seed) for seed in (0, 1))
    both = measure_activity(summarize(program), [first, second])
    alone = counted(program, first)
    alone += counted(program, second)
    for one, other in zip(both.layers, alone.layers, strict=True):
        for f in fields(Products):
            one_, other_ = getattr(one.products, f.name), getattr(other.products, f.name)
            np.testing.assert_array_equal(one_, other_)
        for network in NETWORKS:
            np.testing.assert_array_equal(one.links[network].toggles, other.links[network].toggles)
    assert both.standard_error_j(False) is not None


def test_layers_and_boundary_add_up_to_the_frame() -> None:
    found = costs(small_cnn())
    layers = sum(found.layer_j(n, "actual", False) for n in range(len(found.layers)))
    total = found.events_j("actual", False)
    assert layers < total
    seconds = found.performance.flow.interval_s
    static = found.performance.pipeline.target.energy
    waiting = seconds * static.price(static.static_power) / found.performance.pipeline.micro_batch
    assert found.energy("actual", False).value == pytest.approx(total + waiting)


def test_a_network_of_zeros() -> None:
    """No bit is set in its inputs, weights and biases: what is left is the idle share, and the
    scales of the channels, which are not zero."""
    made = mlp(bits=8)
    values = {
        n: v if v.data is None else type(v)(v.name, v.shape, v.element, v.quantization, v.data * 0)
        for n, v in made.values.items()
    }
    quiet = type(made)(made.name, made.nodes, values, made.inputs, made.outputs)
    program = compiled(quiet, mesh(2, 2))
    inputs = {n: np.zeros_like(a) for n, a in reference_inputs(quiet, 0).items()}
    found = measure_activity(summarize(program), [inputs])
    for gated in (False, True):
        for layer in range(len(found.layers)):
            assert found.layer_j(layer, "actual", gated) == pytest.approx(
                found.layer_j(layer, "zeros", gated), rel=0.05
            )
