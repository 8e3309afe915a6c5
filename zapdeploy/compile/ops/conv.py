"""Convolution."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby, product
from typing import ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Call, Shape
from zapdeploy.compile.ops import boxes
from zapdeploy.compile.ops.base import NO_TRAITS, MatrixTile, Traits, register
from zapdeploy.compile.ops.matrix import MatrixOperator, Operands, matrix_tile
from zapdeploy.compile.ops.windows import Window
from zapdeploy.compile.regions import IntArray, Region
from zapdeploy.errors import ModelError


class Convolving(MatrixOperator):
    """x [N, C, *S], w [O, C/group, *K], bias [O] or absent, then runtime zero points of x and w.

    One to three spatial dimensions. Attribute group.
    """

    def output_positions(self, call: Call, spatial: Shape) -> Shape:
        """The spatial shape of the output."""
        raise NotImplementedError

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
        return ((x[0], w[0], *self.output_positions(call, x[2:])),)

    def tile_attributes(
        self, call: Call, out: Region, inputs: Sequence[Region | None]
    ) -> Mapping[str, Array]:
        """The padding of the tiles, and in `tile_groups` how their channels are grouped: output
        channels of a group's part, of a whole group, before the first, and input channels."""
        size = call.input(1).shape[0] // call.int("group")
        columns = equal_columns(call, out)
        step = np.full_like(columns, call.input(1).shape[1])
        groups = [columns, np.full_like(columns, size), boxes.span(out, 1)[0] % size, step]
        pads = self.tile_pads(call, out, inputs[0])
        return {"pads": pads, "tile_groups": np.stack(groups, axis=-1)}

    def tile_pads(self, call: Call, out: Region, x: Region | None) -> IntArray:
        """The attribute pads of the operator where it makes boxes of its output from boxes x."""
        raise NotImplementedError

    def weight_axis(self, call: Call) -> int:
        return 0

    def most_products(self, call: Call) -> int:
        w = call.input(1)
        return w.size // w.shape[0]

    def weight_matrices(self, w: Array) -> Array:
        return w.reshape(w.shape[0], -1).T[None]

    def kept_axis(self, call: Call, axis: int) -> int | None:
        """The batch; a spatial dimension that the window does not slide over; depthwise, channels.

        A window of one that takes every place in turn (a 1x1 convolution) meets no two of them.
        """
        x, w = call.input(0).shape, call.input(1).shape
        if axis < 2:
            alone = call.int("group") == x[1] == w[0]
            return axis if axis == 0 or alone else None
        window, place = _window(call), axis - 2
        moves = window.strides[place] > 1 or window.begins[place] or window.ends[place]
        return None if window.kernel[place] > 1 or moves else axis

    def reduction_size(self, call: Call) -> int:
        return call.input(1).shape[1]

    def channel_axis(self, call: Call) -> int:
        return 1


@register
class Conv(Convolving):
    """Attributes strides, dilations, pads (begins, then ends), group."""

    name: ClassVar[str] = "Conv"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "convolution in 1, 2 or 3 dimensions, with groups, strides, dilations"

    def output_positions(self, call: Call, spatial: Shape) -> Shape:
        return _window(call).output_shape(call, spatial)

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        x, w = call.input(0), call.input(1)
        part = boxes.part_of(reduction, w.shape[1])
        empty = boxes.is_empty(out) | (part[1] <= part[0])
        columns = boxes.span(out, 1)
        first, last = group_span(call, out)
        inputs = first * w.shape[1] + part[0], (last - 1) * w.shape[1] + part[1]
        spatial = _window(call).spans(out, x.shape[2:])
        kernel = [boxes.full(k) for k in w.shape[2:]]
        regions = [
            boxes.box([boxes.span(out, 0), inputs, *spatial], empty),
            boxes.box([columns, part, *kernel], empty),
        ]
        rest = (boxes.per_channel(v, w.shape[0], columns, empty) for v in call.inputs[2:])
        return (*regions, *rest)

    def vector_regions(
        self, call: Call, out: Region, reduction: Region | None, inputs: int
    ) -> Region:
        """A vector holds values of one kernel row: some channels under one element, or, where
        channels are few, all channels under several. Vectors of the same channels follow one
        another, so that what other cores hold is not asked for all at once."""
        window = _window(call)
        part = boxes.part_of(reduction, self.reduction_size(call))
        channels = np.maximum(part[1] - part[0], 1)
        row = window.kernel[-1] if window.dilations[-1] == 1 else 1
        vectors = -(-row * int(np.max(channels)) // inputs)
        starts = [range(k) for k in window.kernel[:-1]] + [range(0, window.kernel[-1], row)]
        every = int(np.max(channels))
        order = sorted(range(vectors), key=lambda v: v * inputs % every)
        found = [
            self._under(call, out, part, element, (v * inputs, (v + 1) * inputs, row * channels))
            for _, same in groupby(order, key=lambda v: v * inputs % every)
            for element, v in product(product(*starts), list(same))
        ]
        return Region(np.stack([r.low for r in found]), np.stack([r.high for r in found]))

    def _under(
        self,
        call: Call,
        out: Region,
        part: boxes.Span,
        element: tuple[int, ...],
        values: tuple[int, int, IntArray],
    ) -> Region:
        """The input under values [first, stop) of the run that begins at a kernel element."""
        x, w = call.input(0), call.input(1)
        channels = np.maximum(part[1] - part[0], 1)
        first, stop = values[0], np.minimum(values[1], values[2])
        column, last = first // channels, (stop - 1) // channels
        alone = column == last
        low = part[0] + np.where(alone, first - column * channels, 0)
        high = part[0] + np.where(alone, stop - column * channels, channels)
        groups = group_span(call, out)
        span = groups[0] * w.shape[1] + low, (groups[1] - 1) * w.shape[1] + high
        elements = [(np.asarray(e), np.asarray(e)) for e in element[:-1]]
        elements.append((element[-1] + column, element[-1] + last))
        spatial = _window(call).spans_under(out, x.shape[2:], elements)
        empty = boxes.is_empty(out) | (part[1] <= part[0]) | (stop <= first)
        return boxes.box([boxes.span(out, 0), span, *spatial], empty)

    def tile_pads(self, call: Call, out: Region, x: Region | None) -> IntArray:
        return _window(call).tile_pads(out, x, call.input(0).shape[2:])

    def accumulate(self, call: Call, x: Array, w: Array) -> Array:
        return sums_under(call, _window(call), x, w, call.output.shape[2:])

    def operands(self, call: Call, x: Array, w: Array, fill: int) -> Iterator[tuple[Array, Array]]:
        yield operands_under(call, _window(call), x, w, call.output.shape[2:], fill)

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

    def matrix_tile(self, call: Call, out: Region, reduction: Region | None = None) -> MatrixTile:
        window = _window(call)
        extent = out.extent
        part = boxes.part_of(reduction, self.reduction_size(call))
        channels = np.maximum(part[1] - part[0], 0)
        row = window.kernel[-1] if window.dilations[-1] == 1 else 1
        columns = equal_columns(call, out)
        groups = extent[..., 1] // np.maximum(columns, 1)
        positions = extent[..., 0] * np.prod(extent[..., 2:], axis=-1)
        runs = np.asarray(window.size // row)
        return matrix_tile(positions, groups, columns, runs, row * channels)


def _window(call: Call) -> Window:
    return Window.of(call, call.input(1).shape[2:])


def sums_under(call: Call, window: Window, x: Array, w: Array, positions: Shape) -> Array:
    """Windows as vectors, weights as matrices: one product per core and group.

    x [cores, N, C, *S], w [cores or 1, O, channels, *K]; returns [cores, N, O, *positions].
    """
    cores, rank = len(x), x.ndim - 3
    padded = window.pad(x.reshape(-1, *x.shape[2:]), positions, 0)
    channels = channels_of_groups(call, w)
    if len(channels) > 1:
        padded = padded[:, channels.reshape(-1)]
    at = window.windows(padded, positions)
    # [cores, N, groups, channels, *positions, *kernel]: groups in front, vectors behind
    at = at.reshape(cores, -1, *channels.shape, *at.shape[2:])
    order = (0, 2, 1, *range(4, 4 + rank), 3, *range(4 + rank, 4 + 2 * rank))
    vectors = at.transpose(order).reshape(*at.shape[:1], at.shape[2], -1, w[0, 0].size)
    matrices = w.reshape(len(w), at.shape[2], -1, w[0, 0].size).swapaxes(2, 3)
    sums = (vectors @ matrices).reshape(cores, at.shape[2], x.shape[1], *positions, -1)
    return np.moveaxis(sums, (2, -1), (1, 3)).reshape(cores, x.shape[1], -1, *positions)


def operands_under(
    call: Call, window: Window, x: Array, w: Array, positions: Shape, fill: int
) -> tuple[Array, Array]:
    """Windows as vectors and weights as matrices, channels innermost: see `operands`."""
    rank, channels = x.ndim - 3, channels_of_groups(call, w)
    padded = window.pad(x.reshape(-1, *x.shape[2:]), positions, fill)
    if len(channels) > 1:
        padded = padded[:, channels.reshape(-1)]
    innermost = np.ascontiguousarray(np.moveaxis(padded, 1, -1))
    at = window.windows(np.moveaxis(innermost, -1, 1), positions)
    at = at.reshape(len(x), -1, *channels.shape, *at.shape[2:])
    order = (0, 2, 1, *range(4, 4 + rank), *range(4 + rank, 4 + 2 * rank), 3)
    row = window.kernel[-1] if window.dilations[-1] == 1 else 1
    runs = (window.size // row, row * channels.shape[1])
    vectors = at.transpose(order).reshape(len(x), len(channels), -1, *runs)
    matrices = np.moveaxis(w, 2, -1).reshape(len(w), len(channels), -1, *runs)
    return vectors, matrices


def channels_of_groups(call: Call, w: Array) -> IntArray:
    """Input channels of a tile that each of its groups' parts reads [parts, channels]; `w` are the
    tile's weights [cores, outputs, channels, *kernel]."""
    columns, size, before, step = call.ints("tile_groups")
    first = (before + columns * np.arange(w.shape[1] // columns)) // size * step
    return first[:, None] + np.arange(w.shape[2])


def group_span(call: Call, out: Region) -> tuple[IntArray, IntArray]:
    """The first group that boxes of the output touch, and one past the last."""
    low, high = boxes.span(out, 1)
    size = call.input(1).shape[0] // call.int("group")
    return low // size, -(-high // size)


def equal_columns(call: Call, out: Region) -> IntArray:
    """Output channels in each of the groups that boxes touch.

    A box that begins or ends inside a group counts as more groups of fewer channels, all equal.
    """
    low, high = boxes.span(out, 1)
    size = call.input(1).shape[0] // call.int("group")
    first, last = group_span(call, out)
    head = np.minimum(high, (first + 1) * size) - low
    tail = high - np.maximum(low, (last - 1) * size)
    between = np.where(last - first > 2, size, 0)
    return np.where(high > low, np.gcd(np.gcd(head, tail), between), 0)
