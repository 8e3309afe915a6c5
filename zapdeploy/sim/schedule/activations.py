"""The schedule of the activation network: which packet of which tensor leaves when.

Packets go out in the order in which they are read first, the longer ways before the shorter; each
at the earliest cycle at which all its links and ports are free.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from zapdeploy.compile.kernels.jit import compiled
from zapdeploy.compile.noc.mesh import Mesh, Trees, trees
from zapdeploy.compile.program.activations import Delivery
from zapdeploy.compile.program.layer import LayerEvents
from zapdeploy.compile.regions import IntArray
from zapdeploy.hardware_targets import Target
from zapdeploy.sim.schedule.access_pattern import AccessPattern, Boxes, boxes_read, loop_order
from zapdeploy.sim.schedule.link_reservation import (
    BusyCycles,
    Reservations,
    busy_from,
    first_common,
    mark_busy,
    no_reservations,
    send,
)
from zapdeploy.sim.schedule.machine import Arrivals, Work
from zapdeploy.sim.schedule.packets import Packets, packets


@dataclass(frozen=True, eq=False)
class Sending:
    """One tensor on its way: packets, their trees (of their messages), lengths and starts."""

    delivery: Delivery
    patterns: AccessPattern
    packets: Packets
    trees: Trees
    cycles: IntArray
    start: IntArray


@dataclass(frozen=True, eq=False)
class Arrived:
    """All tensors of a layer, the links' busy times, and when each core has what it reads."""

    sendings: tuple[Sending, ...]
    reservations: Reservations
    arrivals: Arrivals


@dataclass(frozen=True, eq=False)
class Fetched:
    """What holds of all that a layer fetches, in whatever order: boxes, and the messages' trees."""

    boxes: tuple[Boxes, ...]
    trees: tuple[Trees, ...]


def fetched(events: LayerEvents, work: Work, mesh: Mesh, target: Target) -> Fetched:
    """What each unit of work waits for."""
    return Fetched(
        boxes_read(events, work.accumulator_tiles, target),
        tuple(trees(mesh, delivery.messages) for delivery in events.deliveries),
    )


def send_activations(
    events: LayerEvents,
    work: Work,
    found: Fetched,
    mesh: Mesh,
    target: Target,
    start: int,
    held_first: bool,
) -> Arrived:
    """Schedule everything a layer fetches, from the layer's start on (`held_first`: see
    `loop_order`)."""
    steps = loop_order(events, found.boxes, work.accumulator_tiles, held_first)
    prepared = [
        _prepare(delivery, patterns, ways, mesh, target)
        for delivery, patterns, ways in zip(
            events.deliveries, steps.patterns, found.trees, strict=True
        )
    ]
    uses = np.zeros(mesh.links, np.int64)
    for one in prepared:
        uses += one.trees.uses(
            mesh.links, np.bincount(one.packets.message, minlength=len(one.trees.sizes))
        )
    reservations = no_reservations(uses)
    _schedule(events, prepared, work, mesh, reservations, start)
    return Arrived(
        tuple(prepared), reservations, _arrivals(prepared, work, mesh, steps.accumulator_tile_order)
    )


def _prepare(
    delivery: Delivery, patterns: AccessPattern, ways: Trees, mesh: Mesh, target: Target
) -> Sending:
    found = packets(delivery.messages, patterns.boxes.low, patterns.boxes.high)
    width = int(target.networks.activation.width)
    if delivery.held is None:  # all rows share the framebuffer
        width = max(min(width, int(target.boundary_width / mesh.rows)), 1)
    size = -(-found.elements * delivery.messages.bits // 8)
    cycles = -(-size // width)
    return Sending(delivery, patterns, found, ways, cycles, np.zeros_like(cycles))


def _schedule(
    events: LayerEvents,
    sendings: list[Sending],
    work: Work,
    mesh: Mesh,
    reservations: Reservations,
    start: int,
) -> None:
    """Give every packet its start, in the order of first need over all tensors."""
    if not sendings:
        return
    which = np.repeat(np.arange(len(sendings)), [len(s.packets) for s in sendings])
    number = np.concatenate([np.arange(len(s.packets)) for s in sendings])
    wanted = np.concatenate([_wanted(events, s, work) for s in sendings])
    length = np.concatenate([s.trees.sizes[s.packets.message] for s in sendings])
    order = np.lexsort((-length, wanted))
    busy = busy_from(start, mesh.links, _likely_cycles(sendings, mesh))
    # Packets of one tensor that follow one another are scheduled in one call.
    edges = np.flatnonzero(np.diff(which[order])) + 1
    for run in np.split(order, edges):
        if len(run):
            s = sendings[which[run[0]]]
            _send_all(
                number[run], s.packets.message, s.cycles, s.trees.first, s.trees.links,
                s.trees.hops, mesh.hop_latency, start, reservations, busy, s.start,
            )  # fmt: skip


def _likely_cycles(sendings: list[Sending], mesh: Mesh) -> int:
    """A length that most schedules do not exceed: twice what the fullest link carries, and the
    longest way."""
    load, way = np.zeros(mesh.links), 0
    for s in sendings:
        each = np.bincount(s.packets.message, s.cycles, len(s.trees.sizes))
        load += np.bincount(s.trees.links, np.repeat(each, s.trees.sizes), mesh.links)
        way = max(way, int(s.trees.hops.max(initial=0)) * mesh.hop_latency)
    return 2 * int(load.max(initial=0)) + way


def _wanted(events: LayerEvents, sending: Sending, work: Work) -> IntArray:
    """About when each packet is read first, in cycles from the layer's start [packets]."""
    busiest = max(events.program.unit_cycles.values())
    accumulator_tile, stage = sending.packets.step, np.zeros_like(sending.packets.step)
    if sending.patterns.by_vector:
        accumulator_tile, stage = np.divmod(sending.packets.step, sending.patterns.stages)
    tile_pass = int(work.positions.max()) // work.accumulator_tiles * sending.patterns.vectors_each
    return accumulator_tile * (busiest // work.accumulator_tiles) + stage * tile_pass


@compiled
def _send_all(
    order: IntArray,
    message: IntArray,
    cycles: IntArray,
    first: IntArray,
    links: IntArray,
    hops: IntArray,
    hop_latency: int,
    release: int,
    reservations: Reservations,
    busy: BusyCycles,
    start: IntArray,
) -> None:
    for p in order:
        low, high = first[message[p]], first[message[p] + 1]
        if cycles[p] == 0:
            start[p] = release
            continue
        begin = first_common(busy, links, hops, low, high, hop_latency, cycles[p], release)
        start[p] = send(reservations, links, hops, low, high, hop_latency, cycles[p], begin)
        for i in range(low, high):
            mark_busy(busy, links[i], start[p] + hops[i] * hop_latency, cycles[p])


def _arrivals(
    sendings: list[Sending], work: Work, mesh: Mesh, accumulator_tile_order: IntArray
) -> Arrivals:
    """The last cycle in which something arrives that a core reads in a step."""
    cores, accumulator_tiles = len(work.after), work.accumulator_tiles
    by_vector = [s for s in sendings if s.patterns.by_vector]
    stages = by_vector[0].patterns.stages if by_vector else 1
    each = by_vector[0].patterns.vectors_each if by_vector else 1
    inputs = np.zeros((cores, accumulator_tiles * stages), np.int64)
    operands = np.zeros((cores, accumulator_tiles), np.int64)
    for s in sendings:
        packet = np.repeat(np.arange(len(s.packets)), np.diff(s.packets.first))
        senders = s.delivery.messages.senders[s.packets.message[packet]]
        hops = mesh.distance(senders, s.packets.core)
        at = s.start[packet] + hops * mesh.hop_latency + s.cycles[packet]
        arrived = inputs if s.patterns.by_vector else operands
        np.maximum.at(arrived, (s.packets.core, s.packets.at), at)
    return Arrivals(
        inputs.reshape(cores, accumulator_tiles, stages), each, operands, accumulator_tile_order
    )


def hop_cycles(target: Target) -> int:
    """Cycles from core to core on the activation network."""
    return ceil(target.networks.activation.hop_latency.value)
