"""The JSON documents of a network cut over space (SI units)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from zapdeploy.compile.space.program import SpaceProgram
from zapdeploy.sim.space.performance import SpacePerformance

SCHEMA_VERSION = 1


def program_json(program: SpaceProgram) -> dict[str, Any]:
    """What a network that does not fit has, too."""
    return {
        "schema": SCHEMA_VERSION,
        "model": program.model,
        "target": program.target.name,
        "digest": program.digest,
        "version": program.version,
        "batch": program.options.batch,
        "split": "space",
        "chips": program.grid.cards,
        "chip_grid": list(program.grid.parts),
        "objective": program.options.objective,
        "effort": program.options.effort,
        "fits": program.fits,
        "unfit": None if program.violation is None else asdict(program.violation),
    }


def space_json(result: SpacePerformance) -> dict[str, Any]:
    """The document of `compile` and `simulate`."""
    waiting = result.energy_at_frame_rate
    return {
        **program_json(result.program),
        "passes": result.passes,
        "latency_s": result.latency_s,
        "throughput_fps": result.throughput_fps,
        "pass_s": result.pass_s,
        "link_s": result.link_s,
        "waits_s": result.waits_s,
        "limiter": result.limiter,
        "timing_kind": result.timing_kind.value,
        "timing_level": result.level,
        "energy_boundary": result.program.target.energy.boundary,
        "energy_per_frame_j": result.energy_per_frame.as_json(),
        "energy_parts_j": {name: part.as_json() for name, part in result.energy_parts.items()},
        "power_w": result.power_w.as_json(),
        "energy_at_frame_rate_j": None if waiting is None else waiting.as_json(),
        "keeps_up": result.keeps_up,
        "counts": result.counts.as_json(),
        "exchanges": [
            {
                "name": each.name,
                "value": each.value,
                "bytes": int(each.out_bytes.sum()),
                "most_out_bytes": int(each.out_bytes.max()),
                "most_in_bytes": int(each.in_bytes.max()),
            }
            for each in result.flow.traffic
        ],
        "kinds": [_kind_json(result, kind) for kind in range(len(result.timelines))],
        "cards": [_card_json(result, card) for card in range(result.program.grid.cards)],
    }


def _kind_json(result: SpacePerformance, kind: int) -> dict[str, Any]:
    program, timeline = result.program.programs[kind], result.timelines[kind]
    return {
        "kind": kind,
        "cards": result.program.cards.kinds.count(kind),
        "cycles": timeline.cycles,
        "array_s": timeline.array_s,
        "per_core_peak_bytes": program.memory.peak,
        "per_core_limit_bytes": program.memory.limit,
        "layers": [
            {
                "name": layer.name,
                "op": layer.op,
                "cut": list(layer.cut),
                "cycles": span.end - span.start,
                "macs": layer.macs,
                "limiter": span.limiter,
            }
            for layer, span in zip(program.layers, timeline.spans, strict=True)
        ],
    }


def _card_json(result: SpacePerformance, card: int) -> dict[str, Any]:
    flow, cards = result.flow, result.program.cards
    waiting = float(flow.halo_wait_s[card] + flow.sum_wait_s[card])
    return {
        "card": card,
        "place": cards.cut.grid.places[card].tolist(),
        "kind": cards.kinds[card],
        "busy_share": (float(flow.ended_s[card]) - waiting) / result.interval_s,
        "halo_wait_s": float(flow.halo_wait_s[card]),
        "sum_wait_s": float(flow.sum_wait_s[card]),
        "out_bytes": int(flow.out_bytes[card]),
        "in_bytes": int(flow.in_bytes[card]),
    }
