"""Counts what the bits do while a Program is carried out core by core."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from zapdeploy.compile.graph import Array
from zapdeploy.compile.mapping.cost import storage_bits
from zapdeploy.compile.noc.mesh import Mesh, Trees, trees
from zapdeploy.compile.noc.messages import Messages
from zapdeploy.compile.ops.base import Unit, operator
from zapdeploy.compile.ops.matrix import MatrixOperator
from zapdeploy.compile.program.layer import LayerEvents, Lowered
from zapdeploy.compile.regions import IntArray, Region
from zapdeploy.sim.activity.bits import (
    as_words,
    link_activity,
    matrix_activity,
    stream_activity,
    vector_activity,
)
from zapdeploy.sim.activity.counts import LayerActivity, StageActivity, Words, together
from zapdeploy.sim.core_array.local import Together, equal_outputs
from zapdeploy.sim.core_array.parameters import Slices
from zapdeploy.sim.core_array.tiles import Tiles

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class _Way:
    """Where messages lie in what their first receivers get, and the links that they take."""

    row: IntArray
    first: IntArray
    trees: Trees
    hops: IntArray
    home: IntArray  # the core that each is counted for: its sender; the framebuffer's first core


@dataclass(frozen=True, eq=False)
class _Tally:
    """Of operands, by their place [cores or slices, places]: bits that toggle as they arrive, with
    zeros and with zeros withheld, and how often they are not zero; `ones` of all [cores]."""

    toggles: IntArray
    gated: IntArray
    nonzero: IntArray
    ones: IntArray

    def of(self, row: IntArray) -> _Tally:
        return _Tally(self.toggles[row], self.gated[row], self.nonzero[row], self.ones[row])


class Counter:
    """An observer of one chip: see `core_array/observing.py`."""

    def __init__(self, lowered: Lowered) -> None:
        target = lowered.program.target
        self._lowered, self._target = lowered, target
        self._mesh = Mesh.of(target)
        self._same: dict[Hashable, Any] = {}  # what is equal for every batch
        self.layers = self._none()

    def _none(self) -> tuple[LayerActivity, ...]:
        return tuple(
            LayerActivity.none(events.layer.name, self._target.cores, self._mesh.links)
            for events in self._lowered.layers
        )

    def taken(self) -> StageActivity:
        """What was counted since this was asked last."""
        found = self._activity()
        self.layers = self._none()
        return found

    def _activity(self) -> StageActivity:
        leaving = {value.name for value in self._lowered.outputs}
        pairs = zip(self._lowered.layers, self.layers, strict=True)
        outputs = [a.memory["written"] for e, a in pairs if e.layer.output.name in leaving]
        return StageActivity(self.layers, together(outputs) if outputs else Words.none(1))

    def fetched(self, events: LayerEvents, number: int, stream: Array, tiles: Tiles) -> None:
        delivery, found = events.deliveries[number], self.layers[events.index]
        messages, read = delivery.messages, delivery.read
        if len(messages):
            words = as_words(stream, messages.bits)
            self._memory(found.memory["received"], words, messages.received_elements, messages.bits)
            way = self._once((events.index, number), lambda: self._way(messages))
            width = int(self._target.networks.activation.width)
            elements, bits = messages.elements, messages.bits
            self._send(found, "activation", way, words, elements, bits, width)
            out = found.framebuffer if delivery.held is None else found.memory["sent"]
            out.add(way.home, *_streams(words, way.row, way.first, elements, bits, width))
        as_vectors = events.layer.operator.unit is Unit.MATRIX and read.input == 0
        if not (as_vectors and read.call is events.layer.anchor):
            bits = storage_bits(read.source, self._target)
            words = as_words(tiles.values, bits)
            self._memory(found.memory["operands"], words, tiles.box.volume, bits, tiles.row)

    def parameters(self, events: LayerEvents, slices: Slices) -> None:
        if not events.parameters.slice_bytes.any():
            return
        of_one_batch = self._once(("parameters", events.index), lambda: self._sent(events, slices))
        self.layers[events.index].__iadd__(of_one_batch)

    def operands(
        self,
        events: LayerEvents,
        some: Together,
        cores: IntArray,
        inputs: Sequence[Tiles | None],
    ) -> None:
        x, w = inputs[:2]
        assert x is not None
        assert w is not None
        op, bits = operator(some.call.node.op), events.work.mac_bits
        assert isinstance(op, MatrixOperator)
        _, first, slice_of = np.unique(w.row[cores], return_index=True, return_inverse=True)
        codes = as_words(x.stack(cores), bits)
        weights = as_words(w.stack(cores[first]), bits)
        pairs = op.operands(some.call, codes, weights, _padding(some, inputs, bits))
        for number, (vectors, matrices) in enumerate(pairs):
            if vectors.size and matrices.size:
                key = (events.index, cores.tobytes(), number)
                loaded = self._loaded(events, matrices, key)
                self._meet(events, cores, vectors, matrices.shape[2], loaded, slice_of)

    def sums(self, events: LayerEvents, sums: Array) -> None:
        found, call, words = self.layers[events.index], events.layer.anchor, as_words(sums, 32)
        axis = events.layer.operator.channel_axis(call)
        output = Region(events.cuts.output.low[0], events.cuts.output.high[0])
        for some in equal_outputs(call, output):
            shape = some.call.output.shape
            tile = words[some.cores, : int(np.prod(shape))].reshape(len(some.cores), *shape)
            columns = np.moveaxis(tile, axis % len(shape) + 1, -1)
            flat = np.ascontiguousarray(columns).reshape(len(some.cores), -1)
            row = np.arange(len(flat))
            each = np.full(len(flat), flat.shape[1])
            counted = _streams(flat, row, 0 * row, each, 32, columns.shape[-1] * 4)
            found.accumulators.add(some.cores, *counted)
        messages = events.partial_sums
        if len(messages):
            way = self._once(("sums", events.index), lambda: self._way(messages, messages.senders))
            width = int(self._target.networks.partial_sum.width)
            self._send(found, "partial_sum", way, words, messages.elements, 32, width)

    def written(self, events: LayerEvents, tiles: Tiles) -> None:
        bits = storage_bits(events.layer.output, self._target)
        words = as_words(tiles.values, bits)
        written = self.layers[events.index].memory["written"]
        self._memory(written, words, events.held.volume, bits)

    def _once(self, key: Hashable, make: Callable[[], T]) -> T:
        if key not in self._same:
            self._same[key] = make()
        found: T = self._same[key]
        return found

    def _memory(
        self, into: Words, words: Array, count: IntArray, bits: int, row: IntArray | None = None
    ) -> None:
        """The first count[core] elements of each core's row, through its memory port."""
        width = int(self._target.core.memory_port.width)
        cores = np.flatnonzero(count)
        rows = cores if row is None else row[cores]
        into.add(cores, *_streams(words, rows, 0 * rows, count[cores], bits, width))

    def _way(
        self, messages: Messages, row: IntArray | None = None, first: IntArray | None = None
    ) -> _Way:
        """`row`, `first`: where the messages lie, if not in what their first receivers get."""
        found = trees(self._mesh, messages)
        if row is None:
            row = messages.receivers.argmax(axis=1)
            behind = np.cumsum(messages.elements[:, None] * messages.receivers, axis=0)
            first = behind[np.arange(len(messages)), row] - messages.elements
        elif first is None:
            first = np.zeros_like(row)
        assert first is not None
        home = self._mesh.entries(messages.senders)
        return _Way(row, first, found, found.network_links(self._mesh), home)

    def _send(
        self,
        found: LayerActivity,
        network: str,
        way: _Way,
        words: Array,
        elements: IntArray,
        bits: int,
        width: int,
        times: int = 1,
    ) -> None:
        """Count messages on every link of their trees."""
        ones, toggles = (np.zeros(len(way.row), np.int64) for _ in range(2))
        link_toggles, inner = np.zeros(self._mesh.links, np.int64), self._inner
        stride = max(width * 8 // bits, 1)
        link_activity(
            np.ascontiguousarray(words), way.row, way.first, elements, stride,
            way.trees.first, way.trees.links, inner, ones, toggles, link_toggles,
        )  # fmt: skip
        size = elements * bits
        hops = (size * way.hops, ones * way.hops, toggles)
        found.hops[network].add(way.home, *(part * times for part in hops))
        links = found.links[network]
        links.bits += way.trees.uses(self._mesh.links, size * times)
        links.ones += way.trees.uses(self._mesh.links, ones * times)
        links.toggles += link_toggles * times

    @property
    def _inner(self) -> IntArray:
        """Which links are from core to core, or from the framebuffer [links]."""
        return self._mesh.is_inner(np.arange(self._mesh.links)).astype(np.int64)

    def _sent(self, events: LayerEvents, slices: Slices) -> LayerActivity:
        """Parameters on their way from where they are stored, in one batch."""
        found = LayerActivity.none(events.layer.name, self._target.cores, self._mesh.links)
        parameters, times = events.parameters, int(events.work.accumulator_tiles.max())
        words, messages = slices.cells[0], parameters.messages
        size = parameters.stored_high - parameters.stored_low
        own = np.flatnonzero(size)
        width = int(self._target.core.memory_port.width)
        counted = _streams(words, slices.row[own], parameters.stored_low[own], size[own], 8, width)
        found.memory["parameters"].add(own, *(part * times for part in counted))
        if len(messages):
            row = slices.row[messages.senders]
            width = int(self._target.networks.model.width)
            way = self._way(messages, row, messages.boxes.low[:, 0])
            self._send(found, "model", way, words, messages.elements, 8, width, times)
        return found

    def _loaded(self, events: LayerEvents, matrices: Array, key: Hashable) -> _Tally:
        """What the weights do; those that are constants, once for all batches."""
        unit = self._target.core.matrix_unit
        inputs, outputs = unit.inputs(events.work.mac_bits), int(unit.outputs)

        def made() -> _Tally:
            return _tally(matrix_activity, matrices, (inputs, outputs), (0, 1, 3, 4))

        return self._once(key, made) if events.layer.anchor.input(1).is_constant else made()

    def _meet(
        self,
        events: LayerEvents,
        cores: IntArray,
        vectors: Array,
        outputs: int,
        loaded: _Tally,
        slice_of: IntArray,
    ) -> None:
        """Vectors meet matrices in some cores."""
        bits, positions = events.work.mac_bits, vectors.shape[2]
        unit, found = self._target.core.matrix_unit, self.layers[events.index]
        chunk = -(-positions // int(events.work.accumulator_tiles.max()))
        loads, sets = -(-positions // chunk), -(-outputs // int(unit.outputs))
        x = _tally(vector_activity, vectors, (unit.inputs(bits), chunk), (0, 1, 3, 4))
        w = loaded.of(slice_of)
        places = x.toggles.shape[1]
        macs = positions * outputs * places
        inside, gated = (
            (mine * w.nonzero).sum(axis=1) + (theirs * x.nonzero).sum(axis=1) * loads // positions
            for mine, theirs in ((x.toggles, w.toggles), (x.gated, w.gated))
        )
        toggles = x.toggles.sum(axis=1)
        one = np.ones(len(cores), np.int64)
        found.products.add(
            cores,
            {
                "macs": macs * one,
                "zero_products": macs - (x.nonzero * w.nonzero).sum(axis=1),
                "inputs": positions * places * one,
                "zero_inputs": positions * places - x.nonzero.sum(axis=1),
                "weights": outputs * places * loads * one,
                "zero_weights": loads * (outputs * places - w.nonzero.sum(axis=1)),
                "operand_bits": bits * (macs + outputs * places * loads) * one,
                "operand_toggles": toggles * outputs + w.toggles.sum(axis=1) * loads,
                "multiplier_toggles": inside,
                # By place alone a withheld product could seem to move more than one that is not.
                "gated_toggles": np.minimum(gated, inside),
            },
        )
        read = bits * positions * places * sets
        found.memory["vectors"].add(cores, read * one, x.ones * sets, toggles * sets)


def _tally(
    kernel: Callable[..., None], operands: Array, register: tuple[int, int], kept: tuple[int, ...]
) -> _Tally:
    """Run a kernel of `bits.py`; places of the operands side by side."""
    shape = tuple(operands.shape[d] for d in kept)
    counted = [np.zeros(shape, np.uint32) for _ in range(3)]
    ones = np.zeros(operands.shape[:2] if kernel is vector_activity else len(operands), np.int64)
    kernel(np.ascontiguousarray(operands), *register, *counted, ones)
    flat = [part.reshape(len(operands), -1).astype(np.int64) for part in counted]
    toggles, gated, nonzero = flat
    return _Tally(toggles, gated, nonzero, ones.reshape(len(operands), -1).sum(axis=1))


def _streams(
    words: Array, row: IntArray, first: IntArray, count: IntArray, bits: int, width: int
) -> tuple[IntArray, IntArray, IntArray]:
    """Bits, ones and toggles of streams of elements over wires for `width` bytes [streams]."""
    ones, toggles = (np.zeros(len(row), np.int64) for _ in range(2))
    stride = max(width * 8 // bits, 1)
    stream_activity(np.ascontiguousarray(words), row, first, count, stride, ones, toggles)
    return np.asarray(count * bits, np.int64), ones, toggles


def _padding(some: Together, inputs: Sequence[Tiles | None], bits: int) -> int:
    """The word that stands for padding: the input's zero point."""
    value, runtime = some.call.input(0), inputs[3] if len(inputs) > 3 else None
    zero = 0 if value.quantization is None else int(value.quantization.zero_point.flat[0])
    if runtime is not None:
        zero = int(runtime.stack(some.cores[:1]).flat[0])
    return int(as_words(np.array([zero]).astype(value.element.numpy), bits)[0])
