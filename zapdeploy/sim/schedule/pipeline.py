"""A layer inside the cores, in integer cycles: slabs of the matrix unit, weights on their way to
them, and blocks of results.

Every core walks through its positions in chunks, as many as fit the accumulators. In a chunk it
makes one *block* of results after the other: these positions of as many sets of 32 output columns
as the accumulators hold. A block takes, for each input vector and each of its sets, one *slab*: as
many cycles as positions. The rules:

    slab     starts when the one before has ended, its weights and its inputs are there, and the
             accumulators it overwrites are drained. It ends after its positions, later if the
             memory port cannot keep up.
    weights  come into a second register while the slab before runs, not earlier: cores that share
             their weights cannot run apart by more than a slab.
    block    leaves through the vector and activation units, in one pipeline with the matrix unit:
             it begins when slabs of its last vector begin to yield sums, and takes as long as the
             slowest of the units, the memory port and the partial-sum network (`leaving.py`).

All are maxima and sums of integers; who set the maximum is kept.
"""

from __future__ import annotations

import numpy as np

from zapdeploy.compile.kernels.jit import compiled
from zapdeploy.compile.regions import IntArray
from zapdeploy.sim.schedule.booking import Bookings, send
from zapdeploy.sim.schedule.leaving import leave, port_end
from zapdeploy.sim.schedule.machine import (
    ACCUMULATORS,
    INPUTS,
    LAYER,
    MATRIX,
    OWN_WEIGHTS,
    WEIGHTS,
    Arrivals,
    Cores,
    Machine,
    State,
    Trace,
    Weights,
    Work,
    cores_at,
    empty_trace,
    share,
)


@compiled
def run_layer(
    machine: Machine,
    work: Work,
    weights: Weights,
    arrivals: Arrivals,
    state: State,
    model: Bookings,
    activation: Bookings,
) -> Trace:
    """Run one layer; books the links of the model network and moves `state.begun` on."""
    cores = cores_at(state.begun, state.start)
    slabs = (work.sets * work.vectors).sum(axis=0)  # of a chunk
    most_blocks = work.blocks.sum(axis=0).max() * work.chunks
    packets = _most_packets(work, weights, slabs)
    trace = empty_trace(machine.cores, slabs.max() * work.chunks, most_blocks, packets)
    basis, sent = _first_weights(machine, work, weights, state, slabs, cores, model, trace)
    for chunk in range(work.chunks):
        before = np.zeros(machine.cores, np.int64)  # slabs of earlier tiles in this chunk
        for t in range(len(work.positions)):
            for b in range(work.blocks[t].max()):
                sets = _sets(work, t, b)
                first = before + work.sets[t] * b // np.maximum(work.blocks[t], 1) * work.vectors[t]
                reads = t == 0 and b == 0  # later blocks read the same again
                for v in range((sets * work.vectors[t]).max()):
                    running = v < sets * work.vectors[t]
                    for g in range(len(weights.size)):
                        leader = weights.member[weights.first[g]]
                        if running[leader]:
                            slab, of = first[leader] + v, slabs[leader]
                            sent = _send_weights(
                                machine,
                                weights,
                                g,
                                slab,
                                of,
                                state.early,
                                cores,
                                model,
                                trace,
                                sent,
                            )
                    for k in range(machine.cores):
                        if not running[k]:
                            continue
                        positions = _positions(work, arrivals, t, k, chunk)
                        start, cause = _wait(
                            machine, arrivals, cores, k, chunk, v, sets[k], positions, reads
                        )
                        own = share(work.own_bytes[k], (first[k] + v + 1) % slabs[k], slabs[k])
                        _run_slab(
                            machine, activation, cores, k, start, cause, positions, own, trace
                        )
                for k in range(machine.cores):
                    if b < work.blocks[t, k]:
                        leave(
                            machine, work, arrivals, activation, cores, k, chunk if reads else -1,
                            sets[k], basis[k], trace,
                        )  # fmt: skip
            before += work.sets[t] * work.vectors[t]
    state.begun[:] = cores.begun
    return trace


@compiled
def _most_packets(work: Work, weights: Weights, slabs: IntArray) -> int:
    """At most how many packets of weights there are: parts are cut where slabs end."""
    packets = 0
    for g in range(len(weights.size)):
        members = weights.first[g + 1] - weights.first[g]
        packets += work.chunks * (slabs[weights.member[weights.first[g]]] + members + 1)
    return packets


@compiled
def _first_weights(
    machine: Machine,
    work: Work,
    weights: Weights,
    state: State,
    slabs: IntArray,
    cores: Cores,
    model: Bookings,
    trace: Trace,
) -> tuple[IntArray, int]:
    """Load what is needed before anything runs; when each core has it, and packets sent.

    A layer without matrix work has all its parameters sent once.
    """
    basis = np.full(machine.cores, state.start, np.int64)
    sent = 0
    for k in range(machine.cores):
        size = share(work.own_bytes[k], 0, max(slabs[k], 1))
        load = -(-size // machine.port_width)
        cores.own_ready[k] = max(cores.begun[k], state.early) + load
        if not slabs[k]:
            basis[k] = max(basis[k], cores.own_ready[k])
    for g in range(len(weights.size)):
        members = weights.member[weights.first[g] : weights.first[g + 1]]
        if not slabs[members[0]]:
            sent = _send_weights(machine, weights, g, 0, 1, state.early, cores, model, trace, sent)
            for k in members:
                basis[k] = max(basis[k], cores.ready[k])
    return basis, sent


@compiled
def _sets(work: Work, tile: int, block: int) -> IntArray:
    """Sets of output columns that each core makes in a block; 0 where it has no such block."""
    found = np.zeros(len(work.after), np.int64)
    for k in range(len(found)):
        if block < work.blocks[tile, k]:
            found[k] = share(work.sets[tile, k], block, work.blocks[tile, k])
    return found


@compiled
def _positions(work: Work, arrivals: Arrivals, tile: int, k: int, chunk: int) -> int:
    """Positions of the chunk that core k takes as its `chunk`-th."""
    return share(work.positions[tile, k], arrivals.chunk_order[k, chunk], work.chunks)


@compiled
def _send_weights(
    machine: Machine,
    weights: Weights,
    g: int,
    slab: int,
    slabs: int,
    early: int,
    cores: Cores,
    model: Bookings,
    trace: Trace,
    sent: int,
) -> int:
    """Send one slab of a shared slice from where its parts lie to all cores of the group.

    No register is written before its core has begun the slab before. Returns packets sent so far.
    """
    members = weights.member[weights.first[g] : weights.first[g + 1]]
    for k in members:
        cores.ready[k] = 0
    at, stop = slab * weights.size[g] // slabs, (slab + 1) * weights.size[g] // slabs
    while at < stop:
        owner = at // weights.part[g]
        size = min(stop, (owner + 1) * weights.part[g]) - at
        at += size
        sender = members[owner]
        tree = weights.tree[sender]
        low, high = weights.tree_first[tree], weights.tree_first[tree + 1]
        release, last = early, -1
        if cores.begun[sender] > release:
            release, last = cores.begun[sender], sender
        for i in range(low, high):
            k = weights.links[i] - 5 * machine.cores
            if 0 <= k < machine.cores:
                possible = cores.begun[k] - weights.hops[i] * machine.model_hop
                if possible > release:
                    release, last = possible, k
        cycles = -(-size // machine.model_width)
        start = send(
            model, weights.links, weights.hops, low, high, machine.model_hop, cycles, release
        )
        cores.pending[sender] += size
        row = trace.sent[sent]
        row[0], row[1], row[2], row[3] = tree, start, cycles, size
        sent += 1
        if start + cycles > cores.ready[sender]:
            cores.ready[sender], cores.ready_from[sender] = start + cycles, last
        for i in range(low, high):
            k = weights.links[i] - 5 * machine.cores
            if 0 <= k < machine.cores:
                arrived = start + weights.hops[i] * machine.model_hop + cycles
                if arrived > cores.ready[k]:
                    cores.ready[k], cores.ready_from[k] = arrived, last
    return sent


@compiled
def _wait(
    machine: Machine,
    arrivals: Arrivals,
    cores: Cores,
    k: int,
    chunk: int,
    v: int,
    sets: int,
    positions: int,
    reads: bool,
) -> tuple[int, int]:
    """When core k can start its next slab, number `v` of a block, and why not earlier.

    `reads`: whether the block is the first to read the chunk's inputs.
    """
    start, cause = cores.free[k], MATRIX if cores.slabs[k] else LAYER
    if cores.ready[k] > start:
        start, cause = cores.ready[k], WEIGHTS
    if cores.own_ready[k] > start:
        start, cause = cores.own_ready[k], OWN_WEIGHTS
    stage = v // (sets * arrivals.vectors_each)
    if reads and v % (sets * arrivals.vectors_each) == 0 and stage < arrivals.inputs.shape[2]:
        arrived = arrivals.inputs[k, chunk, stage]
        if arrived > start:
            start, cause = arrived, INPUTS
    # Sums reach the accumulators some cycles after their inputs have left.
    room = max(cores.leaving[k], cores.drained[k] - sets * positions) - machine.matrix_latency
    if v == 0 and room > start:
        start, cause = room, ACCUMULATORS
    return start, cause


@compiled
def _run_slab(
    machine: Machine,
    activation: Bookings,
    cores: Cores,
    k: int,
    start: int,
    cause: int,
    positions: int,
    own: int,
    trace: Trace,
) -> None:
    """Core k runs its next slab, and loads `own` bytes of weights for the one after."""
    n = cores.slabs[k]
    cores.own_ready[k] = start + -(-own // machine.port_width)
    size = machine.input_width * positions + own + cores.pending[k]
    cores.pending[k] = 0
    end = port_end(machine, activation, k, start, start + positions, size)
    trace.slab_start[k, n], trace.slab_end[k, n] = start, end
    trace.slab_cause[k, n], trace.slab_from[k, n] = cause, cores.ready_from[k]
    trace.slab_stretch[k, n] = end - start - positions
    cores.begun[k], cores.free[k] = start, end
    cores.slabs[k] += 1
