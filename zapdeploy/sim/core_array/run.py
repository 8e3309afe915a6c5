"""A Program carried out core by core, from the framebuffer to the framebuffer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from zapdeploy.compile.graph import Array, Graph, Value
from zapdeploy.compile.layers import host_nodes, network_inputs
from zapdeploy.compile.mapping.cost import storage_bits
from zapdeploy.compile.mapping.memory import Buffer
from zapdeploy.compile.ops.base import Unit, operator
from zapdeploy.compile.program.layer import LayerEvents, Lowered
from zapdeploy.compile.state import is_in_place, states
from zapdeploy.errors import SimulationError
from zapdeploy.progress import StepProgress
from zapdeploy.sim.core_array import parameters
from zapdeploy.sim.core_array.deliveries import gather
from zapdeploy.sim.core_array.layer import Stored, run_layer
from zapdeploy.sim.core_array.memory import FOREVER, Memory, key_of
from zapdeploy.sim.core_array.observing import Observer
from zapdeploy.sim.core_array.packing import planes
from zapdeploy.sim.core_array.tiles import Tiles
from zapdeploy.sim.functional import constants, run_node, validate


class CoreArray:
    """All cores with a Program's parameters in their memories, ready for frames.

    Knows nothing about what moves where but the events; raises SimulationError where they ask for
    what a core does not have.
    """

    def __init__(self, lowered: Lowered, observer: Observer | None = None) -> None:
        program = lowered.program
        self._observer = observer
        self.lowered, self._target = lowered, program.target
        self._stored = _stored(lowered)
        buffers = _needed_until(lowered, program.memory.buffers)
        size = int(program.target.core.memory)
        self.memory = Memory(program.target.cores, size, self._planes(), buffers)
        self._load(program.memory.buffers)

    def run(
        self, inputs: Mapping[str, Array], *, progress: StepProgress | None = None
    ) -> dict[str, Array]:
        """The graph's outputs for one batch of inputs, as `functional.run` gives them."""
        validate(self.lowered.program.graph, inputs)
        framebuffer = self.begin(inputs)
        for done, events in enumerate(self.lowered.layers):
            self.run_layer(events, framebuffer)
            if progress is not None:
                progress(done + 1, len(self.lowered.layers))
        return self.end(framebuffer)

    def begin(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The framebuffer, filled by the host; inputs that other chips send are put there later."""
        framebuffer = _received_from_host(self.lowered.program.graph, inputs)
        self._set_state(framebuffer)
        return framebuffer

    def run_layer(self, events: LayerEvents, framebuffer: dict[str, Array]) -> None:
        """One layer, the next in order."""
        run_layer(events, self.memory, framebuffer, self._stored, self._target, self._observer)

    def gathered(self, value: Value, framebuffer: Mapping[str, Array]) -> Array:
        """A tensor that the cores hold, or a view of one, put together."""
        graph = self.lowered.program.graph
        producers, views = graph.producers(), []
        while value.name not in self._stored and value.name in producers:
            views.append(producers[value.name])
            value = graph.values[views[-1].inputs[0]]
        values = constants(graph) | {value.name: self._gathered(value, framebuffer)}
        for view in reversed(views):
            values.update(run_node(graph, view, values))
        return values[views[0].outputs[0] if views else value.name]

    def end(self, framebuffer: Mapping[str, Array]) -> dict[str, Array]:
        """The graph's outputs; what the cores hold is forgotten but for the parameters."""
        graph = self.lowered.program.graph
        outputs = (*self.lowered.outputs, *(state.after for state in states(graph)))
        left = {value.name: self._gathered(value, framebuffer) for value in outputs}
        self.memory.forget("output", "received", "state")
        return _sent_to_host(graph, left)

    def _planes(self) -> int:
        values = [
            v
            for events in self.lowered.layers
            for v in (events.layer.output, *(r.source for r in events.layer.reads))
        ]
        values += [c.value for events in self.lowered.layers for c in events.parameters.constants]
        return max((planes(v.element, storage_bits(v, self._target)) for v in values), default=1)

    def _load(self, buffers: tuple[Buffer, ...]) -> None:
        """Programs and parameters, before the first frame."""
        for buffer in buffers:
            if buffer.kind in ("program", "boundary"):
                count = np.full(self._target.cores, buffer.size)
                nothing = np.zeros((1, len(count), buffer.size), np.uint8)
                self.memory.write(key_of(buffer), nothing, count, -1, buffer.name)
        for events in self.lowered.layers:
            parameters.load(events, self.memory, self._target)

    def _gathered(self, value: Value, framebuffer: Mapping[str, Array]) -> Array:
        """A network output, put together from what the cores hold of it; a constant is known."""
        if value.data is not None:
            return value.data
        if value.name not in self._stored:
            return framebuffer[value.name]
        stored = self._stored[value.name]
        return gather(stored.read(self.memory, stored.key[0]), value.shape, f"'{value.name}'")

    def _set_state(self, given: Mapping[str, Array]) -> None:
        """What the frame before left, where the layers look for it."""
        for state in states(self.lowered.program.graph):
            stored = self._stored[state.before.name]
            tiles = Tiles.cut(given[state.before.name], stored.held)
            stored.write(tiles, self.memory, -1, stored.key[0])


def _stored(lowered: Lowered) -> dict[str, Stored]:
    """Where every tensor that stays in the cores lies; state before and after a frame."""
    target, layers = lowered.program.target, [events.layer for events in lowered.layers]
    found = {}
    for events in lowered.layers:
        value, key = events.layer.output, (events.layer.name, "output", -1)
        found[value.name] = Stored(key, events.held, value, storage_bits(value, target))
    for state in states(lowered.program.graph):
        after = found[state.after.name]
        found[state.before.name] = replace(after, key=(after.key[0], "state", -1))
        if is_in_place(state, layers):
            found[state.after.name] = found[state.before.name]
    return found


def _needed_until(lowered: Lowered, buffers: tuple[Buffer, ...]) -> dict[Buffer, int]:
    """The last layer that reads each buffer, from the events alone."""
    index = {events.layer.name: events for events in lowered.layers}
    last: dict[str, int] = {}
    for events in lowered.layers:
        last.update({d.source: events.index for d in events.deliveries})
    kept = (*lowered.outputs, *(state.after for state in states(lowered.program.graph)))
    last.update({value.name: FOREVER for value in kept})

    def until(buffer: Buffer) -> int:
        if buffer.kind == "output":
            maker = index[buffer.name]
            return last.get(maker.layer.output.name, maker.index)
        return index[buffer.name].index if buffer.kind == "received" else FOREVER

    return {buffer: until(buffer) for buffer in buffers}


def _received_from_host(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """What the host writes into the framebuffer: inputs, by its own quantizers where it has any."""
    hosted, values = host_nodes(graph), constants(graph) | dict(inputs)
    for node in graph.nodes:
        if node.name in hosted and node.op == "Quantize":
            values.update(run_node(graph, node, values))
    wanted = (*network_inputs(graph), *(state.before for state in states(graph)))
    return {
        value.name: np.asarray(values[value.name])
        for value in wanted
        if value.name not in graph.exchanged
    }


def _sent_to_host(graph: Graph, left: Mapping[str, Array]) -> dict[str, Array]:
    """The graph's outputs from the tensors that the chip leaves: views of them, dequantized."""
    hosted, values = host_nodes(graph), constants(graph) | dict(left)
    for node in graph.nodes:
        outside = node.name in hosted or operator(node.op).unit is Unit.VIEW
        if outside and all(name in values for name in node.inputs):
            values.update(run_node(graph, node, values))
    missing = [name for name in graph.outputs if name not in values]
    if missing:
        raise SimulationError(
            f"output '{missing[0]}' must be left in the cores by a layer, not be a by-product; "
            "evaluate the network whole"
        )
    return {name: np.asarray(values[name], order="C") for name in graph.outputs}
