"""A layer inside the cores, in integer cycles: passes of the matrix unit, weights on their way to
them, and tiles of results.

Every core walks through its positions in *accumulator tiles*, as many positions as fit the
accumulators. In each it makes one *output tile* of results after the other: these positions of as
many sets of 32 output columns as the accumulators hold. An output tile takes, for each input vector
and each of its sets, one *weight tile pass*: as many cycles as positions. The rules:

    tile pass    starts when the one before has ended, its weights and its inputs are there, and the
                 accumulators it overwrites are drained. It ends after its positions, later if the
                 memory port cannot keep up.
    weights      come into a second register while the pass before runs, not earlier: cores that
                 share their weights cannot run apart by more than a pass.
    output tile  leaves through the vector and activation units, in one pipeline with the matrix
                 unit: it begins when passes of its last vector begin to yield sums, and takes as
                 long as the slowest of the units, the memory port and the partial-sum network
                 (`drain.py`).

All are maxima and sums of integers; who set the maximum is kept.
"""

from __future__ import annotations

import numpy as np

from zapdeploy.compile.kernels.jit import compiled, inlined
from zapdeploy.compile.noc.mesh import receiver
from zapdeploy.compile.regions import IntArray
from zapdeploy.sim.schedule.drain import drain, fits_port, port_end
from zapdeploy.sim.schedule.link_reservation import Reservations, send
from zapdeploy.sim.schedule.machine import (
    ACCUMULATORS,
    INPUTS,
    LAYER,
    MATRIX,
    OWN_WEIGHTS,
    WEIGHTS,
    Arrivals,
    Machine,
    Record,
    Records,
    State,
    Trace,
    Weights,
    Work,
    cores_at,
    empty_trace,
    share,
)


def run_layer(
    machine: Machine,
    work: Work,
    weights: Weights,
    arrivals: Arrivals,
    state: State,
    model: Reservations,
    activation: Reservations,
) -> Trace:
    """Run one layer; reserves the links of the model network and moves `state.begun` on."""
    cores = cores_at(state.begun, state.start)
    tile_passes = (work.sets * work.vectors).sum(axis=0)  # of an accumulator tile
    most_output_tiles = int(work.output_tiles.sum(axis=0).max()) * work.accumulator_tiles
    packets = _most_packets(work, weights, tile_passes)
    trace = empty_trace(
        machine.cores, int(tile_passes.max()) * work.accumulator_tiles, most_output_tiles, packets
    )
    _run(machine, work, weights, arrivals, state, model, activation, cores, tile_passes, trace)
    state.begun[:] = cores["begun"]
    return trace


@compiled
def _run(
    machine: Machine,
    work: Work,
    weights: Weights,
    arrivals: Arrivals,
    state: State,
    model: Reservations,
    activation: Reservations,
    cores: Records,
    tile_passes: IntArray,
    trace: Trace,
) -> None:
    basis, sent = _first_weights(machine, work, weights, state, tile_passes, cores, model, trace)
    for accumulator_tile in range(work.accumulator_tiles):
        before = np.zeros(
            machine.cores, np.int64
        )  # tile passes of earlier tiles in this accumulator tile
        for t in range(len(work.positions)):
            for b in range(work.output_tiles[t].max()):
                sets = _sets(work, t, b)
                first = (
                    before
                    + work.sets[t] * b // np.maximum(work.output_tiles[t], 1) * work.vectors[t]
                )
                reads = t == 0 and b == 0  # later output tiles read the same again
                running = sets * work.vectors[t]
                for v in range(running.max()):
                    sent = _send_weights(
                        machine, weights, running, first, tile_passes, v, state.early, cores, model,
                        trace.sent, sent,
                    )  # fmt: skip
                    _run_tile_passes(
                        machine, work, arrivals, activation, cores, tile_passes, trace.tile_passes,
                        t, accumulator_tile, v, sets, first, reads,
                    )  # fmt: skip
                drain(
                    machine, work, arrivals, activation, cores, trace, sets, basis,
                    accumulator_tile if reads else -1,
                )  # fmt: skip
            before += work.sets[t] * work.vectors[t]


@compiled
def _most_packets(work: Work, weights: Weights, tile_passes: IntArray) -> int:
    """At most how many packets of weights there are: parts are cut where tile passes end."""
    packets = 0
    for g in range(len(weights.size)):
        members = weights.first[g + 1] - weights.first[g]
        packets += work.accumulator_tiles * (
            tile_passes[weights.member[weights.first[g]]] + members + 1
        )
    return packets


@compiled
def _first_weights(
    machine: Machine,
    work: Work,
    weights: Weights,
    state: State,
    tile_passes: IntArray,
    cores: Records,
    model: Reservations,
    trace: Trace,
) -> tuple[IntArray, int]:
    """Load what is needed before anything runs; when each core has it, and packets sent.

    A layer without matrix work has all its parameters sent once.
    """
    basis = np.full(machine.cores, state.start, np.int64)
    for k in range(machine.cores):
        size = share(work.own_bytes[k], 0, max(tile_passes[k], 1))
        load = -(-size // machine.port_width)
        cores[k].own_ready = max(cores[k].begun, state.early) + load
        if not tile_passes[k]:
            basis[k] = max(basis[k], cores[k].own_ready)
    alone = (tile_passes == 0).astype(np.int64)
    nothing, whole = np.zeros_like(tile_passes), np.ones_like(tile_passes)
    sent = _send_weights(
        machine, weights, alone, nothing, whole, 0, state.early, cores, model, trace.sent, 0
    )
    for g in range(len(weights.size)):
        members = weights.member[weights.first[g] : weights.first[g + 1]]
        if not tile_passes[members[0]]:
            for k in members:
                basis[k] = max(basis[k], cores[k].ready)
    return basis, sent


@compiled
def _sets(work: Work, tile: int, output_tile: int) -> IntArray:
    """Sets of output columns that each core makes in an output tile; 0 where it has no such output
    tile."""
    found = np.zeros(len(work.after), np.int64)
    for k in range(len(found)):
        if output_tile < work.output_tiles[tile, k]:
            found[k] = share(work.sets[tile, k], output_tile, work.output_tiles[tile, k])
    return found


@compiled
def _send_weights(
    machine: Machine,
    weights: Weights,
    running: IntArray,
    first: IntArray,
    tile_passes: IntArray,
    v: int,
    early: int,
    cores: Records,
    model: Reservations,
    packets: IntArray,
    sent: int,
) -> int:
    """Send tile pass `v` of every shared slice from where its parts lie to all cores of its group,
    if the group has so many `running`; it is tile pass `first` + `v` of `tile_passes`.

    No register is written before its core has begun the tile pass before. Returns packets sent so
    far.
    """
    links, hops = weights.links, weights.hops
    sizes, parts, member, begins = weights.size, weights.part, weights.member, weights.first
    trees, tree_first = weights.tree, weights.tree_first
    for g in range(len(sizes)):
        leader = member[begins[g]]
        if v >= running[leader]:
            continue
        for i in range(begins[g], begins[g + 1]):
            cores[member[i]].ready = 0
        tile_pass, of = first[leader] + v, tile_passes[leader]
        at, stop = tile_pass * sizes[g] // of, (tile_pass + 1) * sizes[g] // of
        while at < stop:
            owner = at // parts[g]
            size = min(stop, (owner + 1) * parts[g]) - at
            at += size
            sender = member[begins[g] + owner]
            tree = trees[sender]
            low, high = tree_first[tree], tree_first[tree + 1]
            release, last = early, -1
            if cores[sender].begun > release:
                release, last = cores[sender].begun, sender
            for i in range(low, high):
                k = receiver(machine.cores, links[i])
                if k >= 0:
                    possible = cores[k].begun - hops[i] * machine.model_hop
                    if possible > release:
                        release, last = possible, k
            cycles = -(-size // machine.model_width)
            start = send(model, links, hops, low, high, machine.model_hop, cycles, release)
            cores[sender].pending += size
            packets[sent, 0], packets[sent, 1] = tree, start
            packets[sent, 2], packets[sent, 3] = cycles, size
            sent += 1
            if start + cycles > cores[sender].ready:
                cores[sender].ready = start + cycles
                cores[sender].held_up_by = last
            for i in range(low, high):
                k = receiver(machine.cores, links[i])
                if k >= 0:
                    arrived = start + hops[i] * machine.model_hop + cycles
                    if arrived > cores[k].ready:
                        cores[k].ready = arrived
                        cores[k].held_up_by = last
    return sent


@compiled
def _run_tile_passes(
    machine: Machine,
    work: Work,
    arrivals: Arrivals,
    activation: Reservations,
    cores: Records,
    tile_passes: IntArray,
    trace: Records,
    tile: int,
    accumulator_tile: int,
    v: int,
    sets: IntArray,
    first: IntArray,
    reads: bool,
) -> None:
    """Every core runs tile pass `v` of an output tile, where it has one.

    `first`: the number of the output tile's first tile pass in the accumulator tile, of
    `tile_passes`; `reads`: whether the output tile is the first to read the accumulator tile's
    inputs.
    """
    inputs, order, each = arrivals.inputs, arrivals.accumulator_tile_order, arrivals.vectors_each
    positions_in, vectors, own_bytes = work.positions[tile], work.vectors[tile], work.own_bytes
    for k in range(machine.cores):
        if v >= sets[k] * vectors[k]:
            continue
        core = cores[k]
        positions = share(positions_in[k], order[k, accumulator_tile], work.accumulator_tiles)
        stage, rest = divmod(v, sets[k] * each)
        arrived = 0
        if reads and rest == 0 and stage < inputs.shape[2]:
            arrived = inputs[k, accumulator_tile, stage]
        start, cause = _wait(core, arrived)
        # Sums reach the accumulators some cycles after their inputs have left.
        room = max(core.leaving, core.drained - sets[k] * positions) - machine.matrix_latency
        if v == 0 and room > start:
            start, cause = room, ACCUMULATORS
        own = share(own_bytes[k], (first[k] + v + 1) % tile_passes[k], tile_passes[k])
        size = machine.input_width * positions + own + core.pending
        end = start + positions
        if not fits_port(machine, size, positions):
            end = port_end(machine, activation, k, start, end, size)
        tile_pass = trace[k, core.tile_passes]
        tile_pass.start = start
        tile_pass.end = end
        tile_pass.cause = cause
        tile_pass.held_up_by = core.held_up_by
        tile_pass.stretch = end - start - positions
        core.own_ready = start + -(-own // machine.port_width)
        core.pending = 0
        core.begun = start
        core.free = end
        core.tile_passes += 1


@inlined
def _wait(core: Record, inputs: int) -> tuple[int, int]:
    """When a core can start its next tile pass, room for its sums apart, and why not earlier.

    `inputs`: when they have arrived, 0 where they are there.
    """
    start, cause = core.free, MATRIX if core.tile_passes else LAYER
    if core.ready > start:
        start, cause = core.ready, WEIGHTS
    if core.own_ready > start:
        start, cause = core.own_ready, OWN_WEIGHTS
    if inputs > start:
        start, cause = inputs, INPUTS
    return start, cause
