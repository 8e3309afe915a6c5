"""What a cut costs: busy cycles of every unit and events to be priced, for many cuts at once.

For every candidate and every core the operator says which boxes it touches and how much work that
is; this module turns that into cycles on the target's units. Nothing here knows an operator by
name, and no constant is tuned: widths and latencies come from the target's file.

Activation traffic between layers depends on two cuts; it is in `transfers.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import FloatArray
from zapdeploy.compile.graph import Call, Graph, Value
from zapdeploy.compile.layers import Layer, Read
from zapdeploy.compile.mapping.tiling import Cuts
from zapdeploy.compile.noc.mesh import Mesh
from zapdeploy.compile.noc.multicast import Multicast, multicast, numbered
from zapdeploy.compile.ops.base import MatrixTile, Unit, operator
from zapdeploy.compile.regions import IntArray, Region, Slices
from zapdeploy.errors import ModelError
from zapdeploy.hardware_targets import Target

PARTIAL_SUM_BYTES = 4  # accumulators are int32
PER_CHANNEL_BYTES = 4  # a requantization multiplier is float32
PER_INDEX_BYTES = 4  # a scale of one index of an activation is float32, its zero point int32

UNITS = ("matrix", "vector", "activation", "memory_port", "model_network", "partial_sum_network")


@dataclass(frozen=True, eq=False)
class Loads:
    """Costs of the candidate cuts of one layer; arrays over candidates.

    `cycles`: busy cycles per unit, of the busiest core or link. `fill`: cycles until the first
    result leaves the pipeline. The others are events summed over all cores, and bytes of the
    fullest core.
    """

    cycles: dict[str, FloatArray]
    fill: FloatArray
    macs: IntArray
    mac_bits: int
    matrix_cycles: IntArray
    vector_ops: FloatArray
    activation_ops: FloatArray
    accumulator_bytes: IntArray
    memory_bytes: FloatArray
    core_cycles: FloatArray
    model_bit_hops: FloatArray
    partial_sum_bit_hops: FloatArray
    parameter_bytes: FloatArray
    held_bytes: FloatArray

    @property
    def busiest(self) -> FloatArray:
        """Cycles of the slowest unit [candidates]."""
        slowest: FloatArray = np.maximum.reduce(list(self.cycles.values()))
        return slowest


WHOLE_BYTES = (8, 16, 32, 64)  # bits: widths that any chip stores


def storage_bits(value: Value, target: Target) -> int:
    """Bits an element takes on the chip: the next width that it has, for floats the vector unit's
    format."""
    if value.element.kind == "float":
        return 16 if target.core.vector_unit.format == "float16" else 32
    widths = (*target.core.matrix_unit.widths, *WHOLE_BYTES)
    return min(width for width in widths if width >= value.element.bits)


def widened(graph: Graph, target: Target) -> dict[tuple[int, int], int]:
    """How many integer tensors are stored wider than they are, by (their width, the stored one)."""
    pairs = [
        (value.element.bits, storage_bits(value, target))
        for value in graph.values.values()
        if value.element.is_integer
    ]
    return dict(sorted(Counter(pair for pair in pairs if pair[0] != pair[1]).items()))


def mac_bits(layer: Layer, target: Target) -> int:
    """Width the matrix unit works at: that of the wider operand."""
    wide = max(layer.anchor.input(i).element.bits for i in (0, 1))
    found = target.core.matrix_unit.fitting(wide)
    if found is None:
        raise ModelError(
            f"matrix operands must have at most {target.core.matrix_unit.widest} bits on "
            f"{target.name}, not {wide} (node '{layer.name}'); zapdeploy quantize gives them 8"
        )
    return found


def own_loads(layer: Layer, cuts: Cuts, target: Target) -> Loads:
    """Everything a layer costs under each cut, but for the activations it fetches."""
    work = core_work(layer, cuts, target)
    sent = _parameters(layer, cuts, target, work.accumulator_tiles)
    per_core = work.unit_cycles(target, sent.read_bytes)
    cycles = {unit: np.ceil(load.max(axis=1)) for unit, load in per_core.items()}
    cycles["model_network"] = np.ceil(sent.link_bytes / target.networks.model.width.value)
    cycles["partial_sum_network"] = work.partial.cycles
    unit = target.core.matrix_unit
    sums = 2 * PARTIAL_SUM_BYTES * int(unit.outputs) * unit.at_once
    return Loads(
        cycles=cycles,
        fill=_fill(layer, target, sent) + work.partial.latency,
        macs=work.macs.sum(axis=1),
        mac_bits=work.mac_bits,
        matrix_cycles=work.matrix.sum(axis=1),
        vector_ops=work.vector_ops.sum(axis=1),
        activation_ops=work.activation_ops.sum(axis=1),
        accumulator_bytes=work.matrix.sum(axis=1) * sums,
        memory_bytes=(work.port_bytes + sent.read_bytes).sum(axis=1),
        core_cycles=np.maximum.reduce(list(per_core.values())).sum(axis=1),
        model_bit_hops=sent.bit_hops,
        partial_sum_bit_hops=work.partial.bit_hops,
        parameter_bytes=np.ceil(sent.stored_bytes + work.scale_bytes.max(axis=1)),
        held_bytes=work.held_bytes.max(axis=1),
    )


@dataclass(frozen=True, eq=False)
class PartialSums:
    """Traffic of the partial-sum network [candidates], and additions [candidates, cores]."""

    cycles: FloatArray
    latency: FloatArray
    bit_hops: FloatArray
    adds: FloatArray


@dataclass(frozen=True, eq=False)
class CoreWork:
    """What each core does by itself; arrays [candidates, cores]."""

    macs: IntArray
    mac_bits: int
    matrix: IntArray  # cycles of the matrix unit
    accumulator_tiles: IntArray  # how often the weights are loaded
    vector_ops: FloatArray
    activation_ops: FloatArray
    port_bytes: FloatArray  # activations and their scales through the memory port
    scale_bytes: FloatArray  # kept for the whole run: scales of activations that differ by index
    held_bytes: FloatArray
    partial: PartialSums

    def unit_cycles(self, target: Target, parameter_bytes: Any = 0.0) -> dict[str, FloatArray]:
        """Busy cycles of the units inside each core [candidates, cores]."""
        core = target.core
        return {
            "matrix": self.matrix.astype(np.float64),
            "vector": self.vector_ops / core.vector_unit.rate.value,
            "activation": self.activation_ops / core.activation_unit.rate.value,
            "memory_port": (self.port_bytes + parameter_bytes) / core.memory_port.width.value,
        }


def core_work(layer: Layer, cuts: Cuts, target: Target) -> CoreWork:
    """The work inside each core: matrix cycles, element operations, memory traffic."""
    held = cuts.held.volume.astype(np.float64)
    vector, activation = _element_ops(layer, held)
    none = np.zeros(held.shape, np.int64)
    macs, matrix, accumulator_tiles, bits = none, none, none + 1, 8
    if layer.operator.unit is Unit.MATRIX:
        bits = mac_bits(layer, target)
        tiles = layer.operator.matrix_tiles(layer.anchor, cuts.output, cuts.reduction)
        macs = np.sum([tile.macs for tile in tiles], axis=0)
        matrix = np.sum([_matrix_cycles(tile, bits, target) for tile in tiles], axis=0)
        accumulator_tiles = np.max([_accumulator_tiles(tile, target) for tile in tiles], axis=0)
    partial = _partial_sums(cuts, target)
    scales = _activation_scale_bytes(layer, cuts)
    return CoreWork(
        macs=macs,
        mac_bits=bits,
        matrix=matrix,
        accumulator_tiles=accumulator_tiles,
        vector_ops=vector + partial.adds,
        activation_ops=activation,
        port_bytes=_port_bytes(layer, cuts, target, matrix, accumulator_tiles, held) + scales,
        scale_bytes=scales,
        held_bytes=np.ceil(held * storage_bits(layer.output, target) / 8),
        partial=partial,
    )


def read_region(read: Read, cuts: Cuts) -> Region:
    """The box of a stored tensor that each core needs [candidates, cores, rank]."""
    region = _call_regions(read.call, cuts)[read.input]
    assert region is not None
    for view in read.views:
        inner = operator(view.node.op).input_regions(view, region)[0]
        assert inner is not None
        region = inner
    return region


def read_slices(read: Read, cuts: Cuts) -> Slices | None:
    """What each core leaves out of the box that it needs of a stored tensor; None: nothing."""
    op, call = operator(read.call.node.op), read.call
    out = cuts.output if op.unit is Unit.MATRIX else cuts.held
    found = op.slices(call, read.input, out)
    if found is None or not read.views:
        return found
    seen, source = call.input(read.input).shape, read.source.shape
    width = math.prod(seen[found.axis :]) // seen[found.axis]
    if len(read.views) > 1 or not source or source[-1] != width * seen[found.axis]:
        return None
    return Slices(len(source) - 1, found.width * width, found.wanted)


_MANY = 8  # inputs; what these read is found out once, not once for each of them


def _call_regions(call: Call, cuts: Cuts) -> tuple[Region | None, ...]:
    """The box of each input that each core needs for one call."""
    op = operator(call.node.op)
    if op.unit is Unit.MATRIX:
        return op.input_regions(call, cuts.output, cuts.reduction)
    if len(call.inputs) < _MANY:
        return op.input_regions(call, cuts.held)
    if id(call) not in cuts.read_boxes:
        cuts.read_boxes[id(call)] = op.input_regions(call, cuts.held)
    return cuts.read_boxes[id(call)]


def _element_ops(layer: Layer, held: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Vector and activation operations of each core [candidates, cores]."""
    works = [operator(call.node.op).element_work(call) for call in layer.calls]
    return held * sum(w.vector for w in works), held * sum(w.activation for w in works)


def _matrix_cycles(tile: MatrixTile, bits: int, target: Target) -> IntArray:
    """Cycles of the vector-matrix unit: whole input vectors times whole sets of outputs.

    Groups smaller than the unit are packed side by side (block-diagonal matrices).
    """
    output_tiles, vectors = output_tiles_and_vectors(tile, bits, target)
    return position_cycles(tile.positions, target) * output_tiles * vectors


def position_cycles(positions: IntArray, target: Target) -> IntArray:
    """Cycles in which a matrix meets so many positions."""
    return -(-positions // target.core.matrix_unit.at_once)


def output_tiles_and_vectors(
    tile: MatrixTile, bits: int, target: Target
) -> tuple[IntArray, IntArray]:
    """Sets of outputs, packed groups included, and the input vectors that each of them takes."""
    unit = target.core.matrix_unit
    inputs, outputs = unit.inputs(bits), int(unit.outputs)
    run, made = np.maximum(tile.run_values, 1), np.maximum(tile.outputs, 1)
    packed = np.maximum(np.minimum(inputs // run, outputs // made), 1)
    output_tiles = -(-tile.groups // packed) * -(-tile.outputs // outputs)
    if unit.packs_taps:
        return output_tiles, -(-tile.runs * tile.run_values // inputs)
    return output_tiles, tile.runs * -(-tile.run_values // inputs)


def _accumulator_tiles(tile: MatrixTile, target: Target) -> IntArray:
    """How often the weights are loaded: once per accumulator's worth of positions."""
    unit = target.core.matrix_unit
    room = int(unit.accumulators) // (PARTIAL_SUM_BYTES * int(unit.outputs))
    return np.maximum(-(-tile.positions // room), 1)


@dataclass(frozen=True, eq=False)
class _Sent:
    """Parameters on their way from where they are stored to where they are used."""

    link_bytes: FloatArray  # busiest link or port of the model network [candidates]
    bit_hops: FloatArray  # [candidates]
    read_bytes: FloatArray  # read from each core's memory [candidates, cores]
    stored_bytes: FloatArray  # in the fullest core [candidates]
    remote: NDArray[np.bool_]  # whether anything travels [candidates]


def _parameters(layer: Layer, cuts: Cuts, target: Target, accumulator_tiles: IntArray) -> _Sent:
    slices, bytes_each = parameter_slices(layer, cuts, target)
    spread: Multicast = multicast(slices, bytes_each, Mesh.of(target))
    repeats = accumulator_tiles.max(axis=1)
    return _Sent(
        link_bytes=spread.link_bytes * repeats,
        bit_hops=spread.bit_hops * repeats,
        read_bytes=spread.stored_bytes * repeats[:, None],
        stored_bytes=np.ceil(spread.stored_bytes.max(axis=1)),
        remote=spread.link_bytes > 0,
    )


def parameter_slices(layer: Layer, cuts: Cuts, target: Target) -> tuple[IntArray, FloatArray]:
    """Which slice of the layer's parameters each core needs, and its bytes [candidates, cores].

    Cores with the same number need the same slice; -1 where a core needs none.
    """
    size = np.zeros((len(cuts), cuts.cores))
    key = np.zeros((len(cuts), cuts.cores), np.int64)
    for call in layer.calls:
        regions: tuple[Region | None, ...] | None = None
        for index, value in enumerate(call.inputs):
            if value is None or not value.is_constant:
                continue
            if regions is None:
                regions = call_regions(call, cuts)
            region = regions[index]
            assert region is not None
            size += np.ceil(region.volume * (storage_bits(value, target) / 8))
            without = (region.volume == 0) & (cuts.output.volume > 0)
            if without.any():  # cores that pass their sums on to others need nothing of it
                key = numbered(key * 2 + without)
            for low, extent in zip(np.moveaxis(region.low, -1, 0), value.shape, strict=True):
                if low.any():
                    key = numbered(key * extent + low)
    scales = scale_bytes(layer, cuts)
    if np.any(scales):  # cores without any weights have those of their channels all the same
        channel = layer.operator.channel_axis(layer.anchor)
        key = numbered(key * layer.anchor.output.shape[channel] + cuts.output.low[..., channel])
    size += scales
    active = (cuts.output.volume > 0) & (size > 0)
    if target.core.weights == "resident":  # nobody shares: each core keeps its own
        key = np.broadcast_to(np.arange(cuts.cores), key.shape)
    return np.where(active, key, -1), np.where(active, size, 0.0)


def call_regions(call: Call, cuts: Cuts) -> tuple[Region | None, ...]:
    """What each core reads of every input under these cuts."""
    op = operator(call.node.op)
    if op.unit is Unit.MATRIX:
        return op.input_regions(call, cuts.output, cuts.reduction)
    return op.input_regions(call, cuts.held)


def scale_bytes(layer: Layer, cuts: Cuts) -> Any:
    """Per-channel multipliers; per-tensor ones are part of the program, those of an activation
    stay with the core."""
    if layer.operator.unit is not Unit.MATRIX or not layer.anchor.input(1).is_constant:
        return 0.0
    weights = layer.anchor.input(1).quantization
    if weights is None or weights.axis is None:
        return 0.0
    channel = layer.operator.channel_axis(layer.anchor)
    return PER_CHANNEL_BYTES * cuts.output.extent[..., channel]


def _activation_scale_bytes(layer: Layer, cuts: Cuts) -> FloatArray:
    """Scales and zero points along an axis of what a layer reads and writes [candidates, cores].

    Each core keeps those of its own boxes (of its neurons) beside the program: they never travel.
    """
    size = np.zeros((len(cuts), cuts.cores))
    seen: set[str] = set()
    for call in layer.calls:
        values = [(v, i) for i, v in enumerate(call.inputs) if v is not None and not v.is_constant]
        for value, index in (*values, (call.output, -1)):
            meaning = value.quantization
            if meaning is None or meaning.axis is None or value.name in seen:
                continue
            seen.add(value.name)
            region = cuts.held if index < 0 else call_regions(call, cuts)[index]
            assert region is not None
            each = PER_INDEX_BYTES * (2 if np.ptp(meaning.zero_point) else 1)
            size += each * region.extent[..., meaning.axis] * (region.volume > 0)
    return size


def _partial_sums(cuts: Cuts, target: Target) -> PartialSums:
    """Sums over cut input channels: each core adds its part and passes it to the next core."""
    network, mesh = target.networks.partial_sum, Mesh.of(target)
    place = cuts.coordinates[..., -1]
    volume = cuts.output.volume
    sends = (place < cuts.factors[:, None, -1] - 1) & (volume > 0)
    receives = (place > 0) & (volume > 0)
    core = np.arange(cuts.cores)
    hops = mesh.hops_to_next(core) * sends
    bits = volume * PARTIAL_SUM_BYTES * 8
    longest = np.where(sends, volume * PARTIAL_SUM_BYTES, 0).max(axis=1)
    length = cuts.factors[:, None, -1]
    chains = mesh.chain_hops(core - place, length)  # from the first core of each sum
    steps = np.where(volume > 0, chains, length - 1).max(axis=1)
    return PartialSums(
        cycles=np.ceil(longest / network.width.value),
        latency=np.asarray(steps * network.hop_latency.value, np.float64),
        bit_hops=(bits * hops).sum(axis=1).astype(np.float64),
        adds=np.where(receives, volume, 0).astype(np.float64),
    )


def _port_bytes(
    layer: Layer,
    cuts: Cuts,
    target: Target,
    matrix: IntArray,
    accumulator_tiles: IntArray,
    held: FloatArray,
) -> FloatArray:
    """Bytes through each core's memory port for activations [candidates, cores].

    The matrix unit reads one input vector a cycle. Other operands are read once per box, a matrix
    operand that is itself an activation once per accumulator tile; results are written once.
    """
    port = held * (storage_bits(layer.output, target) / 8)
    if layer.operator.unit is Unit.MATRIX:
        port += matrix * target.core.matrix_unit.input_bytes(mac_bits(layer, target))
    for read in layer.reads:
        if layer.operator.unit is Unit.MATRIX and read.call is layer.anchor and read.input == 0:
            continue
        volume = read_region(read, cuts).volume * (storage_bits(read.source, target) / 8)
        port = port + volume * (accumulator_tiles if read.call is layer.anchor else 1)
    return port


def _fill(layer: Layer, target: Target, sent: _Sent) -> FloatArray:
    """Cycles before the pipeline runs full and after its last input: start, networks, depths."""
    core, networks = target.core, target.networks
    across = Mesh.of(target).diameter
    fill = target.programs.start_latency.value + core.vector_unit.latency.value
    fill += core.activation_unit.latency.value
    if layer.reads:
        fill += across * networks.activation.hop_latency.value
    if layer.operator.unit is not Unit.MATRIX:
        return np.full(len(sent.remote), fill)
    unit = core.matrix_unit
    matrix_bytes = unit.input_bytes(mac_bits(layer, target)) // unit.at_once * int(unit.outputs)
    first_weights = matrix_bytes / networks.model.width.value
    fill += unit.latency.value + first_weights
    extra = max(networks.model.hop_latency.value - networks.activation.hop_latency.value, 0.0)
    return fill + np.where(sent.remote, across * extra, 0.0)
