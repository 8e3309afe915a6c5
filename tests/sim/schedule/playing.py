"""What the reference machine is given: a scheduled layer's messages with their starts, and every
core's work, worked out here from the layer's cut alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np

from tests.sim.schedule.reference_machine import Chip, Core, Message, OutputTile, TilePass, run
from zapdeploy.compile.mapping.cost import read_region, storage_bits
from zapdeploy.compile.ops.base import MatrixTile, Unit
from zapdeploy.compile.program.layer import LayerEvents
from zapdeploy.hardware_targets import Target
from zapdeploy.sim.schedule import LayerSchedule


def play(layer: LayerSchedule) -> int:
    """The cycle in which the reference machine ends the layer."""
    cores = cores_of(layer)
    return run(chip_of(layer.target), cores, messages_of(layer, cores), layer.start)


def chip_of(target: Target) -> Chip:
    networks, core = target.networks, target.core
    hops = {n: getattr(networks, n).hop_latency.value for n in ("model", "activation")}
    return Chip(
        columns=int(target.array.columns),
        hop_cycles={name: ceil(hop) for name, hop in hops.items()},
        activation_width=int(networks.activation.width),
        port_width=int(core.memory_port.width),
        input_width=int(core.matrix_unit.input_width),
        matrix_latency=ceil(core.matrix_unit.latency.value),
    )


def messages_of(layer: LayerSchedule, cores: dict[int, Core]) -> list[Message]:
    """Packets of activations and of weights; the latter pass their senders' ports (in `cores`)."""
    found = []
    for tensor, sending in enumerate(layer.arrived.sendings):
        messages, packets = sending.delivery.messages, sending.packets
        for p in range(len(packets)):
            m = int(packets.message[p])
            entries = range(packets.first[p], packets.first[p + 1])
            kind = "inputs" if sending.patterns.by_vector else f"operands {tensor}"
            brings: dict[int, object] = {
                int(packets.core[j]): (kind, int(packets.at[j])) for j in entries
            }
            receivers = tuple(int(k) for k in np.flatnonzero(messages.receivers[m]))
            found.append(
                Message(
                    "activation", int(messages.senders[m]), receivers, int(sending.start[p]),
                    int(sending.cycles[p]), brings,
                )
            )  # fmt: skip
    return found + _weight_messages(layer, cores)


def _weight_messages(layer: LayerSchedule, cores: dict[int, Core]) -> list[Message]:
    """Packets of weights: which tile pass they are for follows from the bytes sent before."""
    parameters = layer.events.parameters
    sent_bytes: dict[int, int] = {}
    found = []
    for tree, start, cycles, size in layer.sent_weights.tolist():
        sender = int(parameters.messages.senders[tree])
        receivers = tuple(int(k) for k in np.flatnonzero(parameters.messages.receivers[tree]))
        group = int(parameters.slice_of[sender])
        at = sent_bytes.get(group, 0)
        sent_bytes[group] = at + size
        whole = int(parameters.slice_bytes[sender])
        per_accumulator_tile = max(
            len(cores[sender].tile_passes) // layer.work.accumulator_tiles, 1
        )
        accumulator_tile, inside = divmod(at, whole)
        tile_pass = next(
            s
            for s in range(per_accumulator_tile)
            if inside < (s + 1) * whole // per_accumulator_tile
        )
        name = ("weights", accumulator_tile * per_accumulator_tile + tile_pass)
        brings: dict[int, object] = dict.fromkeys((*receivers, sender), name)
        found.append(
            Message(
                "model", sender, receivers, start, cycles, brings, parameters.messages.rows_first
            )
        )
        if cores[sender].tile_passes:
            _reads(cores[sender], accumulator_tile * per_accumulator_tile + tile_pass, size)
    return found


def _reads(core: Core, number: int, size: int) -> None:
    """The sender reads the bytes through its port."""
    tile_pass = core.tile_passes[number]
    core.tile_passes[number] = replace(tile_pass, sent_bytes=tile_pass.sent_bytes + size)


@dataclass
class _Numbers:
    """A layer's work in one core, in plain integers."""

    k: int
    tiles: list[tuple[int, int, int]]  # positions, sets of columns, vectors
    at_once: list[int]  # sets that the accumulators hold, of each tile
    shared: bool
    own_bytes: int
    vector: int
    activation: int
    sending: int
    port_bytes: int


def cores_of(layer: LayerSchedule) -> dict[int, Core]:
    """What every core does, without the weights it sends (see `messages_of`)."""
    events, target = layer.events, layer.target
    chain = _chain(events, target)
    found = {}
    for k in range(events.cuts.cores):
        numbers = _numbers(events, target, k, layer.work.accumulator_tiles)
        order = [int(c) for c in layer.arrived.arrivals.accumulator_tile_order[k]]
        after = 0
        if events.held.volume[k]:
            after += ceil(target.core.vector_unit.latency.value) * (numbers.vector > 0)
            after += ceil(target.core.activation_unit.latency.value) * (numbers.activation > 0)
        tile_passes, output_tiles = _program(layer, numbers, order)
        if output_tiles:
            found[k] = Core(tile_passes, output_tiles, after, *chain.get(k, (-1, 0)))
    return found


def _numbers(events: LayerEvents, target: Target, k: int, accumulator_tiles: int) -> _Numbers:
    layer, work, unit = events.layer, events.work, target.core.matrix_unit
    tiles, at_once, operand = [], [], 0.0
    if layer.operator.unit is Unit.MATRIX:
        room = int(unit.accumulators) // (4 * int(unit.outputs))
        for tile in layer.operator.matrix_tiles(
            layer.anchor, events.cuts.output, events.cuts.reduction
        ):
            tiles.append(_tile(tile, work.mac_bits, target, k))
            at_once.append(max(room // ceil(int(tile.positions[0].max()) / accumulator_tiles), 1))
        for read in layer.reads:
            if read.call is layer.anchor and read.input:
                bits = storage_bits(read.source, target)
                operand += int(read_region(read, events.cuts).volume[0, k]) * bits / 8
    slice_of = events.parameters.slice_of
    shared = slice_of[k] >= 0 and int((slice_of == slice_of[k]).sum()) > 1
    private = int(events.parameters.slice_bytes[k]) if slice_of[k] >= 0 and not shared else 0
    operand = ceil(operand)
    moved = (
        work.port_bytes[0, k]
        - work.matrix[0, k] * int(unit.input_width)
        - operand * accumulator_tiles
    )
    sums = events.partial_sums
    sent = int(sums.elements[sums.senders == k].sum()) * 4
    return _Numbers(
        k=k,
        tiles=tiles,
        at_once=at_once,
        shared=shared,
        own_bytes=int(operand) + private,
        vector=ceil(work.vector_ops[0, k] / target.core.vector_unit.rate.value - 1e-9),
        activation=ceil(work.activation_ops[0, k] / target.core.activation_unit.rate.value - 1e-9),
        sending=ceil(sent / int(target.networks.partial_sum.width)),
        port_bytes=ceil(moved - 1e-9),
    )


def _tile(tile: MatrixTile, bits: int, target: Target, k: int) -> tuple[int, int, int]:
    positions, groups, outputs, runs, values = (
        int(count[0, k])
        for count in (tile.positions, tile.groups, tile.outputs, tile.runs, tile.run_values)
    )
    unit = target.core.matrix_unit
    inputs, columns = unit.inputs(bits), int(unit.outputs)
    packed = max(min(inputs // max(values, 1), columns // max(outputs, 1)), 1)
    return positions, ceil(groups / packed) * ceil(outputs / columns), runs * ceil(values / inputs)


def _chain(events: LayerEvents, target: Target) -> dict[int, tuple[int, int]]:
    """Whose sums a core takes, and the cycles they are on their way."""
    columns, found = int(target.array.columns), {}
    adding = ceil(target.core.vector_unit.latency.value)
    hop = ceil(target.networks.partial_sum.hop_latency.value)
    senders = [int(k) for k in events.partial_sums.senders]
    for k in senders:
        a, b = divmod(k, columns), divmod(k + 1, columns)
        hops = abs(a[0] - b[0]) + abs(a[1] - b[1])
        found[k + 1] = (k, hops * hop + (adding if k - 1 in senders and k in found else 0))
    return found


def _program(
    layer: LayerSchedule, n: _Numbers, order: list[int]
) -> tuple[list[TilePass], list[OutputTile]]:
    """Tile passes and output tiles in the order in which the core runs them."""
    accumulator_tiles, events = layer.work.accumulator_tiles, layer.events
    operands = [
        f"operands {i}" for i, s in enumerate(layer.arrived.sendings) if not s.patterns.by_vector
    ]
    tile_passes: list[TilePass] = []
    plan: list[
        tuple[int, int, int, int | None]
    ] = []  # first, last, entries, accumulator tile it opens
    for turn, accumulator_tile in enumerate(order):
        first_output_tile = True
        if events.layer.operator.unit is not Unit.MATRIX:
            if events.held.volume[n.k]:
                plan.append((-1, -1, 0, turn))
            continue
        for (positions, sets, vectors), at_once in zip(n.tiles, n.at_once, strict=True):
            if not positions:
                continue
            here = _part(positions, accumulator_tile, accumulator_tiles)
            output_tiles = ceil(sets / at_once)
            for b in range(output_tiles):
                wide = _part(sets, b, output_tiles)
                for v in range(vectors * wide):
                    inputs = None
                    if first_output_tile and v % wide == 0:
                        inputs = _stage(layer, turn, v // wide)
                    weights = ("weights", len(tile_passes)) if n.shared else None
                    tile_passes.append(TilePass(here, weights, inputs, 0, 0, v == 0))
                last = len(tile_passes) - 1
                opens = turn if first_output_tile else None
                plan.append((last - wide + 1, last, here * wide, opens))
                first_output_tile = False
    per_accumulator_tile = len(tile_passes) // accumulator_tiles
    tile_passes = [
        replace(
            tile_pass, own_bytes=_part(n.own_bytes, i % per_accumulator_tile, per_accumulator_tile)
        )
        for i, tile_pass in enumerate(tile_passes)
    ]
    return tile_passes, [
        OutputTile(
            first, last, entries,
            _part(n.vector, i, len(plan)), _part(n.activation, i, len(plan)),
            _part(n.sending, i, len(plan)), _part(n.port_bytes, i, len(plan)),
            [(name, opens) for name in operands] if opens is not None else None,
        )
        for i, (first, last, entries, opens) in enumerate(plan)
    ]  # fmt: skip


def _stage(layer: LayerSchedule, turn: int, vector: int) -> Any:
    """The name of what the vector reads, as the packets bring it."""
    for sending in layer.arrived.sendings:
        patterns = sending.patterns
        if patterns.by_vector and vector % patterns.vectors_each == 0:
            stage = vector // patterns.vectors_each
            if stage < patterns.stages:
                return ("inputs", turn * patterns.stages + stage)
    return None


def _part(total: int, part: int, parts: int) -> int:
    """One of nearly equal whole parts."""
    return total * (part + 1) // parts - total * part // parts
