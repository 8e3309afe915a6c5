"""A schedule as the timeline that results, energy and traces are made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from zapdeploy.compile.mapping.memory import live_bytes
from zapdeploy.compile.program.program import Program
from zapdeploy.sim.schedule.collisions import check_collisions
from zapdeploy.sim.schedule.critical import critical_path
from zapdeploy.sim.schedule.loads import LayerLoad, layer_load, load_json, roofline
from zapdeploy.sim.schedule.program import Schedule, schedule
from zapdeploy.sim.timing import SCHEDULED, Span, Timeline, time_program


@dataclass(frozen=True, eq=False)
class ScheduledChip:
    """What a schedule says of a chip: its timeline; heat maps, memory and roofline as JSON."""

    timeline: Timeline
    array: dict[str, Any]


def scheduled_chip(program: Program) -> ScheduledChip:
    """Schedule a Program and look for collisions. Raises SimulationError."""
    found = schedule(program)
    for layer in found.layers:
        check_collisions(layer)
    loads = [layer_load(layer) for layer in found.layers]
    return ScheduledChip(_timeline(found, loads), _array_json(found, loads))


def _timeline(found: Schedule, loads: list[LayerLoad]) -> Timeline:
    """The timeline of a batch; transfers to and from the host as in the estimate."""
    spans = tuple(
        Span(load.layer, layer.begin, layer.end, load.busiest(), critical_path(layer))
        for layer, load in zip(found.layers, loads, strict=True)
    )
    return replace(time_program(found.program), spans=spans, level=SCHEDULED)


def _array_json(found: Schedule, loads: list[LayerLoad]) -> dict[str, Any]:
    program = found.program
    buffers = program.memory.buffers
    return {
        "rows": int(program.target.array.rows),
        "columns": int(program.target.array.columns),
        "layers": [
            {
                **load_json(load),
                "start_cycle": layer.begin,
                "live_bytes_per_core": live_bytes(buffers, index),
            }
            for index, (layer, load) in enumerate(zip(found.layers, loads, strict=True))
        ],
        "roofline": [vars(roof) for roof in roofline(program, found.layers)],
    }
