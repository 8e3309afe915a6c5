"""Convolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Call, Shape
from zapdeploy.compile.ops import boxes
from zapdeploy.compile.ops.base import MatrixTile, register
from zapdeploy.compile.ops.matrix import MatrixOperator, Operands, matrix_tile
from zapdeploy.compile.ops.windows import Window
from zapdeploy.compile.regions import IntArray, Region
from zapdeploy.errors import ModelError


@register
class Conv(MatrixOperator):
    """x [N, C, *S], w [O, C/group, *K], bias [O] or absent, then runtime zero points of x and w.

    Attributes: strides, dilations, pads (begins, then ends), group. One to three spatial
    dimensions.
    """

    name: ClassVar[str] = "Conv"
    summary: ClassVar[str] = "convolution in 1, 2 or 3 dimensions, with groups, strides, dilations"

    def infer(self, call: Call) -> tuple[Shape, ...]:
        x, w = call.input(0).shape, call.input(1).shape
        node, group = call.node.name, call.int("group")
        self.check_types(call)
        if not 3 <= len(x) <= 5 or len(w) != len(x):
            raise ModelError(
                "input and weights must have the same 3 to 5 dimensions, "
                f"not {list(x)} and {list(w)} (node '{node}')"
            )
        if group < 1 or x[1] != w[1] * group or w[0] % group:
            raise ModelError(
                f"channels must be in groups of equal size, not {x[1]} in and {w[0]} out in "
                f"{group} groups of {w[1]} inputs (node '{node}')"
            )
        bias = call.optional(2)
        if bias is not None and bias.shape != (w[0],):
            raise ModelError(
                f"bias must have shape {[w[0]]}, not {list(bias.shape)} (node '{node}')"
            )
        return ((x[0], w[0], *_window(call).output_shape(call, x[2:])),)

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        x, w = call.input(0), call.input(1)
        part = boxes.part_of(reduction, w.shape[1])
        empty = boxes.is_empty(out) | (part[1] <= part[0])
        columns = boxes.span(out, 1)
        first, last = _groups(call, out)
        inputs = first * w.shape[1] + part[0], (last - 1) * w.shape[1] + part[1]
        spatial = _window(call).spans(out, x.shape[2:])
        kernel = [boxes.full(k) for k in w.shape[2:]]
        regions = [
            boxes.box([boxes.span(out, 0), inputs, *spatial], empty),
            boxes.box([columns, part, *kernel], empty),
        ]
        rest = (boxes.per_channel(v, w.shape[0], columns, empty) for v in call.inputs[2:])
        return (*regions, *rest)

    def kernel(self, call: Call, operands: Operands) -> Callable[[Array], Array]:
        from zapdeploy.compile.kernels import prepare_conv

        zero_points = operands.w_zero_point
        return prepare_conv(
            operands.w,
            x_dtype=call.input(0).element.numpy,
            x_zero_point=operands.x_zero_point,
            w_zero_point=zero_points if zero_points.size > 1 else zero_points[0],
            bias=operands.bias,
            strides=call.ints("strides"),
            dilations=call.ints("dilations"),
            pads=call.ints("pads"),
            groups=call.int("group"),
            requantization=operands.requantization,
        )

    def weight_axis(self, call: Call) -> int:
        return 0

    def reduction_size(self, call: Call) -> int:
        return call.input(1).shape[1]

    def channel_axis(self, call: Call) -> int:
        return 1

    def matrix_tile(self, call: Call, out: Region, reduction: Region | None = None) -> MatrixTile:
        window = _window(call)
        extent = out.extent
        part = boxes.part_of(reduction, self.reduction_size(call))
        channels = np.maximum(part[1] - part[0], 0)
        row = window.kernel[-1] if window.dilations[-1] == 1 else 1
        columns = _equal_columns(call, out)
        groups = extent[..., 1] // np.maximum(columns, 1)
        positions = extent[..., 0] * np.prod(extent[..., 2:], axis=-1)
        runs = np.asarray(window.size // row)
        return matrix_tile(positions, groups, columns, runs, row * channels)


def _window(call: Call) -> Window:
    return Window.of(call, call.input(1).shape[2:])


def _groups(call: Call, out: Region) -> tuple[IntArray, IntArray]:
    """The first group that boxes of the output touch, and one past the last."""
    low, high = boxes.span(out, 1)
    size = call.input(1).shape[0] // call.int("group")
    return low // size, -(-high // size)


def _equal_columns(call: Call, out: Region) -> IntArray:
    """Output channels in each of the groups that boxes touch.

    A box that begins or ends inside a group counts as more groups of fewer channels, all equal.
    """
    low, high = boxes.span(out, 1)
    size = call.input(1).shape[0] // call.int("group")
    first, last = _groups(call, out)
    head = np.minimum(high, (first + 1) * size) - low
    tail = high - np.maximum(low, (last - 1) * size)
    between = np.where(last - first > 2, size, 0)
    return np.where(high > low, np.gcd(np.gcd(head, tail), between), 0)
