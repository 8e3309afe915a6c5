"""The joint choice of cuts, against other choices and against all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from tests.networks import (
    NetworkBuilder,
    changed_target,
    mesh,
    mlp,
    northpole,
    resnet50,
    small_cnn,
)
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.layers import Layer, group_layers
from zapdeploy.compile.mapping import mapper as mapping_module
from zapdeploy.compile.mapping import select
from zapdeploy.compile.mapping.cost import own_loads, read_region, storage_bits
from zapdeploy.compile.mapping.mapper import Mapper, NetworkMapping, Objective, layer_form
from zapdeploy.compile.mapping.tiling import Cuts, space_of
from zapdeploy.compile.noc.mesh import Mesh
from zapdeploy.compile.noc.transfers import Traffic, from_framebuffer, route
from zapdeploy.compile.regions import IntArray
from zapdeploy.hardware_targets import Target

TIES = 0.01  # cycles
OBJECTIVES: tuple[Objective, ...] = ("throughput", "latency", "energy")


def mapped(graph: Graph, target: Target, objective: Objective = "throughput") -> NetworkMapping:
    return Mapper(group_layers(graph), target, objective).map()


class Costs:
    """The cost of any choice of cuts, put together here from the public parts."""

    def __init__(self, layers: tuple[Layer, ...], target: Target) -> None:
        self.layers, self.target = layers, target
        self.mesh = Mesh.of(target)
        self.producer = {layer.output.name: i for i, layer in enumerate(layers)}
        self.width = target.networks.activation.width.value

    def cuts(self, index: int, factors: IntArray) -> Cuts:
        return Cuts(space_of(self.layers[index]), factors[None], self.target.cores)

    def fetch(self, index: int, order: int, reader: Cuts, source: Cuts | None) -> Traffic:
        read = self.layers[index].reads[order]
        bits, needed = storage_bits(read.source, self.target), read_region(read, reader)
        if source is None:
            ratio = self.width / self.target.boundary_width
            return from_framebuffer(needed, bits, self.mesh, ratio)[0]
        return route(source.held, needed, bits, self.mesh)

    def objective(self, chosen: list[IntArray]) -> float:
        """What the mapper minimises: work and fill, and what transfers add to them."""
        total = 0.0
        for i, factors in enumerate(chosen):
            cuts = self.cuts(i, factors)
            loads = own_loads(self.layers[i], cuts, self.target)
            busy, extra = float(loads.busiest[0]), 0.0
            share = busy / max(len(self.layers[i].reads), 1)
            for order, read in enumerate(self.layers[i].reads):
                source = self.producer.get(read.source.name)
                at = None if source is None else self.cuts(source, chosen[source])
                cycles = self.fetch(i, order, cuts, at).link_bytes / self.width
                if source is None:
                    busy = max(busy, cycles)
                else:
                    extra += max(cycles - share, 0.0)
            total += busy + float(loads.fill[0]) + extra
        return total

    def cycles(self, chosen: list[IntArray]) -> float:
        """Cycles of all layers: the busiest unit, with all transfers of a layer on one network."""
        total = 0.0
        for i, factors in enumerate(chosen):
            cuts = self.cuts(i, factors)
            loads = own_loads(self.layers[i], cuts, self.target)
            moved = 0.0
            for order, read in enumerate(self.layers[i].reads):
                source = self.producer.get(read.source.name)
                at = None if source is None else self.cuts(source, chosen[source])
                moved += self.fetch(i, order, cuts, at).link_bytes
            total += max(float(loads.busiest[0]), moved / self.width) + float(loads.fill[0])
        return total


def choice_of(found: NetworkMapping) -> list[IntArray]:
    return [layer.cuts.factors[0] for layer in found.layers]


SMALL: dict[str, Callable[[], Graph]] = {
    "chain": lambda: mlp(2, (12, 20, 8)),
    "residual": lambda: _residual(),
    "two readers": lambda: _two_readers(),
}


def _residual() -> Graph:
    net = NetworkBuilder("residual")
    x = net.conv(net.input("x", (1, 4, 4, 4), 4), 8, 1, name="a")
    y = net.conv(x, 8, 3, name="b")
    return net.graph(net.node("Add", (y, x), name="add"))


def _two_readers() -> Graph:
    net = NetworkBuilder("two_readers")
    x = net.dense(net.input("x", (4, 8)), 8, name="a")
    left, right = net.dense(x, 4, name="b"), net.dense(x, 12, name="c")
    return net.graph(left, right)


@pytest.mark.parametrize("name", SMALL)
def test_no_other_choice_of_the_candidates_is_cheaper(name: str) -> None:
    """All of them are tried, on 2 x 2 cores; what only breaks ties is far below a cycle."""
    target = mesh(2, 2)
    layers = group_layers(SMALL[name]())
    mapper = Mapper(layers, target, "throughput")
    found = mapper.map()
    costs = Costs(layers, target)
    assert found.cost == pytest.approx(costs.objective(choice_of(found)), abs=TIES)
    candidates = [list(priced.cuts.factors) for priced in mapper._priced]
    least = min(costs.objective(list(choice)) for choice in _sample(candidates, 2000))
    assert found.cost <= least + TIES
    assert found.least_cost <= found.cost


@pytest.mark.parametrize("target", [mesh(4, 4), northpole()], ids=["4x4", "16x16"])
def test_the_cost_is_that_of_the_choice(target: Target) -> None:
    """Every transfer of the choice has been routed; no estimate is left in its cost."""
    for graph in (small_cnn(2), mlp(4, (512, 256, 128))):
        found = mapped(graph, target)
        expected = Costs(group_layers(graph), target).objective(choice_of(found))
        assert found.cost == pytest.approx(expected, abs=TIES * len(found.layers))


def _sample(candidates: list[list[IntArray]], most: int) -> list[tuple[IntArray, ...]]:
    """All combinations, or that many of them picked at random."""
    if np.prod([len(c) for c in candidates]) <= most:
        return list(product(*candidates))
    rng = np.random.default_rng(0)
    return [tuple(c[rng.integers(len(c))] for c in candidates) for _ in range(most)]


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("target", [mesh(4, 4), northpole()], ids=["4x4", "16x16"])
def test_the_cost_is_never_below_the_least(target: Target, objective: Objective) -> None:
    for graph in (small_cnn(2), mlp(4), small_cnn(1, bits=8)):
        found = mapped(graph, target, objective)
        assert 0 < found.least_cost <= found.cost


@pytest.mark.parametrize("axis", range(2))
def test_cheaper_than_cutting_all_layers_alike(axis: int) -> None:
    """A perceptron cut along the batch alone, or along the outputs alone."""
    graph = mlp(16, (128, 256, 64))
    layers = group_layers(graph)
    costs = Costs(layers, mesh(4, 4))
    by_hand = [np.array([16 if d == axis else 1 for d in range(3)]) for _ in layers]
    found = choice_of(mapped(graph, mesh(4, 4)))
    assert costs.cycles(found) < costs.cycles(by_hand)


def test_cheaper_than_each_layer_s_own_best() -> None:
    """What each layer likes best by itself makes more traffic."""
    graph = small_cnn(2, size=16, channels=32)
    layers = group_layers(graph)
    mapper = Mapper(layers, northpole(), "throughput")
    costs = Costs(layers, northpole())
    alone = [
        priced.cuts.factors[int(np.argmin(priced.loads.busiest + priced.loads.fill))]
        for priced in mapper._priced
    ]
    assert costs.objective(choice_of(mapper.map())) <= costs.objective(alone) + TIES


def test_the_gap_of_resnet50_is_small() -> None:
    """Whatever the bound leaves open, it is not more than 2 % of the cycles."""
    found = mapped(resnet50(32, 4), northpole())
    assert found.cost / found.least_cost < 1.02


def test_the_same_network_gives_the_same_cuts() -> None:
    first, second = (mapped(small_cnn(2), northpole()) for _ in range(2))
    assert first.cost == second.cost
    for a, b in zip(first.layers, second.layers, strict=True):
        assert np.array_equal(a.cuts.factors, b.cuts.factors)
        assert a.traffic == b.traffic


def test_traffic_is_that_of_the_chosen_cuts() -> None:
    graph, target = small_cnn(2), mesh(4, 4)
    layers = group_layers(graph)
    found, costs = mapped(graph, target), Costs(layers, target)
    chosen = choice_of(found)
    for i, layer in enumerate(found.layers):
        for order, read in enumerate(layers[i].reads):
            source = costs.producer.get(read.source.name)
            at = None if source is None else costs.cuts(source, chosen[source])
            assert layer.traffic[order] == costs.fetch(i, order, layer.cuts, at)


def test_loads_are_those_of_the_chosen_cuts() -> None:
    for layer in mapped(small_cnn(2), mesh(4, 4)).layers:
        alone = own_loads(layer.layer, layer.cuts, mesh(4, 4))
        assert vars(layer.loads).keys() == vars(alone).keys()
        assert layer.loads.busiest[0] == alone.busiest[0]
        assert layer.loads.memory_bytes[0] == alone.memory_bytes[0]


def test_a_price_on_memory_takes_less_of_it() -> None:
    """Replicas and gathers cost memory; a high price makes the fullest core emptier or as full."""

    def held(found: NetworkMapping) -> float:
        return sum(float(m.loads.parameter_bytes[0] + m.loads.held_bytes[0]) for m in found.layers)

    mapper = Mapper(group_layers(mlp(4, (64, 256, 64))), mesh(4, 4), "throughput")
    free, dear = mapper.map(0.0), mapper.map(10.0)
    assert held(dear) <= held(free)


def test_memory_is_first_free_then_dearer() -> None:
    for objective in OBJECTIVES:
        weights = Mapper(group_layers(mlp()), mesh(2, 2), objective).memory_weights()
        assert weights[0] == 0
        assert list(weights) == sorted(weights)


def test_without_room_for_tables_the_gap_stays_honest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lower bound must be one even when the choice is not exact."""
    exact = mapped(small_cnn(2), mesh(4, 4))
    monkeypatch.setattr(select, "LARGEST_TABLE", 1)
    rough = mapped(small_cnn(2), mesh(4, 4))
    assert rough.cost >= exact.least_cost
    assert rough.least_cost <= exact.least_cost


def _form(zero_point: int, bits: int = 8, outputs: int = 4) -> object:
    net = NetworkBuilder("n")
    a, b = net.input("a", (1, 8)), net.input("b", (8, outputs))
    (layer,) = group_layers(net.graph(net.node("MatMul", (a, b), bits, zero_point=zero_point)))
    return layer_form(layer)


def test_layers_are_of_one_form_only_if_they_cost_the_same() -> None:
    assert _form(0) == _form(0)
    assert _form(0) != _form(0, bits=4)
    assert _form(0) != _form(0, outputs=5)
    assert _form(0) != _form(3), "a zero point is an addition for every element"
    assert _form(3) == _form(4)


def test_a_movement_between_scales_is_another_form() -> None:
    """With equal scales the codes move as they are, otherwise each is requantized."""

    def form(scale: float) -> object:
        net = NetworkBuilder("n")
        net.max_pool(net.input("x", (1, 4, 8, 8), 4), 2, 2, 0)
        out = net.values["maxpool_out"]
        assert out.quantization is not None
        quantization = replace(out.quantization, scale=np.array([scale]))
        net.values["maxpool_out"] = replace(out, quantization=quantization)
        (layer,) = group_layers(net.graph("maxpool_out"))
        return layer_form(layer)

    assert form(0.1) == form(0.1)
    assert form(0.1) != form(0.2)
    assert form(0.2) == form(0.3)


def test_layers_of_one_form_are_priced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ResNet-50's 56 layers, a quarter repeat another one with the same neighbours."""
    priced: list[str] = []

    def counting(layer: Layer, cuts: Cuts, target: Target) -> object:
        priced.append(layer.name)
        return own_loads(layer, cuts, target)

    monkeypatch.setattr(mapping_module, "own_loads", counting)
    layers = group_layers(resnet50(2, 4))
    Mapper(layers, mesh(4, 4), "throughput")
    assert len(set(map(layer_form, layers))) <= len(priced) <= len(layers) * 0.75


def test_progress_names_what_is_done() -> None:
    steps: list[tuple[str, int, int]] = []
    layers = group_layers(mlp())
    Mapper(layers, mesh(2, 2), "throughput", lambda *step: steps.append(step)).map()
    assert list(dict.fromkeys(what for what, _, _ in steps)) == [
        "ranking cuts",
        "pricing cuts",
        "pricing transfers",
        "choosing cuts",
    ]
    assert all(0 <= done < total for _, done, total in steps)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_chip_without_static_power_is_mapped(objective: Objective) -> None:
    target = changed_target({"energy.static_power": "0 W"})
    found = mapped(small_cnn(1), target, objective)
    assert 0 < found.least_cost <= found.cost < float("inf")
