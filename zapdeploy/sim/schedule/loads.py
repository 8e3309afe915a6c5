"""How busy every core and link was: for the timeline, the report's pictures and the roofline."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from zapdeploy.compile.noc.mesh import Mesh, trees
from zapdeploy.compile.program.program import Program
from zapdeploy.compile.regions import IntArray
from zapdeploy.sim.schedule.collisions import partial_sum_mesh
from zapdeploy.sim.schedule.layer import LayerSchedule
from zapdeploy.sim.schedule.link_reservation import link_cycles


@dataclass(frozen=True, eq=False)
class LayerLoad:
    """Busy cycles in one layer: of the units of every core, by unit [rows, columns], and of the
    links that leave every core, by network and direction [rows, columns]."""

    layer: str
    cycles: int
    units: dict[str, IntArray]
    links: dict[str, dict[str, IntArray]]

    def busiest(self) -> dict[str, int]:
        """Of every unit the busiest core's cycles, of every network the busiest link's."""
        units = {name: int(busy.max()) for name, busy in self.units.items()}
        networks = {
            f"{name}_network": max(int(busy.max()) for busy in directions.values())
            for name, directions in self.links.items()
        }
        return units | networks


def layer_load(layer: LayerSchedule) -> LayerLoad:
    """The busy cycles of one layer."""
    target, mesh = layer.target, Mesh.of(layer.target)
    program = mesh.grid(np.zeros(mesh.cores, np.int64))
    width = target.networks.instruction.width.value
    program[:] = ceil(target.programs.bytes_per_layer.value / width)
    return LayerLoad(
        layer=layer.events.program.name,
        cycles=layer.cycles,
        units={name: mesh.grid(busy) for name, busy in _units(layer).items()},
        links={
            "model": mesh.by_direction(link_cycles(layer.model)),
            "activation": mesh.by_direction(link_cycles(layer.arrived.reservations)),
            "partial_sum": mesh.by_direction(_partial_sum_links(layer)),
            "instruction": {"east": program},
        },
    )


def _units(layer: LayerSchedule) -> dict[str, IntArray]:
    """Busy cycles of every core's units [cores]."""
    trace, work, target = layer.trace, layer.work, layer.target
    matrix = (trace.tile_pass_end - trace.tile_pass_start - trace.tile_pass_stretch).sum(axis=1)
    width = int(target.core.memory_port.width)
    input_bytes = target.core.matrix_unit.input_bytes(layer.events.work.mac_bits)
    moved = work.port_bytes + matrix * input_bytes
    moved = moved + work.own_bytes * work.accumulator_tiles + _network_bytes(layer)
    return {
        "matrix": matrix,
        "vector": work.vector_cycles,
        "activation": work.activation_cycles,
        "memory_port": -(-moved // width),
    }


def _network_bytes(layer: LayerSchedule) -> IntArray:
    """Bytes that each core sends and receives through its port [cores]."""
    cores = layer.target.cores
    size = np.zeros(cores, np.int64)
    for sending in layer.arrived.sendings:
        messages = sending.delivery.messages
        bits = messages.elements * messages.bits
        inside = messages.senders >= 0
        sent = np.bincount(messages.senders[inside], bits[inside].astype(float), cores)
        size += ((sent + bits @ messages.receivers.astype(np.int64)) / 8).astype(np.int64)
    sent_weights = layer.sent_weights
    senders = layer.events.parameters.messages.senders[sent_weights[:, 0]]
    size += np.bincount(senders, sent_weights[:, 3].astype(float), cores).astype(np.int64)
    return size


def _partial_sum_links(layer: LayerSchedule) -> IntArray:
    mesh, sums = partial_sum_mesh(layer), layer.events.partial_sums
    return trees(mesh, sums).uses(mesh.links, layer.work.sending_cycles[sums.senders])


@dataclass(frozen=True)
class Roof:
    """One layer under the roofline: operations per byte of memory traffic, what it attains and what
    the machine would allow, in operations per second."""

    layer: str
    operations_per_byte: float
    attained_ops_s: float
    roof_ops_s: float


def roofline(program: Program, layers: tuple[LayerSchedule, ...]) -> tuple[Roof, ...]:
    """The layers with matrix work under their roofs."""
    target = program.target
    unit, clock_hz = target.core.matrix_unit, target.clock_hz
    bandwidth = target.cores * target.core.memory_port.width.value * clock_hz
    found = []
    for layer in layers:
        compiled = layer.events.program
        if not compiled.macs:
            continue
        operations = compiled.macs * unit.ops_per_mac.value
        peak = target.cores * unit.macs_per_cycle(compiled.bits) * unit.ops_per_mac.value * clock_hz
        intensity = operations / max(compiled.counts.memory_bytes, 1)
        attained = operations / (layer.cycles / clock_hz)
        found.append(Roof(compiled.name, intensity, attained, min(peak, intensity * bandwidth)))
    return tuple(found)


def load_json(load: LayerLoad) -> dict[str, Any]:
    """A layer's loads as nested lists [rows][columns]; of links the busiest that leaves a core."""
    return {
        "layer": load.layer,
        "cycles": load.cycles,
        "busy_cycles": {name: busy.tolist() for name, busy in load.units.items()},
        "link_cycles": {
            network: np.maximum.reduce(list(directions.values())).tolist()
            for network, directions in load.links.items()
        },
    }
