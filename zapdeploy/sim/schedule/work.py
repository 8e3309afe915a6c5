"""What each core does in a layer, as whole numbers for the pipeline."""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray

from zapdeploy.compile.mapping.cost import (
    PARTIAL_SUM_BYTES,
    output_tiles_and_vectors,
    position_cycles,
    read_region,
    storage_bits,
)
from zapdeploy.compile.noc.mesh import Mesh, Trees, trees
from zapdeploy.compile.ops.base import Unit
from zapdeploy.compile.program.layer import LayerEvents
from zapdeploy.compile.regions import IntArray
from zapdeploy.hardware_targets import Target
from zapdeploy.sim.schedule.machine import Machine, Weights, Work


def machine_of(target: Target, bits: int) -> Machine:
    """The target's widths and latencies in whole cycles, for a matrix unit at so many bits."""
    core, networks = target.core, target.networks
    return Machine(
        cores=target.cores,
        input_width=core.matrix_unit.input_bytes(bits),
        port_width=int(core.memory_port.width),
        model_width=int(networks.model.width),
        model_hop=ceil(networks.model.hop_latency.value),
        activation_width=int(networks.activation.width),
        matrix_latency=ceil(core.matrix_unit.latency.value),
        vector_latency=ceil(core.vector_unit.latency.value),
    )


def accumulator_tiles_of(events: LayerEvents, target: Target) -> int:
    """Into how many parts each core's positions are cut: what the accumulators hold at a time.

    A layer without matrix work goes through the units in parts of as many elements.
    """
    if events.layer.operator.unit is Unit.MATRIX:
        return int(events.work.accumulator_tiles.max())
    room = int(target.core.matrix_unit.accumulators) // PARTIAL_SUM_BYTES
    return max(-(-int(events.held.volume.max()) // room), 1)


def work_of(events: LayerEvents, accumulator_tiles: int, target: Target) -> Work:
    """The layer's work in every core."""
    core, work = target.core, events.work
    positions, sets, output_tiles, vectors = _tile_passes(events, accumulator_tiles, target)
    matrix = work.matrix[0]
    own = _own_operand_bytes(events, target)
    moved = (
        work.port_bytes[0]
        - matrix * core.matrix_unit.input_bytes(work.mac_bits)
        - own * accumulator_tiles
    )
    adds = work.partial.adds[0] > 0
    vector = _whole(work.vector_ops[0] / core.vector_unit.rate.value)
    activation = _whole(work.activation_ops[0] / core.activation_unit.rate.value)
    held = events.held.volume > 0
    after = ceil(core.vector_unit.latency.value) * (vector > 0)
    after = after + ceil(core.activation_unit.latency.value) * (activation > 0)
    before, way, sending = _chain(events, adds, target)
    private = _private_slices(events)
    return Work(
        accumulator_tiles=accumulator_tiles,
        positions=positions,
        sets=sets,
        output_tiles=output_tiles,
        vectors=vectors,
        vector_cycles=vector,
        activation_cycles=activation,
        sending_cycles=sending,
        port_bytes=_whole(moved),
        own_bytes=own + private,
        after=np.where(held, after, 0).astype(np.int64),
        other=before,
        way=way,
    )


def _tile_passes(
    events: LayerEvents, accumulator_tiles: int, target: Target
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Positions, sets of columns, output tiles and vectors of every tile [tiles, cores]."""
    layer, cuts = events.layer, events.cuts
    if layer.operator.unit is not Unit.MATRIX:
        busy = (events.held.volume > 0).astype(np.int64)[None]
        return busy, busy, busy, np.zeros_like(busy)
    unit = target.core.matrix_unit
    room = int(unit.accumulators) // (PARTIAL_SUM_BYTES * int(unit.outputs))
    found = []
    for tile in layer.operator.matrix_tiles(layer.anchor, cuts.output, cuts.reduction):
        sets, vectors = output_tiles_and_vectors(tile, events.work.mac_bits, target)
        positions = tile.positions[0]
        sets, vectors = (np.where(positions > 0, n[0], 0) for n in (sets, vectors))
        sets = np.where((vectors == 0) & (events.held.volume == 0), 0, sets)
        at_once = max(room // max(-(-int(positions.max()) // accumulator_tiles), 1), 1)
        found.append((position_cycles(positions, target), sets, -(-sets // at_once), vectors))
    positions, sets, output_tiles, vectors = (
        np.stack(part).astype(np.int64) for part in zip(*found, strict=True)
    )
    return positions, sets, output_tiles, vectors


def _own_operand_bytes(events: LayerEvents, target: Target) -> IntArray:
    """Bytes of activations that a core loads like weights, in every accumulator tile [cores]."""
    layer = events.layer
    size = np.zeros(events.cuts.cores)
    if layer.operator.unit is Unit.MATRIX:
        for read in layer.reads:
            if read.call is layer.anchor and read.input != 0:
                volume = read_region(read, events.cuts).volume[0]
                size += volume * (storage_bits(read.source, target) / 8)
    return np.ceil(size).astype(np.int64)


def _chain(
    events: LayerEvents, adds: NDArray[np.bool_], target: Target
) -> tuple[IntArray, IntArray, IntArray]:
    """Of partial sums: the core they come from, the cycles they take, the cycles of sending."""
    network, messages = target.networks.partial_sum, events.partial_sums
    cores = events.cuts.cores
    before, way = np.full(cores, -1, np.int64), np.zeros(cores, np.int64)
    sending = np.zeros(cores, np.int64)
    senders = messages.senders
    if not len(senders):
        return before, way, sending
    hops = Mesh.of(target).hops_to_next(senders)
    adding = ceil(target.core.vector_unit.latency.value) * adds[senders]
    before[senders + 1] = senders
    way[senders + 1] = hops * ceil(network.hop_latency.value) + adding
    size = messages.elements * messages.bits // 8
    sending[senders] = -(-size // int(network.width))
    return before, way, sending


def _private_slices(events: LayerEvents) -> IntArray:
    """Bytes of slices that no other core uses [cores]."""
    slice_of = events.parameters.slice_of
    return np.where((slice_of >= 0) & (_members(slice_of) == 1), events.parameters.slice_bytes, 0)


def _members(slice_of: IntArray) -> IntArray:
    """How many cores use each core's slice [cores]."""
    return (slice_of[:, None] == slice_of[None]).sum(axis=1)


def weights_of(events: LayerEvents, mesh: Mesh) -> tuple[Weights, Trees]:
    """Slices that are sent, and the trees of their parts."""
    parameters = events.parameters
    cores = len(parameters.slice_of)
    shared = (parameters.slice_of >= 0) & (_members(parameters.slice_of) > 1)
    numbers, index = np.unique(parameters.slice_of[shared], return_inverse=True)
    group = np.full(cores, -1, np.int64)
    group[shared] = index
    members = [np.flatnonzero(group == g) for g in range(len(numbers))]
    sizes = np.array([parameters.slice_bytes[m[0]] for m in members], np.int64)
    parts = np.array([-(-s // len(m)) for s, m in zip(sizes, members, strict=True)], np.int64)
    found = trees(mesh, parameters.messages)
    tree = np.full(cores, -1, np.int64)
    tree[parameters.messages.senders] = np.arange(len(parameters.messages))
    first = np.concatenate([[0], np.cumsum([len(m) for m in members])]).astype(np.int64)
    member = np.concatenate([np.zeros(0, np.int64), *members])
    packed = Weights(sizes, parts, first, member, tree, found.first, found.links, found.hops)
    return packed, found


def _whole(amount: NDArray[np.float64]) -> IntArray:
    """Rounded up, but for what floating point adds to a whole number."""
    return np.ceil(amount - 1e-9).astype(np.int64)
