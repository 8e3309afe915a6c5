"""A result in turn as a table, and as a JSON document (SI units)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from zapdeploy.formatting import count, quantity
from zapdeploy.sim.space.summary import MODELLED, answer_table, energy_rows
from zapdeploy.sim.space.turns_time import TurnsPerformance
from zapdeploy.tables import Table

SCHEMA_VERSION = 1


def turns_table(result: TurnsPerformance) -> Table:
    """The answer: speed, energy, what it waits for."""
    program, kind = result.program, result.timing_kind.value
    into, out = map(sum, zip(*(r.moved_bytes(program.target) for r in program.rounds), strict=True))
    waits = result.waits_s
    rows = [
        ("frames per second", f"{result.throughput_fps:,.3g}", kind),
        ("  passes for a frame", str(result.passes), kind),
        ("  limited by", result.limiter, kind),
        ("latency of a frame", quantity(result.latency_s, "s"), kind),
        ("a pass of all boxes", quantity(result.pass_s, "s"), kind),
        ("  of which computing", quantity(waits["array"], "s"), kind),
        ("  of which waiting for the host link", quantity(waits["host link"], "s"), MODELLED),
        ("rounds, one after the other", str(len(result.rounds)), kind),
        ("from the host in a pass", f"{count(into)} B", kind),
        ("to the host in a pass", f"{count(out)} B", kind),
        *energy_rows(result),
    ]
    return answer_table(result, rows)


def rounds_table(result: TurnsPerformance) -> Table:
    """A row for each round."""
    rows = []
    for number, (each, of, one) in enumerate(
        zip(result.rounds, result.program.rounds, result.program.programs, strict=True)
    ):
        into, out = of.moved_bytes(result.program.target)
        seconds = (each.link_in_s, each.array_s, each.link_out_s, each.seconds)
        rows.append(
            (
                str(number + 1),
                str(len(one.layers)),
                str(len(of.cards.models)),
                *(quantity(s, "s") for s in seconds),
                count(into),
                count(out),
                f"{one.memory.peak / 1024:.0f} KiB",
            )
        )
    columns = (
        "round", "layers", "kinds of boxes", "link in", "computing", "link out", "in all",
        "bytes in", "bytes out", "fullest core",
    )  # fmt: skip
    return Table("rounds", columns, rows)


def turns_json(result: TurnsPerformance) -> dict[str, Any]:
    """The document of `compile` and `simulate`."""
    program, waiting = result.program, result.energy_at_frame_rate
    return {
        "schema": SCHEMA_VERSION,
        "model": program.model,
        "target": program.target.name,
        "digest": program.digest,
        "version": program.version,
        "batch": program.options.batch,
        "split": "turns",
        "chips": program.cards,
        "boxes": program.grid.cards,
        "box_grid": list(program.grid.parts),
        "objective": program.options.objective,
        "effort": program.options.effort,
        "fits": True,
        "passes": result.passes,
        "latency_s": result.latency_s,
        "throughput_fps": result.throughput_fps,
        "pass_s": result.pass_s,
        "waits_s": result.waits_s,
        "limiter": result.limiter,
        "timing_kind": result.timing_kind.value,
        "timing_level": result.level,
        "energy_boundary": program.target.energy.boundary,
        "energy_per_frame_j": result.energy_per_frame.as_json(),
        "power_w": result.power_w.as_json(),
        "energy_at_frame_rate_j": None if waiting is None else waiting.as_json(),
        "keeps_up": result.keeps_up,
        "counts": result.counts.as_json(),
        "rounds": [_round_json(result, number) for number in range(len(result.rounds))],
    }


def _round_json(result: TurnsPerformance, number: int) -> dict[str, Any]:
    program, of = result.program.programs[number], result.program.rounds[number]
    into, out = of.moved_bytes(result.program.target)
    return {
        "round": number,
        **asdict(result.rounds[number]),
        "layers": [layer.name for layer in program.layers],
        "kinds_of_boxes": len(of.cards.models),
        "from_host_bytes": into,
        "to_host_bytes": out,
        "per_core_peak_bytes": program.memory.peak,
        "per_core_limit_bytes": program.memory.limit,
    }
