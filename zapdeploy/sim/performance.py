"""What a compiled network costs: cycles, frames per second and joules, each with its provenance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zapdeploy.compile.mapping.memory import MemoryPlan
from zapdeploy.compile.mapping.pricing import Counts, energy_of, energy_parts
from zapdeploy.compile.multichip.pipeline import Pipeline
from zapdeploy.compile.program.program import LayerProgram
from zapdeploy.quantities import Estimate, Provenance
from zapdeploy.sim.flow import Flow
from zapdeploy.sim.timing import SCHEDULED, Timeline


@dataclass(frozen=True)
class AtFrameRate:
    """A stream of frames slower than the chips: they idle in between."""

    frame_rate_hz: float
    energy_per_frame: Estimate
    busy_share: float
    keeps_up: bool


@dataclass(frozen=True, eq=False)
class StageResult:
    """What one chip does with a micro-batch."""

    layers: tuple[LayerProgram, ...]
    memory: MemoryPlan
    mapping_gap: float
    timeline: Timeline
    counts: Counts

    @property
    def bound_cycles(self) -> int:
        """The least that the stage's layers could take under any cut."""
        return sum(layer.bound_cycles for layer in self.layers)


@dataclass(frozen=True, eq=False)
class Performance:
    """A pipeline's cost per frame on its target. Energy is the target's boundary's, no more.

    `cycles`, `counts` and what is said of layers belong to one micro-batch. `arrays`: heat maps,
    memory and roofline of every chip, where it was scheduled.
    """

    pipeline: Pipeline
    stages: tuple[StageResult, ...]
    flow: Flow
    frame_rate_hz: float | None
    arrays: tuple[dict[str, Any], ...] = ()

    @property
    def batch(self) -> int:
        """Frames in a batch."""
        return self.pipeline.options.batch

    @property
    def chips(self) -> int:
        """How many chips the network is on."""
        return len(self.stages)

    @property
    def layers(self) -> tuple[LayerProgram, ...]:
        """The layers of all stages."""
        return tuple(layer for stage in self.stages for layer in stage.layers)

    @property
    def throughput_fps(self) -> float:
        """Of a steady stream of frames."""
        return self.pipeline.micro_batch / self.flow.interval_s

    @property
    def latency_s(self) -> float:
        """Of one batch alone."""
        return self.flow.latency_s

    @property
    def cycles(self) -> int:
        """Cycles that the arrays work, one after the other."""
        return sum(stage.timeline.cycles for stage in self.stages)

    @property
    def array_s(self) -> float:
        """Seconds that the arrays work, one after the other."""
        return sum(stage.timeline.array_s for stage in self.stages)

    @property
    def host_s(self) -> float:
        """Seconds on the host links, one transfer after the other."""
        return sum(s.timeline.host_in_s + s.timeline.host_out_s for s in self.stages)

    @property
    def transfer_latency_s(self) -> float:
        """Before the first bytes of all transfers, one after the other."""
        return sum(2 * s.timeline.transfer_latency_s for s in self.stages)

    @property
    def launch_s(self) -> float:
        """Launches of all chips, one after the other."""
        return sum(s.timeline.launch_s for s in self.stages)

    @property
    def limiter(self) -> str:
        """What sets the interval of the slowest stage."""
        return self.stages[self.flow.slowest].timeline.limiter

    @property
    def counts(self) -> Counts:
        """What happens in all stages in a micro-batch."""
        return sum((stage.counts for stage in self.stages), Counts())

    @property
    def energy_per_frame(self) -> Estimate:
        """All chips together, with frames back to back."""
        return self._energy(0.0).scaled(1 / self.pipeline.micro_batch)

    @property
    def energy_parts(self) -> dict[str, Estimate]:
        """Of a frame, by kind of event."""
        seconds, target = self.chips * self.flow.interval_s, self.pipeline.target
        parts = energy_parts(self.counts, seconds, target)
        return {name: part.scaled(1 / self.pipeline.micro_batch) for name, part in parts.items()}

    @property
    def power_w(self) -> Estimate:
        """Mean power of all chips with frames back to back."""
        return self.energy_per_frame.scaled(self.throughput_fps)

    @property
    def at_frame_rate(self) -> AtFrameRate | None:
        """At the frame rate that was asked for."""
        return None if self.frame_rate_hz is None else self.at(self.frame_rate_hz)

    @property
    def level(self) -> str:
        """Where the cycles come from: "scheduled", or the compiler's estimate."""
        return self.stages[0].timeline.level

    @property
    def timing_kind(self) -> Provenance:
        """Times of a schedule are simulated; the compiler's closed form is a model."""
        return Provenance.SIMULATED if self.level == SCHEDULED else Provenance.MODELLED

    @property
    def bound_cycles(self) -> int:
        """Of the stage whose bound is the highest."""
        return max(stage.bound_cycles for stage in self.stages)

    @property
    def bound_throughput_fps(self) -> float:
        """The rate that no cut of the layers could exceed."""
        return self.pipeline.micro_batch * self.pipeline.target.clock_hz / self.bound_cycles

    @property
    def utilization(self) -> float:
        """Share of the matrix units' peak that the arrays deliver while the busiest works."""
        unit, cores = self.pipeline.target.core.matrix_unit, self.pipeline.target.cores
        ideal = sum(
            layer.macs / (cores * unit.macs_per_cycle(layer.bits))
            for layer in self.layers
            if layer.macs
        )
        return ideal / (self.chips * max(stage.timeline.cycles for stage in self.stages))

    @property
    def mapping_gap(self) -> float:
        """The largest of the stages'."""
        return max(stage.mapping_gap for stage in self.stages)

    def stage_energy(self, stage: StageResult) -> Estimate:
        """What a frame costs on one chip, waiting for the slowest included."""
        energy = energy_of(stage.counts, self.flow.interval_s, self.pipeline.target)
        return energy.scaled(1 / self.pipeline.micro_batch)

    def at(self, frame_rate_hz: float) -> AtFrameRate:
        """Energy per frame when one comes every 1 / frame_rate_hz seconds."""
        busy = self.flow.interval_s / self.pipeline.micro_batch
        waiting_s = max(1 / frame_rate_hz - busy, 0.0) * self.pipeline.micro_batch
        energy = self._energy(waiting_s).scaled(1 / self.pipeline.micro_batch)
        return AtFrameRate(frame_rate_hz, energy, busy * frame_rate_hz, busy * frame_rate_hz <= 1)

    def _energy(self, waiting_s: float) -> Estimate:
        """Of a micro-batch on all chips, each of which then waits."""
        seconds, target = self.chips * self.flow.interval_s, self.pipeline.target
        return energy_of(self.counts, seconds, target, self.chips * waiting_s)
