"""A schedule as the timeline that results, energy and traces are made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from zapdeploy.compile.layers import group_layers
from zapdeploy.compile.mapping.memory import live_bytes
from zapdeploy.compile.mapping.sharing import once, schedule_key
from zapdeploy.compile.noc.mesh import Mesh
from zapdeploy.compile.program.program import Program
from zapdeploy.sim.schedule.collisions import check_collisions
from zapdeploy.sim.schedule.critical import critical_path
from zapdeploy.sim.schedule.loads import LayerLoad, layer_load, load_json, roofline
from zapdeploy.sim.schedule.program import schedule
from zapdeploy.sim.timing import SCHEDULED, Span, Timeline, time_program


@dataclass(frozen=True, eq=False)
class ScheduledChip:
    """What a schedule says of a chip: its timeline; heat maps, memory and roofline as JSON."""

    timeline: Timeline
    array: dict[str, Any]


def scheduled_chip(program: Program) -> ScheduledChip:
    """Schedule a Program and look for collisions. Raises SimulationError."""
    cuts = tuple((layer.cut, layer.digits) for layer in program.layers)
    key = schedule_key(group_layers(program.graph), cuts, program.target)
    found = once(key, lambda: _checked(program))
    timeline = replace(time_program(program), spans=found.spans, level=SCHEDULED)
    return ScheduledChip(timeline, _array_json(program, found))


@dataclass(frozen=True, eq=False)
class _Scheduled:
    """What is kept of a schedule without collisions; none of it depends on where data lie."""

    spans: tuple[Span, ...]
    loads: tuple[LayerLoad, ...]
    roofline: list[dict[str, Any]]


def _checked(program: Program) -> _Scheduled:
    found = schedule(program)
    for layer in found.layers:
        check_collisions(layer)
    loads = tuple(layer_load(layer) for layer in found.layers)
    spans = tuple(
        Span(load.layer, layer.begin, layer.end, load.busiest(), critical_path(layer))
        for layer, load in zip(found.layers, loads, strict=True)
    )
    return _Scheduled(spans, loads, [vars(roof) for roof in roofline(program, found.layers)])


def _array_json(program: Program, found: _Scheduled) -> dict[str, Any]:
    buffers, mesh = program.memory.buffers, Mesh.of(program.target)
    return {
        "rows": mesh.rows,
        "columns": mesh.columns,
        "layers": [
            {
                **load_json(load),
                "start_cycle": span.start,
                "live_bytes_per_core": live_bytes(buffers, index),
            }
            for index, (span, load) in enumerate(zip(found.spans, found.loads, strict=True))
        ],
        "roofline": found.roofline,
    }
