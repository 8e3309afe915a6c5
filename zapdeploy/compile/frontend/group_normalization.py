"""InstanceNormalization and GroupNormalization, written out in operators that can be cut.

Kept whole, a group would be one core's work: its mean needs all of it. Written out, the means are
taken dimension by dimension, and everything else is elementwise, so that all cores share it:

    c = x - mean(x),   y = c * 1 / sqrt(mean(c^2) + epsilon) * scale + bias

Where x is codes, both means come from exact sums of integers (`ops/statistics.py`): of the codes
and of their squares, which one reading of x gives, and which parts of space can give each.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from zapdeploy.compile.frontend.errors import RefusedError
from zapdeploy.compile.frontend.graph_builder import GraphBuilder
from zapdeploy.compile.frontend.matrix import reshape
from zapdeploy.compile.frontend.onnx_node import OnnxNode
from zapdeploy.compile.frontend.registry import translates
from zapdeploy.compile.graph import INT64, Attribute, Shape, Value


@translates("InstanceNormalization")
def instance_normalization(builder: GraphBuilder, node: OnnxNode) -> None:
    """Each channel by itself. scale and bias: [C].

    torch writes GroupNorm as one over x reshaped to [N, groups, rest]. The dimensions before that
    reshape are found again, because they can be cut.
    """
    x = builder.real(node.required(0))
    if len(x.shape) < 3:
        raise RefusedError(f"input must have at least 3 dimensions, not {list(x.shape)}")
    _normalize(builder, node, x, _shape_before(builder, x), x.shape[1], x.shape[1])


@translates("GroupNormalization")
def group_normalization(builder: GraphBuilder, node: OnnxNode) -> None:
    """Groups of neighbouring channels. scale and bias: [C], [groups] before opset 21."""
    x = builder.real(node.required(0))
    groups = node.integer("num_groups", 0)
    if len(x.shape) < 3 or groups < 1 or x.shape[1] % groups:
        raise RefusedError(
            f"num_groups must divide the channels of an input [N, C, ...], not {groups} of "
            f"{list(x.shape)}"
        )
    _normalize(builder, node, x, x.shape, groups, x.shape[1] if node.version >= 21 else groups)


EXACT = 8  # bits of codes whose squares add up in 64 bits, however many there are
_CONVERSIONS = frozenset(("Quantize", "Dequantize", "Requantize"))


def _shape_before(builder: GraphBuilder, x: Value) -> Shape:
    """[N, C, ...] that x [N, groups, rest] was reshaped from; else its own shape."""
    producer = builder.producers.get(x.name)
    while producer is not None and producer.op in _CONVERSIONS:
        producer = builder.producers.get(producer.inputs[0])
    if producer is None or producer.op != "Reshape" or len(x.shape) != 3:
        return x.shape
    shape = builder.value(producer.inputs[0]).shape
    fits = len(shape) > 2 and shape[0] == x.shape[0] and not shape[1] % x.shape[1]
    return shape if fits else x.shape


def _codes(builder: GraphBuilder, x: Value) -> Value | None:
    """The codes with one scale that x is the real numbers of, if it is."""
    producer = builder.producers.get(x.name)
    while producer is not None and producer.op == "Reshape":
        producer = builder.producers.get(producer.inputs[0])
    if producer is None or producer.op != "Dequantize":
        return None
    codes = builder.value(producer.inputs[0])
    meaning = codes.quantization
    uniform = meaning is not None and meaning.is_uniform
    return codes if uniform and codes.element.bits <= EXACT and codes.data is None else None


def _normalize(
    builder: GraphBuilder, node: OnnxNode, x: Value, shape: Shape, groups: int, parameters: int
) -> None:
    """x seen as `shape`, [N, C, ...]; scale and bias have `parameters` numbers, C or groups."""
    steps = _Groups(builder, node, shape, groups)
    seen = steps.see(x.name, shape)
    epsilon = node.number("epsilon", 1e-5)
    codes = _codes(builder, x)
    if codes is None:
        centred = steps.emit("Sub", seen, steps.per_channel(steps.mean(seen)))
        variance = steps.mean(steps.emit("Mul", centred, centred))
        added = steps.emit("Add", variance, builder.constant(f"{node.name}_epsilon", epsilon))
        deviation = steps.emit("Reciprocal", steps.emit("Sqrt", added))
    else:
        mean, deviation = steps.statistics(codes, epsilon)
        centred = steps.emit("Sub", seen, steps.per_channel(mean))
    factor = steps.per_channel(deviation)
    normal = steps.emit("Mul", centred, factor)
    for index, op, nothing in ((1, "Mul", 1), (2, "Add", 0)):
        value = builder.real(node.required(index))
        if value.size != parameters:
            raise RefusedError(f"input {index} must have {parameters} numbers, not {value.size}")
        if value.data is None or np.any(value.data != nothing):
            normal = steps.emit(op, normal, steps.parameter(value))
    builder.emit(node, "Reshape", (normal,), shape=x.shape)


@dataclass(frozen=True, eq=False)
class _Groups:
    """Nodes that stand for parts of one ONNX node, over groups of the channels of `shape`."""

    builder: GraphBuilder
    node: OnnxNode
    shape: Shape
    groups: int

    @property
    def each(self) -> int:
        """Channels in a group."""
        return self.shape[1] // self.groups

    def emit(self, op: str, *inputs: str, **attributes: Attribute) -> str:
        output = self.builder.fresh(f"{self.node.output}_{op.lower()}")
        return self.builder.emit(self.node, op, inputs, attributes, output=output)

    def see(self, name: str, shape: Shape) -> str:
        """A value under another shape."""
        value = self.builder.value(name)
        if value.shape == shape:
            return name
        if value.data is not None:
            return self.builder.constant(f"{name}_seen", value.data.reshape(shape))
        return reshape(self.builder, self.node, value, shape)

    def mean(self, name: str) -> str:
        """The mean of each group of a tensor of `shape`: [N, groups, 1, 1, ...].

        First over what cores often have whole, channels and outer dimensions, then over the last
        two one after the other, so that no core needs much.
        """
        inner = (self.each, *self.shape[2:])
        name = self.see(name, (self.shape[0], self.groups, *inner))
        rank = 2 + len(inner)
        for axes in (tuple(range(2, rank - 2)), (rank - 1,), (rank - 2,)):
            if prod(inner[d - 2] for d in axes) > 1:
                name = self.emit("ReduceMean", name, axes=axes, keepdims=1)
        return name

    def statistics(self, codes: Value, epsilon: float) -> tuple[str, str]:
        """The mean of each group of codes, and one over its deviation: [N, groups, 1, 1, ...]."""
        meaning = codes.quantization
        assert meaning is not None
        sums = tuple(self.sum_of(codes, power) for power in (1, 2))
        given = {
            "count": self.each * prod(self.shape[2:]),
            "scale": float(meaning.scale[0]),
        }
        mean = self.emit("MeanOfSum", sums[0], **given)
        return mean, self.emit("DeviationOfSums", *sums, epsilon=float(epsilon), **given)

    def sum_of(self, codes: Value, power: int) -> str:
        """The sum of a power of each group's codes, in the steps of `mean`."""
        inner = (self.each, *self.shape[2:])
        rank = 2 + len(inner)
        name = self.see(codes.name, (self.shape[0], self.groups, *inner))
        attributes: dict[str, Attribute] = {
            "axes": tuple(range(2, max(rank - 2, 3))),
            "keepdims": 1,
        }
        name = self._integers("SumOfCodes", name, {**attributes, "power": power})
        for axis in (rank - 1, rank - 2):
            if axis >= 3 and inner[axis - 2] > 1:
                name = self._integers("ReduceSum", name, {"axes": (axis,), "keepdims": 1})
        return name

    def _integers(self, op: str, name: str, attributes: dict[str, Attribute]) -> str:
        output = self.builder.fresh(f"{self.node.output}_{op.lower()}")
        return self.builder.emit(self.node, op, (name,), attributes, output=output, element=INT64)

    def parameter(self, value: Value) -> str:
        """Numbers [C] or [groups] as [1, C, 1, ...]."""
        ones = (1,) * (len(self.shape) - 2)
        if value.size == self.shape[1]:
            return self.see(value.name, (1, self.shape[1], *ones))
        return self.per_channel(self.see(value.name, (1, self.groups, 1, *ones)))

    def per_channel(self, name: str) -> str:
        """A number for each group, [frames, groups, 1, 1, ...], for each of its channels."""
        frames, groups, _, *ones = self.builder.value(name).shape
        if self.each > 1:
            output, tiled = f"{self.node.output}_tile", (frames, groups, self.each, *ones)
            output = self.builder.fresh(output)
            name = self.builder.emit(self.node, "Tile", (name,), output=output, shape=tiled)
        return self.see(name, (frames, self.shape[1], *ones))
