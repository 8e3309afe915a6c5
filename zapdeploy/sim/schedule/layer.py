"""One layer on the whole array, from its start to its last result in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from zapdeploy.compile.noc.mesh import Mesh, Trees
from zapdeploy.compile.program.layer import LayerEvents
from zapdeploy.compile.regions import IntArray
from zapdeploy.hardware_targets import Target
from zapdeploy.sim.schedule.activations import Arrived, fetched, send_activations
from zapdeploy.sim.schedule.link_reservation import Reservations, no_reservations, without_room
from zapdeploy.sim.schedule.machine import State, Trace, Weights, Work
from zapdeploy.sim.schedule.pipeline import run_layer
from zapdeploy.sim.schedule.work import accumulator_tiles_of, machine_of, weights_of, work_of


@dataclass(frozen=True, eq=False)
class LayerSchedule:
    """One layer in time; cycles count from the start of the batch.

    `begin`: when the layer before had ended; `start`: when the programs run; `end`: when the last
    result is in memory. `trace`: tile passes and output tiles of every core. `arrived`: the
    activation network. `model`: busy times of the model network's links. `register_free` [cores]:
    from when on weights of the next layer may come.
    """

    target: Target
    events: LayerEvents
    begin: int
    start: int
    end: int
    work: Work
    arrived: Arrived
    weights: Weights
    weight_trees: Trees
    model: Reservations
    trace: Trace
    register_free: IntArray

    @property
    def cycles(self) -> int:
        """From the end of the layer before."""
        return self.end - self.begin

    @property
    def sent_weights(self) -> IntArray:
        """Packets of weights: tree, start, cycles, bytes [packets, 4]."""
        return self.trace.sent[self.trace.sent[:, 0] >= 0]


def meshes(target: Target) -> tuple[Mesh, Mesh]:
    """The activation and the model network."""
    return Mesh.of(target, "activation"), Mesh.of(target, "model")


def schedule_layer(
    events: LayerEvents, target: Target, begin: int, start: int, register_free: IntArray, early: int
) -> LayerSchedule:
    """Schedule a layer that starts at `start`; its first weights may travel from `early` on.

    Cores walk through the layer as it comes, or first do what they hold the inputs of: whichever
    ends earlier.
    """
    activation, model = meshes(target)
    work = work_of(events, accumulator_tiles_of(events, target), target)
    weights, weight_trees = weights_of(events, model)
    machine = machine_of(target, events.work.mac_bits)
    uses = _weight_uses(work, weights, weight_trees, model)
    found = fetched(events, work, activation, target)

    def scheduled(held_first: bool) -> LayerSchedule:
        arrived = send_activations(events, work, found, activation, target, start, held_first)
        reservations = no_reservations(uses)
        state = State(register_free.copy(), early, start)
        trace = run_layer(
            machine, work, weights, arrived.arrivals, state, reservations, arrived.reservations
        )
        return LayerSchedule(
            target=target,
            events=events,
            begin=begin,
            start=start,
            end=_end(work, trace, start),
            work=work,
            arrived=replace(arrived, reservations=without_room(arrived.reservations)),
            weights=weights,
            weight_trees=weight_trees,
            model=without_room(reservations),
            trace=trace,
            register_free=state.begun,
        )

    if not any(len(delivery.messages) for delivery in events.deliveries):
        return scheduled(False)
    return min(scheduled(True), scheduled(False), key=lambda layer: layer.end)


def _weight_uses(work: Work, weights: Weights, found: Trees, mesh: Mesh) -> IntArray:
    """At most how many packets of weights each link carries."""
    per_accumulator_tile = (work.sets * work.vectors).sum(axis=0)
    times = np.zeros(len(found.sizes), np.int64)
    for g, size in enumerate(weights.size):
        members = weights.member[weights.first[g] : weights.first[g + 1]]
        tile_passes = max(int(per_accumulator_tile[members[0]]), 1)
        senders = members[weights.tree[members] >= 0]
        # A part is cut where tile passes end: at most once more than there are tile passes in it.
        times[weights.tree[senders]] = (
            weights.part[g] * tile_passes // max(size, 1) + 2
        ) * work.accumulator_tiles
    return found.uses(mesh.links, times)


def _end(work: Work, trace: Trace, start: int) -> int:
    """When the last result of any core is in its memory."""
    if not trace.output_tile_end.size:
        return start
    return int(max((trace.output_tile_end.max(axis=1) + work.after).max(), start))
