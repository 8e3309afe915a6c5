"""What a compiled network costs: cycles, frames per second and joules, each with its provenance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zapdeploy.compile.pricing import Counts, energy_of, energy_parts, idle_energy
from zapdeploy.compile.program import LayerProgram, Program
from zapdeploy.quantities import Estimate, Provenance
from zapdeploy.sim.timing import Timeline, time_program

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class AtFrameRate:
    """A stream of frames slower than the chip: it idles in between."""

    frame_rate_hz: float
    energy_per_frame: Estimate
    busy_share: float
    keeps_up: bool


@dataclass(frozen=True, eq=False)
class Result:
    """A Program's cost per frame on its target. Energy is the target's boundary's, no more."""

    program: Program
    timeline: Timeline
    counts: Counts
    energy_per_frame: Estimate
    energy_parts: dict[str, Estimate]  # per frame, by kind of event
    at_frame_rate: AtFrameRate | None

    @property
    def batch(self) -> int:
        return self.program.options.batch

    @property
    def throughput_fps(self) -> float:
        return self.timeline.throughput_fps

    @property
    def latency_s(self) -> float:
        return self.timeline.latency_s

    @property
    def power_w(self) -> Estimate:
        """Mean power with frames back to back."""
        return self.energy_per_frame.scaled(self.throughput_fps)

    @property
    def bound_cycles(self) -> int:
        return sum(layer.bound_cycles for layer in self.program.layers)

    @property
    def bound_throughput_fps(self) -> float:
        return self.batch * self.timeline.clock_hz / self.bound_cycles

    @property
    def utilization(self) -> float:
        """Share of the matrix units' peak that the array delivers over the whole batch."""
        unit, cores = self.program.target.core.matrix_unit, self.program.target.cores
        ideal = sum(
            layer.macs / (cores * unit.macs_per_cycle(layer.bits))
            for layer in self.program.layers
            if layer.macs
        )
        return ideal / self.timeline.cycles

    def as_json(self) -> dict[str, Any]:
        """The JSON document of `compile` and `simulate` (SI units)."""
        rate = self.at_frame_rate
        return {
            **program_json(self.program),
            "clock_hz": self.timeline.clock_hz,
            "cycles": self.timeline.cycles,
            "latency_s": self.latency_s,
            "latency_array_s": self.timeline.array_s,
            "latency_host_s": self.timeline.host_in_s + self.timeline.host_out_s,
            "throughput_fps": self.throughput_fps,
            "bound_throughput_fps": self.bound_throughput_fps,
            "timing_kind": Provenance.SIMULATED.value,
            "utilization": self.utilization,
            "limiter": self.timeline.limiter,
            "energy_boundary": self.program.target.energy.boundary,
            "energy_per_frame_j": self.energy_per_frame.as_json(),
            "energy_parts_j": {k: e.as_json() for k, e in self.energy_parts.items()},
            "power_w": self.power_w.as_json(),
            "energy_at_frame_rate_j": None if rate is None else rate.energy_per_frame.as_json(),
            "keeps_up": None if rate is None else rate.keeps_up,
            "counts": self.counts.as_json(),
            "layers": [self._layer_json(layer) for layer in self.program.layers],
        }

    def _layer_json(self, layer: LayerProgram) -> dict[str, Any]:
        seconds = layer.cycles / self.timeline.clock_hz
        energy = energy_of(layer.counts, seconds, self.program.target)
        return {
            "name": layer.name,
            "op": layer.op,
            "cut": list(layer.cut),
            "cycles": layer.cycles,
            "bound_cycles": layer.bound_cycles,
            "fill_cycles": layer.fill_cycles,
            "unit_cycles": layer.unit_cycles,
            "limiter": layer.limiter,
            "macs": layer.macs,
            "bits": layer.bits,
            "energy_j": energy.value / self.batch,  # per frame, as the total
        }


def summarize(program: Program, frame_rate_hz: float | None = None) -> Result:
    """Time and price a Program that fits."""
    timeline = time_program(program)
    counts = sum((layer.counts for layer in program.layers), program.boundary_counts)
    batch, target = program.options.batch, program.target
    per_frame = energy_of(counts, timeline.interval_s, target).scaled(1 / batch)
    parts = energy_parts(counts, timeline.interval_s, target)
    return Result(
        program=program,
        timeline=timeline,
        counts=counts,
        energy_per_frame=per_frame,
        energy_parts={name: part.scaled(1 / batch) for name, part in parts.items()},
        at_frame_rate=None
        if frame_rate_hz is None
        else _streamed(per_frame, timeline, program, frame_rate_hz),
    )


def program_json(program: Program) -> dict[str, Any]:
    """The part of the JSON that a network that does not fit has, too."""
    memory = program.memory
    unfit = program.unfit
    return {
        "schema": SCHEMA_VERSION,
        "model": program.model,
        "target": program.target.name,
        "digest": program.digest,
        "version": program.version,
        "batch": program.options.batch,
        "chips": program.options.chips,
        "objective": program.options.objective,
        "fits": program.fits,
        "unfit": None
        if unfit is None
        else {
            "layer": unfit.layer,
            "what": unfit.what,
            "demanded": unfit.demanded,
            "limit": unfit.limit,
            "hints": list(unfit.hints),
        },
        "mapping_gap": program.mapping_gap,
        "memory": {
            "weights_bytes": memory.bytes_of("parameters") * program.target.cores,
            "activations_peak_bytes": memory.activations_peak * program.target.cores,
            "program_bytes": memory.bytes_of("program") * program.target.cores,
            "per_core_peak_bytes": memory.peak,
            "per_core_limit_bytes": memory.limit,
        },
    }


def _streamed(
    active: Estimate, timeline: Timeline, program: Program, frame_rate_hz: float
) -> AtFrameRate:
    """Energy per frame when one comes every 1 / frame_rate_hz seconds."""
    busy = timeline.interval_s / timeline.batch
    idle = idle_energy(max(1 / frame_rate_hz - busy, 0.0), program.target)
    energy = Estimate(
        active.value + idle.value, active.low + idle.low, active.high + idle.high, active.kind
    )
    return AtFrameRate(frame_rate_hz, energy, busy * frame_rate_hz, busy * frame_rate_hz <= 1)
