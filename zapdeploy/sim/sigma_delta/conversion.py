"""The integer graph as a sigma-delta network that computes the same codes, frame by frame.

A convolution or matrix product becomes a population behind its synapses; a residual addition one
with two sums. Codes travel relative to their zero points, so padding and rest are zero. Paths of
different length are made equal by relays, since every message takes a step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from zapdeploy.compile.graph import Array, Call, Graph, Quantization, Value
from zapdeploy.compile.layers import host_nodes, network_inputs, network_outputs
from zapdeploy.compile.ops.base import Unit, operator
from zapdeploy.compile.regions import IntArray
from zapdeploy.errors import ModelError
from zapdeploy.sim.sigma_delta.addition import addition
from zapdeploy.sim.sigma_delta.arithmetic import mantissas
from zapdeploy.sim.sigma_delta.layout import Layout, box_of
from zapdeploy.sim.sigma_delta.network import (
    NO_LIMITS,
    Connection,
    Output,
    Population,
    Requantization,
    SigmaDeltaNetwork,
)

STATE_BITS = 24  # of a neuron's running sum on the chip
WEIGHT_BITS = 8
MOST_DENSE = 1 << 27  # weights of a connection that is written out


def convert(graph: Graph) -> SigmaDeltaNetwork:
    """The network of a graph at batch 1. Raises ModelError naming the node it cannot convert."""
    drawing = _Drawing(graph)
    for value in network_inputs(graph):
        drawing.add_input(value)
    hosted = host_nodes(graph)
    for call in graph.calls():
        if call.node.name in hosted:
            continue
        if operator(call.node.op).unit is Unit.VIEW:
            drawing.add_view(call)
            continue
        if call.node.op not in _CONVERSIONS:
            known = ", ".join(sorted(_CONVERSIONS))
            raise ModelError(
                f"operator must be one of {known} for an event-driven chip, not {call.node.op} "
                f"(node '{call.node.name}')"
            )
        _CONVERSIONS[call.node.op](drawing, call)
    outputs = tuple(
        Output(
            value.name,
            drawing.population(value, "output").name,
            drawing.layout(value),
            drawing.scale(value),
        )
        for value in network_outputs(graph)
    )
    return SigmaDeltaNetwork(
        graph.name, tuple(drawing.populations), tuple(drawing.connections), outputs
    )


@dataclass
class _Drawing:
    """A network while it is made. `places`: where each tensor's codes are, and in what order."""

    graph: Graph
    populations: list[Population] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)
    places: dict[str, tuple[Population, Layout]] = field(default_factory=dict)
    relays: dict[tuple[str, int], Population] = field(default_factory=dict)
    sums: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def add_input(self, value: Value) -> None:
        _quantized(value, "network input")
        layout = box_of(value)
        self._put(value, Population(value.name, layout, 0, None))

    def add_view(self, call: Call) -> None:
        """The same neurons under another shape."""
        source, viewed = (v.quantization for v in (call.input(0), call.output))
        if source is None or viewed is None or not source.same(viewed):
            raise ModelError(
                "a reshaped tensor must keep its scale and zero point for an event-driven chip "
                f"(node '{call.node.name}')"
            )
        population, layout = self.places[call.input(0).name]
        self.places[call.output.name] = (population, layout.viewed(call.output))

    def population(self, value: Value, role: str) -> Population:
        if value.name not in self.places:
            raise ModelError(f"{role} '{value.name}' must be computed from the network's inputs")
        return self.places[value.name][0]

    def scale(self, value: Value) -> NDArray[np.float32]:
        """What a step of a code is worth [x, y, channel]; of a float tensor, of its sum."""
        if value.quantization is not None:
            return value.quantization.scale.reshape(1, 1, 1)
        return self.sums[self.places[value.name][0].name]

    def layout(self, value: Value) -> Layout:
        return self.places[value.name][1]

    def neurons(self, call: Call, depth: int, requantization: Requantization) -> Population:
        made = Population(call.node.name, box_of(call.output), depth, requantization)
        if call.output.quantization is None:
            self.sums[made.name] = _scale_of_sums(call)
        self._put(call.output, made)
        return made

    def at_depth(self, population: Population, depth: int) -> Population:
        """The population itself, or a relay of it whose codes come as late as `depth`."""
        origin = population.name
        while population.depth < depth:
            key = (origin, population.depth + 1)
            if key not in self.relays:
                self.relays[key] = self._relay(population, f"{origin}+{population.depth + 1}")
            population = self.relays[key]
        return population

    def _relay(self, population: Population, name: str) -> Population:
        one = np.ones((1, 1, 1), np.int64)
        made = Population(
            name,
            population.layout,
            population.depth + 1,
            Requantization.of_one_sum(0 * one, one, 0, NO_LIMITS, rounds_first=False),
        )
        self.populations.append(made)
        self.connections.append(one_to_one(population, made))
        return made

    def _put(self, value: Value, made: Population) -> None:
        self.populations.append(made)
        self.places[value.name] = (made, made.layout)


def one_to_one(source: Population, target: Population, *, second: bool = False) -> Connection:
    """Every neuron to its counterpart."""
    channels = source.shape[2]
    weights = np.ones((channels, 1, 1, 1), np.int64)
    return Connection(source.name, target.name, "conv", weights, second, groups=channels)


def _convert_conv(drawing: _Drawing, call: Call) -> None:
    source = drawing.population(call.input(0), "input")
    rank = len(call.input(0).shape) - 2
    weights = _weights(call)
    pads = call.ints("pads")
    if rank > 2 or pads[:rank] != pads[rank:]:
        raise ModelError(
            "convolution must have at most 2 spatial dimensions and the same padding at both ends "
            f"for an event-driven chip, not pads {list(pads)} (node '{call.node.name}')"
        )
    drawing.layout(call.input(0)).require_channels(call)
    shaped = weights.reshape(*weights.shape[:2], *weights.shape[2:], *(1,) * (2 - rank))
    target = drawing.neurons(call, source.depth + 1, _requantization(call, weights))
    drawing.connections.append(
        Connection(
            source.name,
            target.name,
            "conv",
            np.ascontiguousarray(shaped.transpose(0, 2, 3, 1)),
            strides=_pair(call.ints("strides"), 1),
            padding=_pair(pads[:rank], 0),
            dilations=_pair(call.ints("dilations"), 1),
            groups=call.int("group"),
        )
    )


def _convert_matmul(drawing: _Drawing, call: Call) -> None:
    source, layout = drawing.population(call.input(0), "input"), drawing.layout(call.input(0))
    weights = _weights(call).T
    if weights.ndim != 2 or call.input(0).size != weights.shape[1]:
        raise ModelError(
            "matrix product must be of one row with a matrix for an event-driven chip, not "
            f"{list(call.input(0).shape)} by {list(call.input(1).shape)} "
            f"(node '{call.node.name}'); write it as a convolution"
        )
    target = drawing.neurons(call, source.depth + 1, _requantization(call, weights))
    # Column j belongs to element j of the tensor, which lies elsewhere in the population.
    dense = np.empty_like(weights)
    dense[:, layout.positions()] = weights
    drawing.connections.append(Connection(source.name, target.name, "dense", dense))


def _convert_block_sparse(drawing: _Drawing, call: Call) -> None:
    """An edge is a synapse, one for each of the numbers that a neuron tells.

    x [numbers, blocks, B] is a view of [1, numbers, neurons]; y [numbers, neurons, 1] lies as such.
    """
    source, layout = drawing.population(call.input(0), "input"), drawing.layout(call.input(0))
    numbers, blocks, length = call.input(0).shape
    rows, out = call.output.shape[1], call.output.quantization
    if numbers * rows * layout.positions().size > MOST_DENSE:
        raise ModelError(
            f"sparse product must be of at most {MOST_DENSE:,} pairs of neurons for an "
            f"event-driven chip, not {numbers * rows:,} by {layout.positions().size:,} "
            f"(node '{call.node.name}'); take fewer neurons"
        )
    weights = _written_out(call)
    box = Layout((1, numbers, rows), call.output.shape)
    if out is None:
        raise ModelError(
            f"sparse product must be quantized for an event-driven chip (node '{call.node.name}')"
        )
    along = _requantization(call, weights)
    made = Population(call.node.name, box, source.depth + 1, _along_neurons(along))
    drawing._put(call.output, made)
    dense = np.zeros((rows, numbers, layout.positions().size), np.int64)
    places = layout.positions().reshape(numbers, blocks * length)
    for number in range(numbers):
        dense[:, number, places[number]] = weights
    flat = dense.reshape(rows * numbers, -1)
    drawing.connections.append(Connection(source.name, made.name, "dense", flat))


def _written_out(call: Call) -> IntArray:
    """All weights of a sparse product, those that are not there 0 [outputs, inputs]."""
    held, blocks = _weights(call), call.input(5).data
    assert blocks is not None
    first, (_, rows, length) = call.ints("first"), held.shape
    full = np.zeros((len(first) - 1, rows, call.input(0).shape[1], length), np.int64)
    for group, (low, high) in enumerate(pairwise(first)):
        full[group][:, blocks[low:high]] = held[low:high].swapaxes(0, 1)
    return full.reshape(full.shape[0] * rows, -1)


def _along_neurons(found: Requantization) -> Requantization:
    """What runs over channels [1, 1, n] over neurons [n, 1, 1]."""
    return replace(
        found, bias=found.bias.reshape(-1, 1, 1), multiplier=found.multiplier.reshape(-1, 1, 1)
    )


def _convert_add(drawing: _Drawing, call: Call) -> None:
    a, b = call.input(0), call.input(1)
    if a.is_constant or b.is_constant or a.shape != b.shape:
        raise ModelError(
            "addition must be of two computed tensors of one shape for an event-driven chip, not "
            f"{list(a.shape)} and {list(b.shape)} (node '{call.node.name}')"
        )
    if drawing.layout(a) != drawing.layout(b):
        raise ModelError(
            "both operands of an addition must lie alike in an event-driven chip "
            f"(node '{call.node.name}')"
        )
    first, second = drawing.population(a, "operand"), drawing.population(b, "operand")
    depth = max(first.depth, second.depth)
    first, second = drawing.at_depth(first, depth), drawing.at_depth(second, depth)
    target = drawing.neurons(call, depth + 1, addition(call))
    drawing.connections.append(one_to_one(first, target))
    drawing.connections.append(one_to_one(second, target, second=True))


def _convert_pad(drawing: _Drawing, call: Call) -> None:
    """Neurons behind an input's last, which never send: what is padded with is at rest."""
    before, after = call.input(0), call.output
    source = drawing.population(before, "input")
    rest = call.number("value") == 0 and _quantized(after, "padding").same(
        _quantized(before, "padding")
    )
    behind = tuple(after.shape[:2]) == tuple(before.shape[:2]) and not any(call.ints("pads")[:3])
    heard = any(source.name == connection.source for connection in drawing.connections)
    if not (rest and behind and len(after.shape) == 3) or source.depth or heard:
        raise ModelError(
            "padding must be zeros behind the neurons of the network's input for an event-driven "
            f"chip (node '{call.node.name}')"
        )
    made = replace(source, layout=box_of(after))
    drawing.populations[drawing.populations.index(source)] = made
    drawing.places[after.name] = (made, made.layout)


def _convert_slice(drawing: _Drawing, call: Call) -> None:
    """The first neurons of a population, of which no more are read."""
    before, after = call.input(0), call.output
    population, layout = drawing.population(before, "input"), drawing.layout(before)
    first = not any(call.ints("starts")) and set(call.ints("steps")) == {1}
    whole = before.shape == layout.shape and before.shape[:2] == after.shape[:2]
    if not (first and whole and len(after.shape) == 3):
        raise ModelError(
            "slices must be of the first neurons, all of their numbers, for an event-driven chip "
            f"(node '{call.node.name}')"
        )
    drawing.places[after.name] = (population, layout.cut(after))


# What each becomes on an event-driven chip: a matter of that chip alone.
_CONVERSIONS: dict[str, Callable[[_Drawing, Call], None]] = {
    "Add": _convert_add,
    "BlockSparse": _convert_block_sparse,
    "Conv": _convert_conv,
    "MatMul": _convert_matmul,
    "Pad": _convert_pad,
    "Slice": _convert_slice,
}


def _pair(values: tuple[int, ...], missing: int) -> tuple[int, int]:
    first, second = (*values, missing)[:2]
    return first, second


def _quantized(value: Value, role: str) -> Quantization:
    found = value.quantization
    if found is None or found.axis is not None or value.element.bits > 8:
        raise ModelError(
            f"{role} must be integers of at most 8 bits with one scale for an event-driven chip, "
            f"not {value.element.name} ('{value.name}')"
        )
    return found


def _weights(call: Call) -> Array:
    """The weights as integers without zero point, checked against what a synapse holds."""
    value = call.input(1)
    if value.data is None or value.quantization is None:
        raise ModelError(
            "weights must be quantized constants for an event-driven chip "
            f"(node '{call.node.name}')"
        )
    zero = value.quantization.along(value.quantization.zero_point, value.data.ndim)
    weights = value.data.astype(np.int64) - zero
    limit = 1 << (WEIGHT_BITS - 1)
    if weights.min(initial=0) < -limit or weights.max(initial=0) >= limit:
        raise ModelError(
            f"weights must be in [{-limit}, {limit}) for an event-driven chip, not reach "
            f"{int(np.abs(weights).max())} (node '{call.node.name}')"
        )
    return weights


def _requantization(call: Call, weights: Array) -> Requantization:
    """m = s_x s_w / s_y as 24-bit integers, exactly; the sums themselves for a float output."""
    source = _quantized(call.input(0), "input")
    bias = _bias(call)
    _check_state(call, weights, bias, source)
    out = call.output.quantization
    if out is None:
        one = np.ones((1, 1, 1), np.int64)
        return Requantization.of_one_sum(bias, one, 0, NO_LIMITS, rounds_first=False)
    _quantized(call.output, "output")
    scale = call.input(1).quantization
    assert scale is not None
    multipliers = (source.scale * scale.scale / out.scale).astype(np.float32)
    silent = ~(weights.reshape(len(weights), -1).any(axis=1) | bias.astype(bool).reshape(-1))
    if multipliers.size == silent.size:  # whatever 0 is multiplied with is 0
        multipliers = np.where(silent, multipliers.max(), multipliers)
    try:
        multiplier, shift = mantissas(multipliers)
    except ValueError:
        raise ModelError(
            "scales of output channels must lie within a factor of 16,384 for an event-driven "
            f"chip (node '{call.node.name}')"
        ) from None
    zero = int(out.zero_point[0])
    limits = (out.low - zero, out.high - zero)
    per_channel = multiplier.reshape(1, 1, -1)
    return Requantization.of_one_sum(bias, per_channel, shift, limits, rounds_first=True)


def _scale_of_sums(call: Call) -> NDArray[np.float32]:
    """s_x s_w [1, 1, channel]: what a step of the sum behind a float output is worth."""
    scales = [_scales(call.input(i)) for i in (0, 1)]
    return (scales[0] * scales[1]).reshape(1, 1, -1)


def _scales(value: Value) -> NDArray[np.float32]:
    assert value.quantization is not None
    return value.quantization.scale


def _bias(call: Call) -> IntArray:
    value = call.optional(2)
    if value is None:
        return np.zeros((1, 1, 1), np.int64)
    if value.data is None or not value.element.is_integer:
        raise ModelError(
            f"bias must be an integer constant for an event-driven chip (node '{call.node.name}')"
        )
    return value.data.astype(np.int64).reshape(1, 1, -1)


def _check_state(call: Call, weights: Array, bias: IntArray, source: Quantization) -> None:
    """Raise ModelError unless no sum can leave the bits of a neuron's state."""
    zero = int(source.zero_point[0])
    largest = max(abs(source.low - zero), abs(source.high - zero))
    fan_in = np.abs(weights).reshape(len(weights), -1).sum(axis=1)
    worst = int((fan_in * largest + np.abs(bias).max()).max(initial=0))
    if worst >= 1 << (STATE_BITS - 1):
        raise ModelError(
            f"sums must fit the {STATE_BITS} bits of a neuron's state, not reach {worst:,} "
            f"(node '{call.node.name}'); quantize to fewer bits"
        )
