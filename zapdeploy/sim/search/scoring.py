"""What a layer takes under a cut, when its inputs lie where other cuts left them: scheduled.

A layer is scheduled by itself, after an idle array whose weight registers have been free for a
while. Over the layers of ResNet-50 these times add up to the whole network's within 0.3 %. Layers
of the same form, under the same cuts, are scheduled once.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from zapdeploy.compile.graph import Graph
from zapdeploy.compile.layers import Layer, group_layers, network_inputs
from zapdeploy.compile.mapping.mapper import LayerMapping, layer_form
from zapdeploy.compile.mapping.pricing import joules_of
from zapdeploy.compile.mapping.tiling import Cuts, space_of
from zapdeploy.compile.program.build import SharedWork, layer_program
from zapdeploy.compile.program.layer import lower_layer
from zapdeploy.compile.program.recutting import makers, mapped_layer
from zapdeploy.compile.regions import Region
from zapdeploy.hardware_targets import Target
from zapdeploy.sim.schedule.layer import schedule_layer

Factors = tuple[int, ...]
# Weights come early while the layer before drains: its last tile passes began about so long ago.
REGISTERS_FREE_CYCLES = 100


@dataclass(frozen=True, eq=False)
class Score:
    """One layer under one cut. `cycles`: scheduled by itself; `cost`: in the objective's unit."""

    mapping: LayerMapping
    cycles: int
    cost: float


class Scorer:
    """Schedules layers of one network one at a time, each combination of cuts once."""

    def __init__(self, graph: Graph, target: Target, objective: str) -> None:
        self.layers = group_layers(graph)
        self._target, self._objective = target, objective
        self._inputs = frozenset(value.name for value in network_inputs(graph))
        self._made = makers(graph, self.layers)
        self._forms: list[Hashable] = [self._form(layer) for layer in self.layers]
        self._shared = SharedWork(target)
        self._scores: dict[Hashable, Score] = {}
        self._cuts: dict[tuple[int, Factors], Cuts] = {}

    @property
    def scheduled(self) -> int:
        """Layers that have been scheduled so far."""
        return len(self._scores)

    def form(self, index: int) -> Hashable:
        """The same for layers that cost the same under the same cuts."""
        return self._forms[index]

    def sources(self, index: int) -> tuple[int, ...]:
        """The layers that leave in the cores what this one reads, read by read."""
        names = (read.source.name for read in self.layers[index].reads)
        return tuple(self._made[name] for name in names if name in self._made)

    def cuts(self, index: int, factors: Factors) -> Cuts:
        key = (index, factors)
        if key not in self._cuts:
            space = space_of(self.layers[index])
            self._cuts[key] = Cuts(space, np.array([factors], np.int64), self._target.cores)
        return self._cuts[key]

    def score(self, index: int, picks: Sequence[Factors]) -> Score:
        """A layer under its own pick, its inputs under the picks of their layers."""
        sources = tuple(picks[i] for i in self.sources(index))
        key = (self._forms[index], picks[index], sources)
        if key not in self._scores:
            self._scores[key] = self._scored(index, picks)
        return self._scores[key]

    def _form(self, layer: Layer) -> Hashable:
        """What layers scheduled alike share: their own form, and that of what they read."""
        shapes = []
        for read in layer.reads:
            source = self._made.get(read.source.name)
            shapes.append(None if source is None else space_of(self.layers[source]))
        return layer_form(layer), tuple(shapes)

    def _scored(self, index: int, picks: Sequence[Factors]) -> Score:
        layer, target = self.layers[index], self._target
        own = self.cuts(index, picks[index])
        left = {
            read.source.name: self.cuts(source, picks[source])
            for read in layer.reads
            if (source := self._made.get(read.source.name)) is not None
        }
        mapping = mapped_layer(layer, own, left, target)
        program = layer_program(mapping, self._inputs, self._shared)
        held = {n: Region(c.held.low[0], c.held.high[0]) for n, c in left.items()}
        events = lower_layer(index, layer, program, held, target)
        free = 2 * REGISTERS_FREE_CYCLES
        start = free + REGISTERS_FREE_CYCLES
        register_free = np.full(target.cores, free, np.int64)
        begin = start + ceil(target.programs.start_latency.value)
        cycles = schedule_layer(events, target, start, begin, register_free, free).cycles
        energy = joules_of(program.counts, cycles / target.clock_hz, target)
        return Score(mapping, cycles, energy if self._objective == "energy" else float(cycles))
