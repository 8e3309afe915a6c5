"""Matrix product."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from zapdeploy.compile.graph import Array, Call, Shape
from zapdeploy.compile.ops import boxes
from zapdeploy.compile.ops.base import NO_TRAITS, MatrixTile, Traits, register
from zapdeploy.compile.ops.matrix import MatrixOperator, Operands, matrix_tile
from zapdeploy.compile.regions import Region
from zapdeploy.errors import ModelError


@register
class MatMul(MatrixOperator):
    """a [..., M, K], b [..., K, N], bias [N] or absent, then runtime zero points of a and b.

    The leading dimensions broadcast. Where b has leading dimensions of its own, every index along
    them is a matrix of its own.
    """

    name: ClassVar[str] = "MatMul"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "matrix product over broadcast leading dimensions, with bias"

    def infer(self, call: Call) -> tuple[Shape, ...]:
        self.check_types(call)
        return (matmul_shape(call),)

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        return matmul_regions(call, out, reduction)

    def kernel(self, call: Call, operands: Operands) -> Callable[[Array], Array]:
        from zapdeploy.compile.kernels import prepare_matmul

        w, leading = operands.w, call.output.shape[:-2]
        if w.ndim > 2:
            w = np.broadcast_to(w, (*leading, *w.shape[-2:]))
        zero_points = operands.w_zero_point
        product = prepare_matmul(
            w,
            x_dtype=call.input(0).element.numpy,
            x_zero_point=operands.x_zero_point,
            w_zero_point=zero_points if zero_points.size > 1 else zero_points[0],
            bias=operands.bias,
            requantization=operands.requantization,
        )
        return lambda x: product(x).reshape(call.output.shape)

    def accumulate(self, call: Call, x: Array, w: Array) -> Array:
        rank, (rows, columns) = len(call.output.shape), call.output.shape[-2:]
        if w.ndim == 3:  # one matrix for all leading dimensions
            merged = x.reshape(len(w), -1, x.shape[-1]) @ w  # shared by all cores: one product
            return merged.reshape(len(x), *call.output.shape[:-2], rows, columns)
        x, w = (a.reshape(len(a), *(1,) * (rank + 1 - a.ndim), *a.shape[1:]) for a in (x, w))
        return np.matmul(x, w)

    def operands(self, call: Call, x: Array, w: Array, fill: int) -> Iterator[tuple[Array, Array]]:
        leading, own = call.output.shape[:-2], _own_matrices(call)
        x, w = (_over(leading, operand) for operand in (x, w))
        first = [1 + int(d) for d in np.flatnonzero(own)]
        others = [1 + int(d) for d in np.flatnonzero(~own)]
        count = int(np.prod([leading[d - 1] for d in first], dtype=np.int64))
        vectors = x.transpose(0, *first, *others, -2 % x.ndim, -1 % x.ndim)
        w = w[(slice(None), *(slice(None) if alone else 0 for alone in own))]
        yield (
            np.ascontiguousarray(vectors).reshape(len(x), count, -1, 1, x.shape[-1]),
            np.ascontiguousarray(w.swapaxes(-1, -2)).reshape(len(w), count, -1, 1, w.shape[-2]),
        )

    def weight_axis(self, call: Call) -> int:
        return len(call.input(1).shape) - 1

    def most_products(self, call: Call) -> int:
        return call.input(1).shape[-2]

    def weight_matrices(self, w: Array) -> Array:
        return w.reshape(-1, *w.shape[-2:])

    def kept_axis(self, call: Call, axis: int) -> int | None:
        a, b = call.input(0).shape, call.input(1).shape
        return None if axis == len(a) - 1 else axis + max(len(a), len(b)) - len(a)

    def reduction_size(self, call: Call) -> int:
        return call.input(0).shape[-1]

    def channel_axis(self, call: Call) -> int:
        return len(call.output.shape) - 1

    def vector_regions(
        self, call: Call, out: Region, reduction: Region | None, inputs: int
    ) -> Region:
        low, high = boxes.part_of(reduction, self.reduction_size(call))
        count = max(-(-int(np.max(high - low)) // inputs), 1)
        parts = (np.minimum(low + v * inputs, high) for v in range(count + 1))
        edges = [np.broadcast_to(part, out.low.shape[:-1])[..., None] for part in parts]
        found = [
            self.input_regions(call, out, Region(first, last))[0] for first, last in pairwise(edges)
        ]
        regions = [region for region in found if region is not None]
        return Region(np.stack([r.low for r in regions]), np.stack([r.high for r in regions]))

    def matrix_tile(self, call: Call, out: Region, reduction: Region | None = None) -> MatrixTile:
        extent = out.extent
        part = boxes.part_of(reduction, self.reduction_size(call))
        own = _own_matrices(call)
        groups = np.prod(extent[..., :-2], axis=-1, where=own)
        positions = np.prod(extent[..., :-2], axis=-1, where=~own) * extent[..., -2]
        values = np.maximum(part[1] - part[0], 0)
        return matrix_tile(positions, groups, extent[..., -1], np.asarray(1), values)


def matmul_shape(call: Call) -> Shape:
    """The output's shape. Raises ModelError when the operands do not go together."""
    a, b = call.input(0).shape, call.input(1).shape
    node = call.node.name
    if len(a) < 2 or len(b) < 2 or a[-1] != b[-2]:
        raise ModelError(
            "inputs must have shapes [..., M, K] and [..., K, N], "
            f"not {list(a)} and {list(b)} (node '{node}')"
        )
    bias = call.optional(2)
    if bias is not None and bias.shape != (b[-1],):
        raise ModelError(f"bias must have shape {[b[-1]]}, not {list(bias.shape)} (node '{node}')")
    try:
        leading = np.broadcast_shapes(a[:-2], b[:-2])
    except ValueError:
        raise ModelError(
            f"leading dimensions must broadcast, not {list(a)} and {list(b)} (node '{node}')"
        ) from None
    return (*leading, a[-2], b[-1])


def matmul_regions(call: Call, out: Region, reduction: Region | None) -> tuple[Region | None, ...]:
    """What boxes of the output read of each input."""
    a, b = call.input(0), call.input(1)
    rank = len(call.output.shape)
    part = boxes.part_of(reduction, a.shape[-1])
    empty = boxes.is_empty(out) | (part[1] <= part[0])
    rows, columns = boxes.span(out, rank - 2), boxes.span(out, rank - 1)
    regions = [
        boxes.box([*_leading(out, rank, a.shape), rows, part], empty),
        boxes.box([*_leading(out, rank, b.shape), part, columns], empty),
    ]
    rest = (boxes.per_channel(v, b.shape[-1], columns, empty) for v in call.inputs[2:])
    return (*regions, *rest)


def _leading(out: Region, rank: int, shape: Shape) -> list[boxes.Span]:
    """Spans of an operand along its leading dimensions, of which those of length 1 stretch."""
    first = rank - len(shape)
    return [
        boxes.full(1) if length == 1 else boxes.span(out, first + d)
        for d, length in enumerate(shape[:-2])
    ]


def _over(leading: Shape, operand: Array) -> Array:
    """An operand [cores, ...] with all leading dimensions of the output."""
    missing = len(leading) + 3 - operand.ndim
    filled = operand.reshape(len(operand), *(1,) * missing, *operand.shape[1:])
    return np.broadcast_to(filled, (len(operand), *leading, *operand.shape[-2:]))


def _own_matrices(call: Call) -> NDArray[np.bool_]:
    """Along which leading dimensions of the output every index has its own matrix b."""
    leading = len(call.output.shape) - 2
    b = call.input(1).shape[:-2]
    padded = (1,) * (leading - len(b)) + b
    return np.asarray([length > 1 for length in padded], bool)
