"""The JSON documents that the command line's contract names (SI units)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from zapdeploy.compile.mapping import cost
from zapdeploy.compile.mapping.memory import MemoryPlan
from zapdeploy.compile.mapping.pricing import joules_of
from zapdeploy.compile.multichip.pipeline import Pipeline, single
from zapdeploy.compile.program.program import LayerProgram, Program
from zapdeploy.sim.performance import Performance
from zapdeploy.sim.sequences import sequences_of
from zapdeploy.sim.timing import Span

SCHEMA_VERSION = 1


def result_json(result: Performance) -> dict[str, Any]:
    """The document of `compile` and `simulate`."""
    rate = result.at_frame_rate
    return {
        **_head_json(result.pipeline, [s.memory for s in result.stages], result.mapping_gap),
        "clock_hz": result.pipeline.target.clock_hz,
        "cycles": result.cycles,
        "latency_s": result.latency_s,
        "latency_array_s": result.array_s,
        "latency_host_s": result.host_s,
        "latency_transfers_s": result.transfer_latency_s,
        "latency_launch_s": result.launch_s,
        "throughput_fps": result.throughput_fps,
        "bound_throughput_fps": result.bound_throughput_fps,
        "timing_kind": result.timing_kind.value,
        "timing_level": result.level,
        "utilization": result.utilization,
        "limiter": result.limiter,
        "energy_boundary": result.pipeline.target.energy.boundary,
        "energy_per_frame_j": result.energy_per_frame.as_json(),
        "energy_parts_j": {k: e.as_json() for k, e in result.energy_parts.items()},
        "power_w": result.power_w.as_json(),
        "energy_at_frame_rate_j": None if rate is None else rate.energy_per_frame.as_json(),
        "keeps_up": None if rate is None else rate.keeps_up,
        "counts": result.counts.as_json(),
        "layers": [
            {**_layer_json(result, layer, span), "chip": chip}
            for chip, stage in enumerate(result.stages)
            for layer, span in zip(stage.layers, stage.timeline.spans, strict=True)
        ],
        "stages": [_stage_json(result, chip) for chip in range(result.chips)],
        "links": [asdict(link) for link in result.pipeline.links],
        "sequences": None if (found := sequences_of(result)) is None else asdict(found),
        **({"array": list(result.arrays)} if result.arrays else {}),
    }


def _layer_json(result: Performance, layer: LayerProgram, span: Span) -> dict[str, Any]:
    cycles = span.end - span.start
    seconds = cycles / result.pipeline.target.clock_hz
    energy_j = joules_of(layer.counts, seconds, result.pipeline.target)
    return {
        "name": layer.name,
        "op": layer.op,
        "cut": list(layer.cut),
        "cycles": cycles,
        "estimated_cycles": layer.cycles,
        "bound_cycles": layer.bound_cycles,
        "fill_cycles": layer.fill_cycles,
        "unit_cycles": span.unit_cycles,
        "waited_for_cycles": span.waits,
        "limiter": span.limiter,
        "macs": layer.macs,
        "bits": layer.bits,
        "energy_j": energy_j / result.pipeline.micro_batch,  # per frame, as the total
    }


def _stage_json(result: Performance, chip: int) -> dict[str, Any]:
    stage = result.stages[chip]
    timeline, memory = stage.timeline, stage.memory
    return {
        "chip": chip,
        "first_layer": stage.layers[0].name,
        "layers": len(stage.layers),
        "cycles": timeline.cycles,
        "array_s": timeline.array_s,
        "host_in_s": timeline.host_in_s,
        "host_out_s": timeline.host_out_s,
        "interval_s": timeline.interval_s,
        "busy_share": timeline.interval_s / result.flow.interval_s,
        "limiter": timeline.limiter,
        "per_core_peak_bytes": memory.peak,
        "energy_per_frame_j": result.stage_energy(stage).as_json(),
    }


def program_json(program: Pipeline | Program) -> dict[str, Any]:
    """The part of the JSON that a network that does not fit has, too."""
    pipeline = single(program) if isinstance(program, Program) else program
    plans, gaps = zip(
        *((stage.memory, stage.mapping_gap) for stage in pipeline.stages), strict=True
    )
    return _head_json(pipeline, plans, max(gaps))


def widened(pipeline: Pipeline) -> dict[tuple[int, int], int]:
    """How many integer tensors of all stages are stored wider than they are: see `cost.widened`."""
    found: Counter[tuple[int, int]] = Counter()
    for stage in pipeline.stages:
        found.update(cost.widened(stage.graph, pipeline.target))
    return dict(sorted(found.items()))


def _head_json(pipeline: Pipeline, plans: Sequence[MemoryPlan], gap: float) -> dict[str, Any]:
    cores = pipeline.target.cores
    return {
        "schema": SCHEMA_VERSION,
        "model": pipeline.model,
        "target": pipeline.target.name,
        "digest": pipeline.digest,
        "version": pipeline.version,
        "batch": pipeline.options.batch,
        "micro_batch": pipeline.micro_batch,
        "chips": pipeline.options.chips,
        "objective": pipeline.options.objective,
        "effort": pipeline.options.effort,
        "fits": pipeline.fits,
        "unfit": None if pipeline.violation is None else asdict(pipeline.violation),
        "mapping_gap": gap,
        "widened": [
            {"bits": bits, "stored_bits": stored, "tensors": count}
            for (bits, stored), count in widened(pipeline).items()
        ],
        "memory": {
            "weights_bytes": cores * sum(plan.bytes_of("parameters") for plan in plans),
            "activations_peak_bytes": cores * sum(plan.activations_peak for plan in plans),
            "state_bytes": cores * sum(plan.bytes_of("state") for plan in plans),
            "program_bytes": cores * sum(plan.bytes_of("program") for plan in plans),
            "per_core_peak_bytes": max(plan.peak for plan in plans),
            "per_core_limit_bytes": plans[0].limit,
        },
    }
