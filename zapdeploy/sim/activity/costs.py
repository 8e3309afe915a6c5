"""What values cost: the same events with zeros, with the data that were run, with random data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import stdev
from typing import Any

import numpy as np

from zapdeploy.compile.mapping.levels import Level, Levels, alternating, mean_levels, zeros
from zapdeploy.compile.mapping.pricing import Counts, energy_of, joules_of
from zapdeploy.compile.noc.mesh import SEND, Mesh
from zapdeploy.quantities import Estimate
from zapdeploy.sim.activity.counts import NETWORKS, LayerActivity, StageActivity, together
from zapdeploy.sim.performance import Performance

ZEROS, ACTUAL, RANDOM_DATA, WORST = "zeros", "actual", "random", "alternating"
CASES = (ZEROS, ACTUAL, RANDOM_DATA, WORST)
LayerLevels = tuple[dict[str, Level], ...]  # of the layers of all chips, then of the boundaries


@dataclass(frozen=True)
class Sample:
    """Which frames were counted: whole batches, spread evenly over those that were given."""

    batches: int
    frames: int
    frames_given: int


@dataclass(frozen=True, eq=False)
class ActivityCosts:
    """A pipeline's energy by what its values are.

    `stages`: what was counted in all sampled batches. `by_batch`: the levels of each, without and
    with gating.
    """

    performance: Performance
    stages: tuple[StageActivity, ...]
    sample: Sample
    by_batch: tuple[tuple[LayerLevels, LayerLevels], ...]

    @property
    def gated(self) -> bool:
        """Whether the target withholds products with a zero operand."""
        return self.performance.pipeline.target.energy.activity.gated

    @cached_property
    def layers(self) -> tuple[LayerActivity, ...]:
        """The layers of all stages."""
        return tuple(layer for stage in self.stages for layer in stage.layers)

    def energy(self, case: str, gated: bool) -> Estimate:
        """Joules of a frame, static power and all, with frames back to back."""
        found = self.performance
        seconds = found.chips * found.flow.interval_s
        levels = self._mean(self._levels(case, gated))
        energy = energy_of(found.counts, seconds, found.pipeline.target, 0.0, levels)
        return energy.scaled(1 / found.pipeline.micro_batch)

    def events_j(self, case: str, gated: bool) -> float:
        """Joules of a frame's events alone."""
        return self._events_j(self._levels(case, gated))

    def layer_j(self, number: int, case: str, gated: bool) -> float:
        """Joules of one layer's events in a frame."""
        counts, levels = self._counts[number], self._levels(case, gated)[number]
        return self._joules(counts, levels)

    def standard_error_j(self, gated: bool) -> float | None:
        """Of the mean of the batches' energies; None for a single batch."""
        if len(self.by_batch) < 2:
            return None
        found = [self._events_j(levels[gated]) for levels in self.by_batch]
        return stdev(found) / len(found) ** 0.5

    def _events_j(self, levels: LayerLevels) -> float:
        pairs = zip(self._counts, levels, strict=True)
        return sum(self._joules(counts, each) for counts, each in pairs)

    def _joules(self, counts: Counts, levels: Levels) -> float:
        target = self.performance.pipeline.target
        return joules_of(counts, 0.0, target, levels) / self.performance.pipeline.micro_batch

    def _mean(self, levels: LayerLevels) -> dict[str, Level]:
        return mean_levels(zip(map(vars, self._counts), levels, strict=True))

    @cached_property
    def _counts(self) -> tuple[Counts, ...]:
        """Of all layers, then of the boundaries of all chips."""
        stages = self.performance.pipeline.stages
        layers = [layer.counts for stage in stages for layer in stage.layers]
        return (*layers, *(stage.boundary_counts for stage in stages))

    def _levels(self, case: str, gated: bool) -> LayerLevels:
        if case == ACTUAL:
            return levels_of(self.stages, gated)
        events = tuple(vars(Counts()))
        same: dict[str, dict[str, Level]] = {
            ZEROS: zeros(events, gated),
            RANDOM_DATA: {},
            WORST: alternating(events),
        }
        return (same[case],) * len(self._counts)

    def as_json(self) -> dict[str, Any]:
        """The document's entry `activity` (SI units, per frame)."""
        error = self.standard_error_j(self.gated)
        return {
            "sample": {**vars(self.sample), "standard_error_j": error},
            "gates_zeros": self.gated,
            "energy_per_frame_j": {
                "constants": self.performance.energy_per_frame.as_json(),
                **{name: self._cases(g) for name, g in _GATING.items()},
            },
            "events_energy_per_frame_j": {
                name: {case: self.events_j(case, g) for case in CASES}
                for name, g in _GATING.items()
            },
            "layers": [self._layer_json(n) for n in range(len(self.layers))],
            "networks": {name: self._network_json(name) for name in NETWORKS},
            "cores": [self._cores_json(stage) for stage in self.stages],
        }

    def _cases(self, gated: bool) -> dict[str, Any]:
        return {case: self.energy(case, gated).as_json() for case in CASES}

    def _layer_json(self, number: int) -> dict[str, Any]:
        layer = self.layers[number]
        energy = {
            name: {case: self.layer_j(number, case, g) for case in CASES}
            for name, g in _GATING.items()
        }
        return {
            "name": layer.name,
            "products": layer.products.as_json(),
            "accumulators": layer.accumulators.as_json(),
            "memory": {name: words.as_json() for name, words in layer.memory.items()},
            "bit_hops": {name: words.as_json() for name, words in layer.hops.items()},
            "events_energy_j": energy,
            "saved_share": self.saved_share(number, self.gated),
        }

    def saved_share(self, number: int, gated: bool) -> float:
        """How much less a layer's events cost than with random data."""
        random = self.layer_j(number, RANDOM_DATA, gated)
        return 1 - self.layer_j(number, ACTUAL, gated) / random if random else 0.0

    def _network_json(self, name: str) -> dict[str, Any]:
        """All hops, and the link on which most bits toggle."""
        mesh = Mesh.of(self.performance.pipeline.target)
        links = together(layer.links[name] for layer in self.layers)
        busiest = int(links.toggles[: SEND * mesh.cores].argmax())
        hops = together(layer.hops[name] for layer in self.layers).as_json()
        toggles = int(links.toggles[busiest])
        return {**hops, "busiest_link": mesh.name(busiest), "busiest_link_toggles": toggles}

    def _cores_json(self, stage: StageActivity) -> dict[str, Any]:
        """Maps of one chip [rows][columns]."""
        mesh = Mesh.of(self.performance.pipeline.target)
        maps = {
            "macs": sum(layer.products.macs for layer in stage.layers),
            "zero_products": sum(layer.products.zero_products for layer in stage.layers),
            "operand_toggles": sum(layer.products.operand_toggles for layer in stage.layers),
            "memory_toggles": sum(
                words.toggles for layer in stage.layers for words in layer.memory.values()
            ),
        }
        return {name: mesh.grid(np.asarray(found)).tolist() for name, found in maps.items()}


_GATING: Mapping[str, bool] = {"without_gating": False, "with_gating": True}


def levels_of(stages: tuple[StageActivity, ...], gated: bool) -> LayerLevels:
    """Of the layers of all chips, then of their boundaries."""
    layers = [layer.levels(gated) for stage in stages for layer in stage.layers]
    return (*layers, *(stage.boundary_levels() for stage in stages))
