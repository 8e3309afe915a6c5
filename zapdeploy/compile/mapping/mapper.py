"""Choose the cuts of all layers together.

For every layer the candidates are priced exactly (`cost.own_loads`). A transfer between two layers
costs at least what its busiest receiving port takes, which is known for all pairs of candidates
(`transfers.arrivals`); the exact load of every link takes longer to find. So: minimise the sum with
estimates, route the transfers of the choice exactly, put the exact costs in place of the estimates,
and repeat until a choice consists of exact costs alone. Minimising once with the lower bounds
instead says how far from the best the choice can be at most.

Layers of the same form, and pairs of them, are priced once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from zapdeploy.arrays import FloatArray
from zapdeploy.compile.graph import Value
from zapdeploy.compile.layers import Layer
from zapdeploy.compile.mapping.candidates import NEIGHBOURS, rank_cuts, with_neighbours
from zapdeploy.compile.mapping.cost import Loads, own_loads, read_region, read_slices, storage_bits
from zapdeploy.compile.mapping.pricing import price_loads
from zapdeploy.compile.mapping.select import Choice, choose
from zapdeploy.compile.mapping.tiling import Cuts, space_of
from zapdeploy.compile.noc.mesh import Mesh
from zapdeploy.compile.noc.transfers import (
    Traffic,
    arrivals,
    arrivals_from_afar,
    from_framebuffer,
    route,
)
from zapdeploy.compile.ops.base import operator
from zapdeploy.compile.regions import IntArray, Region, Slices
from zapdeploy.hardware_targets import Target
from zapdeploy.progress import Progress

Objective = Literal["throughput", "latency", "energy"]
_MEMORY_WEIGHTS = (0.0, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
_ROUNDS = 24
_PATIENCE = 8  # rounds without a cheaper choice
# Of choices that take equally long, the one that moves less and draws less is taken.
_MOVING = 1e-4
_TIES = 1e-4


# Transfers that were routed exactly, by what they carry where: mappers of networks that have layers
# in common may share them.
Routes = dict[bytes, Traffic]


@dataclass(frozen=True, eq=False)
class LayerMapping:
    """One layer with its chosen cut (a `Cuts` of one), what that costs, and its transfers."""

    layer: Layer
    cuts: Cuts
    loads: Loads
    traffic: tuple[Traffic, ...]
    form: Hashable = None  # equal for layers that cost the same under the same cut


@dataclass(frozen=True, eq=False)
class NetworkMapping:
    """The chosen cuts, in the order of the layers, their cost, and what any choice must cost."""

    layers: tuple[LayerMapping, ...]
    cost: float
    least_cost: float


@dataclass(frozen=True, eq=False)
class _Priced:
    """Candidates of one layer, priced; shared by layers of the same form and neighbourhood."""

    form: Hashable
    cuts: Cuts
    loads: Loads


@dataclass(frozen=True, eq=False)
class _Transfer:
    """A tensor on its way from one layer's candidates to another's; shared by equal pairs.

    `elements` [source candidates, reader candidates]: over the busiest link, exact where `routed`
    has the pair, else estimated; `least`: a lower bound.
    """

    held: Region
    needed: Region
    slices: Slices | None
    bits: int
    least: FloatArray
    elements: FloatArray
    routed: dict[tuple[int, int], Traffic] = field(default_factory=dict)

    def resolve(self, pair: tuple[int, int], target: Target, routes: Routes) -> bool:
        """Route a pair exactly; whether that was new."""
        if pair in self.routed:
            return False
        mesh = Mesh.of(target)
        held, needed = _only(self.held, pair[0]), _only(self.needed, pair[1])
        slices = None if self.slices is None else self.slices.pick(pair[1])
        key = _key(held, needed, slices, self.bits)
        if key not in routes:
            routes[key] = route(held, needed, self.bits, mesh, slices)
        self.routed[pair] = traffic = routes[key]
        self.elements[pair] = traffic.link_bytes * 8 / self.bits
        return True


@dataclass(frozen=True, eq=False)
class _Edge:
    source: int
    reader: int
    transfer: _Transfer


class Mapper:
    """Holds the priced candidates of one network, so that it can be mapped again under pressure."""

    def __init__(
        self,
        layers: tuple[Layer, ...],
        target: Target,
        objective: Objective,
        progress: Progress = lambda what, done, total: None,
        carried: Mapping[str, str] | None = None,
        width: float = 1.0,
        also: Sequence[tuple[int, ...]] = (),
        routes: Routes | None = None,
    ) -> None:
        """`carried`: tensors that lie where the frame before left them under another name.
        `width`: candidates, in times of the usual number; `also`: one more for each layer;
        `routes`: what was routed before on the same target."""
        self._routes: Routes = {} if routes is None else routes
        self.layers, self.target, self.objective = layers, target, objective
        self._progress, self._width, self._also = progress, width, also
        self._producer = {layer.output.name: i for i, layer in enumerate(layers)}
        for before, after in (carried or {}).items():
            self._producer[before] = self._producer[after]
        self._forms = [layer_form(layer) for layer in layers]
        self._reading = [reading_form(layer) for layer in layers]
        self._near = self._neighbours()
        self._priced = self._price_layers()
        self._edges, self._inputs = self._price_reads()

    def map(self, memory_weight: float = 0.0) -> NetworkMapping:
        """The best cuts; `memory_weight` is a price in objective units per byte in a core."""
        own = [self._own_cost(i, memory_weight) for i in range(len(self.layers))]
        least = _least_cost(own, self._pair_costs(least=True))
        cost, best, best_round = np.inf, None, 0
        for done in range(_ROUNDS):
            self._progress("choosing cuts", done, _ROUNDS)
            choice = choose(own, self._pair_costs())
            settled = not self._resolve(choice)
            found = self._cost(choice, own)
            if best is None or found < cost:
                cost, best, best_round = found, choice, done
            if settled or done - best_round >= _PATIENCE:
                break
        assert best is not None
        mapped = tuple(self._mapped(i, best) for i in range(len(self.layers)))
        return NetworkMapping(mapped, cost, min(least, cost))

    def candidates(self) -> list[list[tuple[int, ...]]]:
        """Factors of each layer's candidates, in the order of `estimates`."""
        return [[tuple(int(f) for f in row) for row in p.cuts.factors] for p in self._priced]

    def estimates(self) -> tuple[list[FloatArray], dict[tuple[int, int], FloatArray]]:
        """What is minimised: a table for each layer, and for pairs (source, reader) of layers."""
        return [self._own_cost(i, 0.0) for i in range(len(self.layers))], self._pair_costs()

    def _cost(self, choice: Choice, own: list[FloatArray]) -> float:
        """The cost of a choice whose transfers have been routed."""
        picks = choice.picks
        total = sum(float(table[pick]) for table, pick in zip(own, picks, strict=True))
        return total + sum(
            float(table[picks[source], picks[reader]])
            for (source, reader), table in self._pair_costs().items()
        )

    def memory_weights(self) -> tuple[float, ...]:
        """Prices to try, from none upwards, in this objective's unit per byte."""
        unit = 1.0 if self.objective != "energy" else self._joules_per_cycle()
        return tuple(weight * unit for weight in _MEMORY_WEIGHTS)

    def _neighbours(self) -> list[list[int]]:
        """Layers that write what each layer reads, or read what it writes."""
        near: list[list[int]] = [[] for _ in self.layers]
        for i, layer in enumerate(self.layers):
            for read in layer.reads:
                source = self._producer.get(read.source.name)
                if source is not None and source != i:
                    near[i].append(source)
                    near[source].append(i)
        return near

    def _price_layers(self) -> list[_Priced]:
        ranked: dict[Hashable, IntArray] = {}
        for i, (layer, form) in enumerate(zip(self.layers, self._forms, strict=True)):
            self._progress("ranking cuts", i, len(self.layers))
            if form not in ranked:
                ranked[form] = rank_cuts(layer, space_of(layer), self.target, self._width)
        done: dict[Hashable, _Priced] = {}
        found = []
        for i, (layer, form) in enumerate(zip(self.layers, self._forms, strict=True)):
            self._progress("pricing cuts", i, len(self.layers))
            near = list(dict.fromkeys(self._forms[n] for n in self._near[i]))
            also = [np.array([self._also[i]])] if self._also else []
            key = (form, frozenset(near), self._also[i] if self._also else ())
            if key not in done:
                space = space_of(layer)
                others = [*also, *(ranked[f][:NEIGHBOURS] for f in near)]
                factors = with_neighbours(space, ranked[form], others)
                cuts = Cuts(space, factors, self.target.cores)
                done[key] = _Priced(key, cuts, own_loads(layer, cuts, self.target))
            found.append(done[key])
        return found

    def _price_reads(self) -> tuple[list[_Edge], dict[tuple[int, int], list[Traffic]]]:
        """Edges between layers, and what candidates fetch from the framebuffer or themselves."""
        done: dict[Hashable, _Transfer] = {}
        needs: dict[Hashable, tuple[Region, Slices | None]] = {}
        edges, inputs = [], {}
        mesh = Mesh.of(self.target)
        for i, layer in enumerate(self.layers):
            self._progress("pricing transfers", i, len(self.layers))
            for order, read in enumerate(layer.reads):
                reader = (self._priced[i].form, self._reading[i], order)
                if reader not in needs:
                    cuts = self._priced[i].cuts
                    needs[reader] = read_region(read, cuts), read_slices(read, cuts)
                needed, slices = needs[reader]
                source = self._producer.get(read.source.name)
                bits = storage_bits(read.source, self.target)
                if source is None:
                    width = self.target.networks.activation.width.value
                    ratio = width / self.target.boundary_width
                    inputs[i, order] = from_framebuffer(needed, bits, mesh, ratio, slices)
                    continue
                held = self._priced[source].cuts.held
                if source == i:  # state that this layer updates: one cut on both sides
                    inputs[i, order] = _to_itself(held, needed, bits, mesh)
                    continue
                key = (self._priced[source].form, reader)
                if key not in done:
                    least = arrivals(held, needed, slices)
                    guess = np.maximum(least, arrivals_from_afar(held, needed, mesh, slices))
                    done[key] = _Transfer(held, needed, slices, bits, least, guess)
                edges.append(_Edge(source, i, done[key]))
        return edges, inputs

    def _own_cost(self, index: int, memory_weight: float) -> FloatArray:
        loads = self._priced[index].loads
        cycles = loads.busiest
        for order in range(len(self.layers[index].reads)):
            if (index, order) in self._inputs:
                width = self.target.networks.activation.width.value
                fetched = [t.link_bytes / width for t in self._inputs[index, order]]
                cycles = np.maximum(cycles, fetched)
        cost = cycles + loads.fill
        joules, per_cycle = price_loads(loads, self.target), self._joules_per_cycle()
        if self.objective == "energy":
            cost = joules + cost * per_cycle
        elif per_cycle > 0:  # a chip may be said to draw nothing while it waits
            cost = cost + _TIES * joules / per_cycle
        return cost + memory_weight * (loads.parameter_bytes + loads.held_bytes)

    def _joules_per_cycle(self) -> float:
        energy = self.target.energy
        return energy.price(energy.static_power) / self.target.clock_hz

    def _pair_costs(self, least: bool = False) -> dict[tuple[int, int], FloatArray]:
        pairs: dict[tuple[int, int], FloatArray] = {}
        for edge in self._edges:
            pair = (edge.source, edge.reader)
            elements = edge.transfer.least if least else edge.transfer.elements
            pairs[pair] = pairs.get(pair, 0.0) + self._edge_cost(edge, elements)
        return pairs

    def _edge_cost(self, edge: _Edge, elements: FloatArray) -> FloatArray:
        """What a transfer adds to the reader's time: the part that its own work does not hide.

        Several transfers of one layer share the hiding equally, which never understates their sum.
        """
        bytes_moved = elements * edge.transfer.bits / 8
        cycles = bytes_moved / self.target.networks.activation.width.value
        hidden = self._priced[edge.reader].loads.busiest / len(self.layers[edge.reader].reads)
        cost = np.maximum(cycles - hidden[None], 0.0) + _MOVING * cycles
        if self.objective != "energy":
            return cost
        return cost * self._joules_per_cycle() + bytes_moved * self._joules_per_moved_byte()

    def _joules_per_moved_byte(self) -> float:
        """Of a byte at the busiest core: all cores move about as much, over a few hops each."""
        energy, hops = self.target.energy, Mesh.of(self.target).mean_distance / 2
        per_byte = energy.price(energy.memory_byte)
        per_byte += 8 * hops * energy.price(energy.noc_bit_hop.activation)
        return per_byte * self.target.cores

    def _resolve(self, choice: Choice) -> bool:
        """Route every chosen transfer exactly; whether any was only bounded before."""
        fresh = [
            e.transfer.resolve(
                (choice.picks[e.source], choice.picks[e.reader]), self.target, self._routes
            )
            for e in self._edges
        ]
        return any(fresh)

    def _mapped(self, index: int, choice: Choice) -> LayerMapping:
        priced, pick = self._priced[index], choice.picks[index]
        edges = iter([e for e in self._edges if e.reader == index])
        traffic = []
        for order in range(len(self.layers[index].reads)):
            if (index, order) in self._inputs:
                traffic.append(self._inputs[index, order][pick])
                continue
            edge = next(edges)
            pair = (choice.picks[edge.source], pick)
            edge.transfer.resolve(pair, self.target, self._routes)
            traffic.append(edge.transfer.routed[pair])
        loads = _pick(priced.loads, pick)
        cuts = priced.cuts.pick(pick)
        return LayerMapping(self.layers[index], cuts, loads, tuple(traffic), self._forms[index])


def _least_cost(own: list[FloatArray], pairs: dict[tuple[int, int], FloatArray]) -> float:
    """A sum that no choice undercuts: the minimum, or each table's own where that is too large."""
    choice = choose(own, pairs)
    if choice.exact:
        return choice.cost
    return float(sum(table.min() for table in (*own, *pairs.values())))


def reading_form(layer: Layer) -> Hashable:
    """What else layers share that read the same places of equal tensors."""
    return tuple(tuple(sorted(call.node.attributes.items())) for call in layer.calls)


def layer_form(layer: Layer) -> Hashable:
    """What layers priced alike must share: operators, types, shapes, attributes, views."""
    calls = tuple(
        (
            call.node.op,
            tuple(sorted(operator(call.node.op).priced_attributes(call).items())),
            tuple(_value_form(v) for v in (*call.inputs, *call.outputs)),
            operator(call.node.op).element_work(call),  # depends on zero points
        )
        for call in layer.calls
    )
    position = {id(call): i for i, call in enumerate(layer.calls)}
    reads = tuple(
        (position[id(r.call)], r.input, tuple(_value_form(v.input(0)) for v in r.views))
        for r in layer.reads
    )
    return (calls, reads)


def _value_form(value: Value | None) -> Hashable:
    if value is None:
        return None
    quantization = value.quantization
    if quantization is None:
        return (value.shape, value.element, value.is_constant)
    zero_point = quantization.zero_point
    varied = bool(zero_point.any()), bool(np.ptp(zero_point))  # cost an addition, and storage
    return (value.shape, value.element, value.is_constant, quantization.axis, varied)


def _to_itself(held: Region, needed: Region, bits: int, mesh: Mesh) -> list[Traffic]:
    """A tensor that each candidate reads as it left it in the frame before."""
    return [route(_only(held, k), _only(needed, k), bits, mesh) for k in range(len(held.low))]


def _key(held: Region, needed: Region, slices: Slices | None, bits: int) -> bytes:
    """A digest of a transfer."""
    cut = None if slices is None else (slices.axis, slices.width)
    digest = hashlib.blake2b(str((bits, held.low.shape, cut)).encode(), digest_size=16)
    left_out = () if slices is None else (slices.wanted,)
    for edge in (*held, *needed, *left_out):
        digest.update(np.ascontiguousarray(edge).data)
    return digest.digest()


def _only(region: Region, index: int) -> Region:
    return Region(region.low[index : index + 1], region.high[index : index + 1])


def _pick(loads: Loads, index: int) -> Loads:
    """The loads of one candidate, still with a candidate axis of length 1."""
    picked: dict[str, Any] = {
        name: value[index : index + 1] if isinstance(value, np.ndarray) else value
        for name, value in vars(loads).items()
    }
    picked["cycles"] = {unit: c[index : index + 1] for unit, c in loads.cycles.items()}
    return Loads(**picked)
