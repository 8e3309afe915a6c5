"""Cards in lock step give the whole graph's bits, and faults in what they send are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.compile.ops.build import UINT8, graph, quantized, random_data
from tests.compile.ops.cases import CASES, inputs_of
from tests.networks import compiled, mesh
from tests.space_networks import Drawing, random_unet
from tests.strategies import Network, quantized_networks
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.graph import Array, Graph
from zapdeploy.compile.regions import Region
from zapdeploy.compile.space.cards import Cards
from zapdeploy.compile.space.cutting import cut_space
from zapdeploy.compile.space.grid import Grid
from zapdeploy.compile.space.pieces import Exchanges, Gathering, Joining
from zapdeploy.errors import SimulationError
from zapdeploy.sim import functional
from zapdeploy.sim.space.core_by_core import core_array
from zapdeploy.sim.space.lockstep import run_cards

Inputs = dict[str, Array]


def cards_of(made: Graph, *parts: int) -> Cards:
    return Cards(cut_space(made, Grid(parts)))


def assert_equal(cards: Cards, inputs: Inputs, *, cores: bool = False) -> None:
    """Every bit of every output, from the cards' graphs or from their cores."""
    runners = None
    if cores:
        programs = [compiled(cards.graph(card), mesh(2, 3)) for card in cards.models]
        runners = {kind: core_array(program) for kind, program in enumerate(programs)}
    found = run_cards(cards, inputs, runners)
    for name, array in functional.run(cards.cut.graph, inputs).items():
        assert found[name].dtype == array.dtype
        assert found[name].tobytes() == array.tobytes(), name


def drawn_grid(seed: int, shape: tuple[int, ...], most: int = 3) -> tuple[int, ...]:
    rng = np.random.default_rng(seed)
    return tuple(int(rng.integers(1, min(most, length) + 1)) for length in shape[2:])


@pytest.mark.parametrize("seed", range(24))
def test_random_unets(seed: int) -> None:
    """Strides, dilations, odd sizes, transposed convolutions, group normalization, 1 to 3-D."""
    made, inputs = random_unet(seed)
    assert_equal(cards_of(made, *drawn_grid(seed, inputs["x"].shape, 4)), inputs)


@pytest.mark.parametrize("chips", [2, 3, 4, 8])
def test_numbers_of_cards(chips: int) -> None:
    made, inputs = random_unet(7)
    shape = inputs["x"].shape[2:]
    parts = (chips, 1, 1) if len(shape) == 3 and shape[0] >= chips else (1,) * (len(shape) - 1)
    parts = parts if len(parts) == len(shape) else (*parts, min(chips, shape[-1]))
    assert_equal(cards_of(made, *parts), inputs)


@pytest.mark.parametrize("seed", [1, 4])
def test_core_by_core(seed: int) -> None:
    """Every card's Program, each core from its own memory."""
    made, inputs = random_unet(seed)
    assert_equal(cards_of(made, *drawn_grid(seed, inputs["x"].shape, 2)), inputs, cores=True)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(network=quantized_networks(), seed=st.integers(0, 1 << 30))
def test_drawn_networks(tmp_path: Path, network: Network, seed: int) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(network.model.SerializeToString())
    shape = network.inputs["x"].shape
    if len(shape) > 2:
        made = import_model(path).graph
        assert_equal(cards_of(made, *drawn_grid(seed, shape)), network.inputs)


SPATIAL = [k for k, c in CASES.items() if len(graph(c).inputs) and c.node.op != "Assemble"]


@pytest.mark.parametrize("label", SPATIAL)
def test_every_operator(label: str) -> None:
    """Each call as a network of its own; operators that need all of space are sent all of it."""
    one = CASES[label]
    made = graph(one)
    arrays = dict(zip(one.node.inputs, inputs_of(one, 3), strict=True))
    inputs = {name: np.asarray(arrays[name]) for name in made.inputs}
    rank = max(len(array.shape) for array in inputs.values())
    if rank < 3:
        pytest.skip("has no space")
    shortest = [
        min(a.shape[2 + d] for a in inputs.values() if a.ndim == rank) for d in range(rank - 2)
    ]
    assert_equal(cards_of(made, *(min(2, length) for length in shortest)), inputs)


# A convolution after a convolution, and group normalization: pieces of other cards, and sums.
UNET = random_unet(3)


def changed(cards: Cards, change: Callable[[Gathering], Gathering]) -> Exchanges:
    """The exchanges, with the first box that has pieces changed."""
    found = dict(cards.exchanges.gatherings)
    name = next(n for n, g in found.items() if len(g.source) > 1)
    found[name] = change(found[name])
    return replace(cards.exchanges, gatherings=found)


def _without_a_piece(g: Gathering) -> Gathering:
    parts = Region(g.parts.low[:-1], g.parts.high[:-1])
    return replace(g, source=g.source[:-1], reader=g.reader[:-1], parts=parts)


def _without_a_row(g: Gathering) -> Gathering:
    high = g.parts.high.copy()
    high[0, 1] -= 1
    return replace(g, parts=Region(g.parts.low, high))


def _to_another_card(g: Gathering) -> Gathering:
    """The last piece goes to the reader of the first."""
    reader = g.reader.copy()
    reader[-1] = reader[0]
    return replace(g, reader=reader)


@pytest.mark.parametrize("fault", [_without_a_piece, _without_a_row, _to_another_card])
def test_faults_in_halos_stop_the_cards(fault: Callable[[Gathering], Gathering]) -> None:
    made, inputs = UNET
    cards = cards_of(made, *drawn_grid(5, inputs["x"].shape, 3))
    with pytest.raises(SimulationError, match="must be sent"):
        run_cards(cards, inputs, exchanges=changed(cards, fault))


def test_a_halo_of_the_wrong_place_shows() -> None:
    """A piece from one place further inside the card that sends it."""
    d = Drawing(np.random.default_rng(6))
    x = quantized("x", (1, 4, 12, 12), UINT8, 0.03, 100)
    d.conv(d.conv(x, 4), 4)
    made, inputs = graph(*d.calls), {"x": random_data(x, d.rng)}
    cards = cards_of(made, 2, 2)
    places = cards.cut.grid.places

    def moved(g: Gathering) -> Gathering:
        apart = places[g.source[0]] - places[g.reader[0]]
        step = np.zeros(g.parts.low.shape[1], np.int64)
        step[2:] = np.sign(apart)
        low, high = g.parts.low.copy(), g.parts.high.copy()
        low[0] += step
        high[0] += step
        return replace(g, parts=Region(low, high))

    expected = functional.run(made, inputs)
    found = run_cards(cards, inputs, exchanges=changed(cards, moved))
    assert any(found[name].tobytes() != array.tobytes() for name, array in expected.items())


def _sums(cards: Cards, change: Callable[[Joining], Joining]) -> Exchanges:
    joined = {name: change(each) for name, each in cards.exchanges.joinings.items()}
    return replace(cards.exchanges, joinings=joined)


def test_a_sum_that_misses_a_card_stops() -> None:
    made, inputs = UNET
    cards = cards_of(made, *drawn_grid(5, inputs["x"].shape, 3))
    assert cards.exchanges.joinings
    missing = _sums(cards, lambda each: replace(each, adders=each.adders[:-1]))
    with pytest.raises(SimulationError, match="must be sent with shape"):
        run_cards(cards, inputs, exchanges=missing)


def test_a_sum_with_a_card_twice_shows() -> None:
    made, inputs = UNET
    cards = cards_of(made, *drawn_grid(5, inputs["x"].shape, 3))
    twice = _sums(cards, lambda each: replace(each, adders=np.maximum(each.adders, 1)))
    expected = functional.run(made, inputs)
    found = run_cards(cards, inputs, exchanges=twice)
    assert any(found[name].tobytes() != array.tobytes() for name, array in expected.items())
