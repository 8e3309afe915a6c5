"""The schedule of a batch: layer after layer, each over the whole array."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from zapdeploy.compile.noc.mesh import Mesh
from zapdeploy.compile.program.layer import Lowered, lower
from zapdeploy.compile.program.program import Program
from zapdeploy.hardware_targets import Target
from zapdeploy.sim.schedule.layer import LayerSchedule, schedule_layer


@dataclass(frozen=True, eq=False)
class Schedule:
    """All layers of one batch in integer cycles."""

    lowered: Lowered
    layers: tuple[LayerSchedule, ...]

    @property
    def program(self) -> Program:
        return self.lowered.program

    @property
    def cycles(self) -> int:
        """Until the outputs are in the framebuffer."""
        return self.layers[-1].end + self.program.output_cycles


def schedule(program: Program) -> Schedule:
    """Schedule a Program that fits, for its whole batch."""
    lowered, target = lower(program), program.target
    register_free = np.zeros(target.cores, np.int64)
    end, next_program, idle = 0, 0, 0
    found: list[LayerSchedule] = []
    for events in lowered.layers:
        begin = max(end, next_program)
        start = begin + ceil(target.programs.start_latency.value)
        layer = schedule_layer(events, target, end, start, register_free, max(next_program, idle))
        end, register_free = layer.end, layer.register_free
        next_program = start + _load_cycles(target)
        idle = max(idle, int(layer.model.end.max(initial=0)))
        found.append(layer)
    return Schedule(lowered, tuple(found))


def _load_cycles(target: Target) -> int:
    """Until the next layer's program, sent from one core when a layer starts, is in all cores."""
    network = target.networks.instruction
    mesh = Mesh.of(target, "instruction")
    length = ceil(target.programs.bytes_per_layer.value / network.width.value)
    return length + mesh.diameter * mesh.hop_latency
