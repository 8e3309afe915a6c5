"""Parameters: stored in parts in the cores' memories before the run, sent to who needs them.

A core computes with the bytes that arrived, whatever they are. Cores to which the same parts are
sent have the same slice; each different slice is put together once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zapdeploy.compile.graph import FLOAT32, Array, Value
from zapdeploy.compile.kernels.jit import compiled
from zapdeploy.compile.mapping.cost import storage_bits
from zapdeploy.compile.program.layer import LayerEvents
from zapdeploy.compile.program.parameters import Constant, Parameters
from zapdeploy.compile.regions import IntArray, Region
from zapdeploy.errors import SimulationError
from zapdeploy.hardware_targets import Target
from zapdeploy.sim.core_array.copying import gather_bytes
from zapdeploy.sim.core_array.memory import Memory
from zapdeploy.sim.core_array.packing import Cells, pack, planes, unpack
from zapdeploy.sim.core_array.tiles import Tiles

SCALE_BITS = 32


def load(events: LayerEvents, memory: Memory, target: Target) -> None:
    """Write every core's part of a layer's parameters into its memory."""
    parameters = events.parameters
    count = parameters.stored_high - parameters.stored_low
    if not count.any():
        return
    used, leaders = np.unique(parameters.slice_of, return_index=True)
    leaders = leaders[used >= 0]
    content = _content(events, leaders, target)
    row = np.searchsorted(used[used >= 0], parameters.slice_of)
    row = np.where(parameters.slice_of < 0, 0, row)
    parts = np.zeros((len(content), len(count), int(count.max())), np.uint8)
    for plane, out in zip(content, parts, strict=True):
        gather_bytes(plane, row, parameters.stored_low, count, out)
    memory.write(_key(events), parts, count, -1, events.layer.name)


def _key(events: LayerEvents) -> tuple[str, str, int]:
    return events.layer.name, "parameters", -1


def _content(events: LayerEvents, leaders: IntArray, target: Target) -> Cells:
    """Whole slices, one row for each of the cores `leaders` [planes, slices, bytes]."""
    parameters = events.parameters
    size = int(parameters.slice_bytes.max(initial=0))
    content = np.zeros((_planes(parameters, target), len(leaders), size), np.uint8)
    for constant in parameters.constants:
        value, bits = constant.value, storage_bits(constant.value, target)
        assert value.data is not None
        box = Region(constant.needed.low[leaders], constant.needed.high[leaders])
        cells = pack(Tiles.cut(value.data, box).values, value.element, bits)
        _place(content, cells, constant.first_byte[leaders], -(-box.volume * bits // 8))
    scales = parameters.scale_bytes[leaders]
    if scales.any():
        box = _scaled_channels(events, leaders)
        cells = pack(Tiles.cut(_scales(events), box).values, FLOAT32, SCALE_BITS)
        _place(content, cells, parameters.slice_bytes[leaders] - scales, scales)
    return content


def _planes(parameters: Parameters, target: Target) -> int:
    found = (planes(c.value.element, storage_bits(c.value, target)) for c in parameters.constants)
    return max(found, default=1)


def _scales(events: LayerEvents) -> Array:
    """The weights' scales, one for each output channel [channels]."""
    meaning = events.layer.anchor.input(1).quantization
    assert meaning is not None
    return meaning.scale.reshape(-1)


def _scaled_channels(events: LayerEvents, cores: IntArray) -> Region:
    channel = events.layer.operator.channel_axis(events.layer.anchor)
    output = events.cuts.output
    picked = (bound[0][cores][:, [channel]] for bound in output)
    return Region(*picked)


def _place(content: Cells, cells: Cells, first: IntArray, count: IntArray) -> None:
    for plane, values in zip(content, cells, strict=False):
        scatter_bytes(values, first, count, plane)


@compiled
def scatter_bytes(source: Array, first: Array, count: Array, out: Array) -> None:
    """out[i] from first[i] on is source[i, :count[i]]."""
    for i in range(len(first)):
        for k in range(count[i]):
            out[i, first[i] + k] = source[i, k]


@dataclass(frozen=True, eq=False)
class Slices:
    """What arrived: slices as bytes [planes, slices, bytes], and which one each core has."""

    cells: Cells
    row: IntArray
    first: IntArray  # of the cores that have a slice, the first [slices]
    events: LayerEvents
    target: Target

    def constant(self, constant: Constant) -> Tiles:
        """One parameter, for each core its box."""
        bits = storage_bits(constant.value, self.target)
        values = self._values(
            constant.value, bits, constant.first_byte, -(-constant.needed.volume * bits // 8)
        )
        return Tiles(values, constant.needed, self.row)

    def scales(self) -> Tiles | None:
        """The weights' scales for each core's output channels; None where the program has them."""
        parameters = self.events.parameters
        if not parameters.scale_bytes.any():
            return None
        first = parameters.slice_bytes - parameters.scale_bytes
        kind = Value("scales", (), FLOAT32)
        values = self._values(kind, SCALE_BITS, first, parameters.scale_bytes)
        return Tiles(values, _scaled_channels(self.events, np.arange(len(self.row))), self.row)

    def _values(self, value: Value, bits: int, first: IntArray, count: IntArray) -> Array:
        depth = planes(value.element, bits)
        first, count = first[self.first], count[self.first]
        most = -(-int(count.max(initial=0)) // (bits // 8 or 1)) * (bits // 8 or 1)
        cells = np.zeros((depth, len(first), most), np.uint8)
        for plane, out in zip(self.cells, cells, strict=False):
            gather_bytes(plane, np.arange(len(first)), first, count, out)
        return unpack(cells, value.element, bits)


def receive(events: LayerEvents, memory: Memory, target: Target) -> Slices:
    """Send the parts and put together what every core gets."""
    parameters, name = events.parameters, events.layer.name
    cores = len(parameters.slice_of)
    depth = min(_planes(parameters, target), len(memory.cells))
    count = parameters.stored_high - parameters.stored_low
    if not parameters.slice_bytes.any():
        none = np.zeros(0, np.int64)
        return Slices(
            np.zeros((1, 0, 0), np.uint8), np.zeros(cores, np.int64), none, events, target
        )
    stored = memory.read(_key(events), depth, count, name)
    owner, low, high, arrives = _parts(parameters, name)
    packed = np.packbits(arrives, axis=0).astype(np.int64)
    key = np.vstack([parameters.slice_of, parameters.slice_bytes, packed])
    _, first, row = np.unique(key, axis=1, return_index=True, return_inverse=True)
    size = parameters.slice_bytes[first]
    slices = np.zeros((depth, len(first), int(parameters.slice_bytes.max())), np.uint8)
    for plane, out in zip(stored, slices, strict=True):
        written = np.zeros(out.shape, np.uint8)
        offset = low - parameters.stored_low[owner]
        spread_parts(plane, owner, offset, low, high, arrives[:, first], out, written)
    _check_written(written, size, first, name)
    return Slices(slices, row.reshape(-1), first, events, target)


def _parts(
    parameters: Parameters, name: str
) -> tuple[IntArray, IntArray, IntArray, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    """Owner, bytes [low, high) and the cores that get it [parts, cores]: a core's own part, and
    every message."""
    messages = parameters.messages
    own = np.flatnonzero(parameters.stored_high > parameters.stored_low)
    low, high = messages.boxes.low[:, 0], messages.boxes.high[:, 0]
    beyond = (low < parameters.stored_low[messages.senders]) | (
        high > parameters.stored_high[messages.senders]
    )
    if beyond.any():
        m = int(beyond.argmax())
        raise SimulationError(
            f"core {messages.senders[m]} must store bytes {low[m]} to {high[m]} of its parameters "
            f"to send them, not others (layer '{name}'); compile the model again"
        )
    # A part that a core keeps and sends is one part, so that all who get it have equal slices.
    part_of = np.full(len(parameters.slice_of), -1, np.int64)
    part_of[own] = np.arange(len(own))
    arrives = np.zeros((len(own) + len(messages), len(parameters.slice_of)), bool)
    arrives[np.arange(len(own)), own] = True
    whole = (low == parameters.stored_low[messages.senders]) & (
        high == parameters.stored_high[messages.senders]
    )
    place = np.where(whole, part_of[messages.senders], len(own) + np.arange(len(messages)))
    np.logical_or.at(arrives, place, messages.receivers)
    owner = np.concatenate([own, messages.senders])
    low = np.concatenate([parameters.stored_low[own], low])
    high = np.concatenate([parameters.stored_high[own], high])
    return owner, low, high, arrives


@compiled
def spread_parts(
    stored: Array, owner: Array, offset: Array, low: Array, high: Array, arrives: Array,
    out: Array, written: Array,
) -> None:  # fmt: skip
    """Every part into the slices that it arrives for; `written` counts each byte."""
    for part in range(len(owner)):
        for s in range(len(out)):
            if arrives[part, s]:
                for k in range(min(high[part], out.shape[1]) - low[part]):
                    out[s, low[part] + k] = stored[owner[part], offset[part] + k]
                    written[s, low[part] + k] = min(written[s, low[part] + k] + 1, 2)


def _check_written(written: Array, size: IntArray, first: IntArray, name: str) -> None:
    """Every core that has a slice gets each byte of it once."""
    wrong = (written != 1) & (np.arange(written.shape[1]) < size[:, None])
    if wrong.any():
        s, byte = (int(i) for i in np.argwhere(wrong)[0])
        times = "twice" if written[s, byte] else "never"
        raise SimulationError(
            f"core {first[s]} must receive byte {byte} of its {size[s]} bytes of parameters once, "
            f"not {times} (layer '{name}'); compile the model again"
        )
