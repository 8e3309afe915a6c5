"""What one core does, tile pass by tile pass and output tile by output tile, for a trace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from zapdeploy.compile.noc.mesh import Mesh
from zapdeploy.sim.schedule import machine
from zapdeploy.sim.schedule.layer import LayerSchedule
from zapdeploy.sim.schedule.program import Schedule

_WAITED_FOR = {
    machine.LAYER: "the layer's start",
    machine.MATRIX: "the matrix unit",
    machine.WEIGHTS: "weights from the model network",
    machine.OWN_WEIGHTS: "weights from its own memory",
    machine.INPUTS: "inputs from the activation network",
    machine.ACCUMULATORS: "accumulators to drain",
    machine.OUTPUT_TILE: "the output tile before",
    machine.OPERANDS: "operands from the activation network",
    machine.PARTIAL_SUMS: "partial sums of another core",
}


@dataclass(frozen=True)
class CoreEvent:
    """[start, end) in cycles of the batch; `waited_for`: what kept it from starting earlier."""

    track: str
    name: str
    start: int
    end: int
    waited_for: str


def core_events(found: Schedule, core: int) -> Iterator[CoreEvent]:
    """Tile passes of the matrix unit, and output tiles in the vector and activation units, of one
    core."""
    row, column = Mesh.of(found.program.target).position(core)
    where = f"core ({row}, {column})"
    for layer in found.layers:
        yield from _tile_passes(layer, core, f"{where} matrix")
        yield from _output_tiles(layer, core, f"{where} vector and activation")


def _tile_passes(layer: LayerSchedule, core: int, track: str) -> Iterator[CoreEvent]:
    trace, work = layer.trace, layer.work
    count = int((work.sets[:, core] * work.vectors[:, core]).sum()) * work.accumulator_tiles
    rows = zip(
        trace.tile_pass_start[core, :count].tolist(),
        trace.tile_pass_end[core, :count].tolist(),
        trace.tile_pass_cause[core, :count].tolist(),
        strict=True,
    )
    for number, (start, end, cause) in enumerate(rows):
        name = f"{layer.events.program.name} tile pass {number}"
        yield CoreEvent(track, name, start, end, _WAITED_FOR[cause])


def _output_tiles(layer: LayerSchedule, core: int, track: str) -> Iterator[CoreEvent]:
    trace, work = layer.trace, layer.work
    count = int(work.output_tiles[:, core].sum()) * work.accumulator_tiles
    rows = zip(
        trace.output_tile_start[core, :count].tolist(),
        trace.output_tile_end[core, :count].tolist(),
        trace.start_cause[core, :count].tolist(),
        strict=True,
    )
    for number, (start, end, cause) in enumerate(rows):
        name = f"{layer.events.program.name} output tile {number}"
        yield CoreEvent(track, name, start, end, _WAITED_FOR[cause])
