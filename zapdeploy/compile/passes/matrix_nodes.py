"""Matrix products between dequantizers: what the passes that fold into them need to know."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from zapdeploy.compile.graph import (
    FLOAT32,
    INT32,
    Array,
    Call,
    Graph,
    Node,
    Quantization,
    Shape,
    Value,
)
from zapdeploy.compile.ops.base import Unit, operator
from zapdeploy.compile.ops.codes import dequantize
from zapdeploy.compile.ops.matrix import MatrixOperator

# Scales of a bias are products of two others; exporters round them in different ways.
SCALE_TOLERANCE = 2.0**-20


@dataclass(frozen=True, eq=False)
class MatrixNode:
    """A Conv or MatMul of dequantized numbers: its operands as codes."""

    call: Call
    x: Value
    w: Value

    @property
    def node(self) -> Node:
        return self.call.node

    @property
    def operator(self) -> MatrixOperator:
        found = operator(self.node.op)
        assert isinstance(found, MatrixOperator)
        return found

    @property
    def channel_axis(self) -> int:
        """The dimension of the weights that runs over output channels."""
        return self.operator.weight_axis(self.call)

    @property
    def channels(self) -> int:
        return self.w.shape[self.channel_axis]

    def accumulator_scale(self) -> Array | None:
        """s_x s_w, one or one per output channel; None when they run along another axis."""
        x, w = self.x.quantization, self.w.quantization
        assert x is not None
        assert w is not None
        if x.axis is not None or w.axis not in (None, self.channel_axis):
            return None
        return x.scale * w.scale


def matrix_node(graph: Graph, dequantizers: dict[str, Node], node: Node) -> MatrixNode | None:
    """The node with its operands' codes, when both come from dequantizers."""
    if operator(node.op).unit is not Unit.MATRIX or any(
        n not in dequantizers for n in node.inputs[:2]
    ):
        return None
    x, w = (graph.values[dequantizers[name].inputs[0]] for name in node.inputs[:2])
    return MatrixNode(graph.call(node), x, w)


def constant_reals(graph: Graph, dequantizers: dict[str, Node], name: str) -> Array | None:
    """The numbers of a float32 constant, or of a dequantized one; None for anything else."""
    if name in dequantizers:
        name = dequantizers[name].inputs[0]
    return constant_numbers(graph.values[name])


def constant_numbers(value: Value) -> Array | None:
    """What a constant, codes or float32, stands for; None for anything else."""
    if value.data is None or value.quantization is None:
        return value.data if value.element == FLOAT32 else None
    return dequantize(value.data, value.quantization)


def per_channel(matrix: MatrixNode, output: Shape, shape: Shape) -> bool:
    """Whether a constant of this shape is one number for each channel of the output (or one)."""
    rank = len(output)
    if len(shape) > rank:
        return False
    channel = matrix.operator.channel_axis(matrix.call)
    padded = (1,) * (rank - len(shape)) + shape
    return all(
        length == 1 or (d == channel and length == output[d]) for d, length in enumerate(padded)
    )


def integer_bias(matrix: MatrixNode, codes: Value) -> Value | None:
    """The bias in units of the accumulator, when its scale is that one; its name is the codes'."""
    expected, given = matrix.accumulator_scale(), codes.quantization
    if expected is None or given is None or given.zero_point.any() or codes.data is None:
        return None
    if codes.size != matrix.channels or given.axis not in (None, len(codes.shape) - 1):
        return None
    if not np.allclose(given.scale, expected, rtol=SCALE_TOLERANCE, atol=0):
        return None
    low, high = INT32.limits
    axis = 0 if expected.size > 1 else None
    meaning = Quantization(expected, np.zeros(expected.shape, np.int32), low, high, axis)
    data = codes.data.reshape(matrix.channels).astype(np.int32, copy=False)
    return replace(codes, shape=(matrix.channels,), element=INT32, quantization=meaning, data=data)
