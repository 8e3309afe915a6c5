"""One layer in all cores: what arrives, what is computed, what is left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from zapdeploy.compile.graph import Array, Call, Value
from zapdeploy.compile.layers import Read
from zapdeploy.compile.mapping.cost import call_regions
from zapdeploy.compile.ops.base import Unit, operator
from zapdeploy.compile.program.activations import Delivery
from zapdeploy.compile.program.layer import LayerEvents
from zapdeploy.compile.regions import Region
from zapdeploy.hardware_targets import Target
from zapdeploy.sim.core_array import parameters
from zapdeploy.sim.core_array.deliveries import assemble, seen_through_views, send
from zapdeploy.sim.core_array.local import by_products, evaluate
from zapdeploy.sim.core_array.matrix import run_matrix
from zapdeploy.sim.core_array.memory import Key, Memory
from zapdeploy.sim.core_array.moves import move
from zapdeploy.sim.core_array.observing import Observer
from zapdeploy.sim.core_array.parameters import Slices
from zapdeploy.sim.core_array.tiles import Tiles


@dataclass(frozen=True, eq=False)
class Stored:
    """A tensor in the cores: its buffer, the box that each core holds, the bits of an element."""

    key: Key
    held: Region
    value: Value
    bits: int

    def read(self, memory: Memory, name: str) -> Tiles:
        """The boxes, from the cores' memories, for the layer of this name."""
        count, element = self.held.volume, self.value.element
        return Tiles.own(memory.read_values(self.key, element, self.bits, count, name), self.held)

    def write(self, tiles: Tiles, memory: Memory, layer: int, name: str) -> None:
        """The boxes into the cores' memories, by the layer of this number and name."""
        count, element = self.held.volume, self.value.element
        memory.write_values(self.key, tiles.values, element, self.bits, count, layer, name)


def run_layer(
    events: LayerEvents,
    memory: Memory,
    framebuffer: dict[str, Array],
    stored: Mapping[str, Stored],
    target: Target,
    observer: Observer | None = None,
) -> None:
    """Fetch, compute and store. `stored`: all tensors that lie in the cores, by name.

    What a layer makes besides its output (a scale found at run time) goes to the framebuffer, from
    where the events have it fetched.
    """
    read = {
        (id(d.read.call), d.read.input): _fetch(
            events, number, d, memory, framebuffer, stored, observer
        )
        for number, d in enumerate(events.deliveries)
    }
    slices = parameters.receive(events, memory, target)
    if observer is not None:
        observer.parameters(events, slices)
    found = _compute(events, read, slices, framebuffer, observer)
    if observer is not None:
        observer.written(events, found)
    stored[events.layer.output.name].write(found, memory, events.index, events.layer.name)


def _fetch(
    events: LayerEvents,
    number: int,
    delivery: Delivery,
    memory: Memory,
    framebuffer: Mapping[str, Array],
    stored: Mapping[str, Stored],
    observer: Observer | None,
) -> Tiles:
    """One tensor that the layer reads, as the reader sees it: by way of the received buffer."""
    name, messages = events.layer.name, delivery.messages
    what = f"layer '{name}', read {number}, of '{delivery.source}'"
    own = None
    if delivery.held is not None:
        own = stored[delivery.source].read(memory, name)
        source = own
    else:
        tensor = framebuffer[delivery.source]
        everything = Region(*(np.array([b], np.int64) for b in ((0,) * tensor.ndim, tensor.shape)))
        source = Tiles.own(np.ascontiguousarray(tensor).reshape(1, -1), everything)
    element, count = delivery.read.source.element, messages.received_elements
    stream = send(messages, source, what)
    key = (name, "received", number)
    memory.write_values(key, stream, element, messages.bits, count, events.index, name)
    arrived = memory.read_values(key, element, messages.bits, count, name)
    tiles = assemble(delivery, own, arrived, what)
    if observer is not None:
        observer.fetched(events, number, stream, tiles)
    return seen_through_views(tiles, delivery.read, _read_box(events, delivery.read), what)


def _read_box(events: LayerEvents, read: Read) -> Region:
    """What each core needs of a read's own tensor, before any view [cores, rank]."""
    region = call_regions(read.call, events.cuts)[read.input]
    assert region is not None
    return Region(region.low[0], region.high[0])


def _compute(
    events: LayerEvents,
    read: Mapping[tuple[int, int], Tiles],
    slices: Slices,
    framebuffer: dict[str, Array],
    observer: Observer | None,
) -> Tiles:
    """The layer's calls one after the other, each from what reads, parameters and calls gave."""
    given = iter(events.parameters.constants)
    made: dict[str, Tiles] = {}

    def input_of(call: Call, index: int, value: Value | None) -> Tiles | None:
        if value is None:
            return None
        if value.is_constant:
            return slices.constant(next(given))
        return made[value.name] if value.name in made else read[id(call), index]

    for call in events.layer.calls:
        inputs = [input_of(call, i, value) for i, value in enumerate(call.inputs)]
        if operator(call.node.op).unit is Unit.MATRIX:
            found = run_matrix(events, inputs, slices.scales(), observer)
        elif operator(call.node.op).unit is Unit.MOVE:
            found = move(call, events.held, inputs, f"layer '{events.layer.name}'")
        else:
            found = evaluate(call, events.held, inputs)
            framebuffer.update(by_products(call, events.held, inputs))
        made[call.output.name] = found
    return made[events.layer.output.name]
