"""Matrix products accumulate in int32; one that could overflow is an error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from zapdeploy.compile.graph import INT32, Array, Call, Graph, Value
from zapdeploy.compile.ops.base import Unit, operator
from zapdeploy.compile.ops.matrix import MatrixOperator
from zapdeploy.errors import ModelError

BLOCK_ELEMENTS = 1 << 20


@dataclass(frozen=True)
class CheckAccumulators:
    """sum |w - z_w| max |x - z_x| + |bias| must fit for every output channel, or ModelError."""

    def __call__(self, graph: Graph) -> Graph:
        limit = INT32.limits[1]
        wrong = []
        for call in graph.calls():
            if operator(call.node.op).unit is Unit.MATRIX:
                largest = accumulator_bound(call, limit)
                if largest > limit:
                    wrong.append(f"'{call.node.name}' ({largest})")
        if wrong:
            raise ModelError(
                f"accumulators must stay within int32, at most {limit}, and could exceed it "
                f"in node {', '.join(wrong)}; quantize weights or activations to fewer bits"
            )
        return graph


def accumulator_bound(call: Call, enough: int) -> int:
    """A bound on the largest accumulator of a convolution or MatMul.

    Coarse (from the widths alone) when that is at most `enough`, from the weights otherwise.
    """
    x, w = call.input(0), call.input(1)
    bias = call.optional(2)
    largest_bias = 0
    if bias is not None and bias.data is not None and bias.element.is_integer:
        largest_bias = int(np.abs(bias.data.astype(np.int64)).max())
    op = operator(call.node.op)
    assert isinstance(op, MatrixOperator)
    coarse = op.most_products(call) * _largest(w) * _largest(x) + largest_bias
    if coarse <= enough or w.data is None:
        return coarse
    sums = weight_sums(op, w)
    if sums is None:
        own = op.weight_sums(call, np.abs(w.data.astype(np.int32)))
        assert own is not None
        sums = own.reshape(-1)
    biases = np.zeros(1, np.int64)
    if bias is not None and bias.data is not None and bias.element.is_integer:
        biases = bias.data.astype(np.int64)
        biases = np.maximum(biases, -1 - biases)  # int32 goes one further below zero
    return int((sums * _largest(x) + biases).max())


def _largest(value: Value) -> int:
    """The largest |q - z|."""
    quantization = value.quantization
    if quantization is None:
        low, high = value.element.limits
        return high - low
    zero = quantization.zero_point
    return max(int(zero.max()) - quantization.low, quantization.high - int(zero.min()))


def weight_sums(op: MatrixOperator, w: Value) -> Array | None:
    """sum |w - z_w| for each output channel, int64, the largest of several matrices; None where
    the operator sums in parts of its own."""
    assert w.data is not None
    matrices = op.weight_matrices(w.data)
    if matrices is None:
        return None
    zero = np.zeros(1, np.int32) if w.quantization is None else w.quantization.zero_point
    return np.max([_column_sums(matrix, zero) for matrix in matrices], axis=0)


def _column_sums(codes: Array, zero: Array) -> Array:
    """sum over rows of |codes - zero| [columns], block by block along the contiguous dimension."""
    total = np.zeros(codes.shape[1], np.int64)
    for rows, columns in _blocks(codes):
        part = codes[rows, columns].astype(np.int32)
        part -= zero[columns] if zero.size > 1 else zero
        total[columns] += np.abs(part, out=part).sum(axis=0, dtype=np.int64)
    return total


def _blocks(codes: Array) -> Iterator[tuple[slice, slice]]:
    """Blocks of whole rows, or of whole columns of a transposed view."""
    height, width = codes.shape
    if codes.strides[0] >= codes.strides[1]:
        step = max(BLOCK_ELEMENTS // width, 1)
        yield from ((slice(i, i + step), slice(None)) for i in range(0, height, step))
    else:
        step = max(BLOCK_ELEMENTS // height, 1)
        yield from ((slice(None), slice(i, i + step)) for i in range(0, width, step))
