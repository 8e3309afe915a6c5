"""Proof that a Program fits the memories: at every step, in every core, all that is live has a
place of its own.

Made from the events and the plan's addresses alone, without the planner's code. Steps are layers:
what a layer fetches and leaves, and all that is read later, must be there together. Three things
are shown for every core:

    fits      what is live ends inside the memory, and in the buffer that the plan gives it
    apart     no two live buffers share a byte
    present   all that a layer reads was written before, and its buffer is still its own then
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from zapdeploy.compile.mapping.cost import storage_bits
from zapdeploy.compile.mapping.memory import Buffer
from zapdeploy.compile.program.activations import Delivery
from zapdeploy.compile.program.layer import LayerEvents, Lowered
from zapdeploy.compile.regions import IntArray, Region, wanted_volume
from zapdeploy.compile.state import is_in_place, states
from zapdeploy.errors import SimulationError

_AT_ONCE = 1024  # messages


@dataclass(frozen=True, eq=False)
class MemoryProof:
    """`live_bytes` [layers, cores]: in use during each layer. `limit`: of a core's memory."""

    layers: tuple[str, ...]
    live_bytes: IntArray
    limit: int

    @property
    def peak_bytes(self) -> IntArray:
        """Most bytes in use at once in each core [cores]."""
        return self.live_bytes.max(axis=0)

    @property
    def fullest(self) -> tuple[str, int]:
        """The layer and the core with most bytes in use."""
        layer, core = np.unravel_index(int(self.live_bytes.argmax()), self.live_bytes.shape)
        return self.layers[int(layer)], int(core)

    def as_json(self) -> dict[str, Any]:
        layer, core = self.fullest
        return {
            "peak_bytes": int(self.live_bytes.max()),
            "limit_bytes": self.limit,
            "layer": layer,
            "core": core,
            "cores": self.peak_bytes.tolist(),
            "layers": self.live_bytes.max(axis=1).tolist(),
        }


@dataclass(frozen=True, eq=False)
class _Use:
    """A buffer in use: `size` [cores] bytes, written in step `first`, read until step `last`."""

    buffer: Buffer
    size: IntArray
    first: int
    last: int
    what: str


def certify(lowered: Lowered) -> MemoryProof:
    """Prove it, or raise SimulationError naming the layer, the core and the address."""
    program = lowered.program
    limit = int(program.target.core.memory)
    for events in lowered.layers:
        for delivery in events.deliveries:
            _check_present(lowered, events, delivery)
    uses = list(_uses(lowered))
    for use in uses:
        _check_place(use, limit, lowered)
    live = np.zeros((len(lowered.layers), program.target.cores), np.int64)
    for events in lowered.layers:
        now = [use for use in uses if use.first <= events.index <= use.last]
        _check_apart(now, events.layer.name)
        live[events.index] = np.sum([use.size for use in now], axis=0)
    return MemoryProof(tuple(e.layer.name for e in lowered.layers), live, limit)


def _uses(lowered: Lowered) -> Iterator[_Use]:
    """Everything that lies in the cores, how long by the events, and where by the plan."""
    layers, cores = lowered.layers, lowered.program.target.cores
    buffers = {(b.name, b.kind, b.read): b for b in lowered.program.memory.buffers}
    end = len(layers) - 1
    in_place = _in_place(lowered)
    kept = {value.name for value in lowered.outputs} | in_place.keys()
    for buffer in buffers.values():
        if buffer.kind in ("program", "boundary"):
            yield _Use(buffer, np.full(cores, buffer.size), 0, end, buffer.name)
    for events in layers:
        name, output = events.layer.name, events.layer.output.name
        stored = events.parameters.stored_high - events.parameters.stored_low
        parameters = stored + np.ceil(events.work.scale_bytes[0]).astype(np.int64)
        readers = [e.index for e in layers if output in (d.source for d in e.deliveries)]
        last = end if output in kept else max([events.index, *readers])
        wanted = [("parameters", -1, parameters, 0, end)]
        bits = storage_bits(events.layer.output, lowered.program.target)
        held = _bytes(_volume(events.held), bits)
        if not in_place.get(output):
            wanted.append(("output", -1, held, events.index, last))
        if output in in_place:
            wanted.append(("state", -1, held, 0, end))
        for read, delivery in enumerate(events.deliveries):
            size = _bytes(delivery.messages.received_elements, delivery.messages.bits)
            wanted.append(("received", read, size, events.index, events.index))
        for kind, read, size, first, last in wanted:
            if size.any():
                what = f"{kind} of '{name}'" + (f" (read {read})" if read >= 0 else "")
                buffer = buffers.get((name, kind, read)) or _missing(what, name)
                yield _Use(buffer, size, first, last, what)


def _in_place(lowered: Lowered) -> dict[str, bool]:
    """Tensors that the next frame finds as state: whether they are written over the old one."""
    layers = [events.layer for events in lowered.layers]
    found = states(lowered.program.graph)
    return {state.after.name: is_in_place(state, layers) for state in found}


def _missing(what: str, layer: str) -> Buffer:
    raise SimulationError(
        f"the memory plan must have a place for the {what}, not none (layer '{layer}'); "
        "compile the model again"
    )


def _volume(region: Region) -> IntArray:
    return np.prod(np.maximum(region.high - region.low, 0), axis=-1, dtype=np.int64)


def _bytes(elements: IntArray, bits: int) -> IntArray:
    return (elements * bits + 7) // 8


def _check_place(use: _Use, limit: int, lowered: Lowered) -> None:
    """Inside the buffer, the buffer inside the memory, and not longer than the plan has it."""
    buffer, core = use.buffer, int(use.size.argmax())
    most = int(use.size.max())
    name = lowered.layers[use.first].layer.name
    where = f"(layer '{name}', core {core}, address {buffer.address}); compile the model again"
    if most > buffer.size:
        raise SimulationError(
            f"the {use.what} must have at most {buffer.size} bytes, not {most} {where}"
        )
    if buffer.address < 0 or buffer.address + most > limit:
        raise SimulationError(
            f"the {use.what} must end at most at address {limit}, not "
            f"{buffer.address + most} {where}"
        )
    if buffer.first > use.first or buffer.last < use.last:
        reader = lowered.layers[use.last].layer.name
        raise SimulationError(
            f"the {use.what} must stay from layer {use.first} to layer {use.last} ('{reader}'), "
            f"not from {buffer.first} to {buffer.last} {where}"
        )


def _check_apart(live: list[_Use], layer: str) -> None:
    """In no core do two buffers overlap: sorted by address, each ends before the next begins."""
    order = sorted(live, key=lambda use: use.buffer.address)
    end = np.zeros(len(order[0].size), np.int64)
    owner = np.zeros(len(end), np.int64)
    for number, use in enumerate(order):
        overlaps = (use.size > 0) & (end > use.buffer.address)
        if overlaps.any():
            core = int(overlaps.argmax())
            other = order[int(owner[core])]
            raise SimulationError(
                f"the {use.what} must have its place for itself, not share core {core}, address "
                f"{use.buffer.address} with the {other.what} (layer '{layer}'); "
                "compile the model again"
            )
        end = np.where(use.size > 0, use.buffer.address + use.size, end)
        owner = np.where(use.size > 0, number, owner)


def _check_present(lowered: Lowered, events: LayerEvents, delivery: Delivery) -> None:
    """Senders hold what they send since an earlier layer, and every core gets all that it needs.

    Boxes that reach a core, cut to what it needs, and what it holds are apart (each message is a
    piece of its own), so that their sizes must add up.
    """
    messages, needed = delivery.messages, delivery.needed
    have = np.zeros(len(needed.low), np.int64)
    if delivery.held is not None:
        held = _held_by_senders(lowered, events, delivery)
        have = wanted_volume(held.intersect(needed), delivery.slices).reshape(-1)
    for some in np.array_split(np.arange(len(messages)), len(messages) // _AT_ONCE + 1):
        low, high = (bound[some, None] for bound in messages.boxes)
        arriving = messages.receivers[some] * _overlap(low, high, needed.low, needed.high)
        have = have + arriving.sum(axis=0)
    wanted = wanted_volume(needed, delivery.slices).reshape(-1)
    if (have != wanted).any():
        core = int((have != wanted).argmax())
        raise SimulationError(
            f"core {core} must hold or receive {wanted[core]} elements of '{delivery.source}', "
            f"each once, not {have[core]} (layer '{events.layer.name}'); compile the model again"
        )


def _held_by_senders(lowered: Lowered, events: LayerEvents, delivery: Delivery) -> Region:
    """What each core holds of a tensor since an earlier layer, or frame [cores, rank]."""
    name, read, messages = events.layer.name, f"'{delivery.source}'", delivery.messages
    state = {s.before.name: s.after.name for s in states(lowered.program.graph)}
    source = state.get(delivery.source, delivery.source)
    makers = [e for e in lowered.layers if e.layer.output.name == source]
    if not makers or (makers[0].index >= events.index and source == delivery.source):
        raise SimulationError(
            f"{read} must be computed before layer '{name}' reads it, not after; "
            "compile the model again"
        )
    held = makers[0].held
    inside = (messages.boxes.low >= held.low[messages.senders]) & (
        messages.boxes.high <= held.high[messages.senders]
    )
    if not inside.all():
        sender = int(messages.senders[int(inside.all(axis=1).argmin())])
        raise SimulationError(
            f"core {sender} must hold all of {read} that it sends, not a part "
            f"(layer '{name}'); compile the model again"
        )
    return held


def _overlap(low: IntArray, high: IntArray, other_low: IntArray, other_high: IntArray) -> IntArray:
    """Elements that boxes have in common."""
    return _volume(Region(np.maximum(low, other_low), np.minimum(high, other_high)))
