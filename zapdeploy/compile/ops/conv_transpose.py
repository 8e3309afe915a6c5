"""Transposed convolution."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Call, Shape
from zapdeploy.compile.ops import boxes
from zapdeploy.compile.ops.base import NO_TRAITS, MatrixTile, Traits, register
from zapdeploy.compile.ops.conv import (
    Convolving,
    equal_columns,
    group_span,
    operands_under,
    sums_under,
)
from zapdeploy.compile.ops.matrix import Operands, matrix_tile
from zapdeploy.compile.ops.phases import Phase, TransposedWindow
from zapdeploy.compile.ops.windows import Window
from zapdeploy.compile.regions import IntArray, Region

if TYPE_CHECKING:
    from zapdeploy.compile.kernels import Convolution


@register
class ConvTranspose(Convolving):
    """Attributes strides, dilations, pads (begins, then ends), group; w as for Conv.

    The pads crop the output. A negative one adds positions, which is ONNX's output_padding.

    Run as one convolution of stride 1 for each output phase (`phases`), which makes only the
    products that ONNX's definition asks for. The other way, a convolution over an input with zeros
    between its elements, would make stride times as many along every dimension.
    """

    name: ClassVar[str] = "ConvTranspose"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = (
        "transposed convolution in 1, 2 or 3 dimensions: a convolution for each output phase"
    )

    def output_positions(self, call: Call, spatial: Shape) -> Shape:
        return _window(call).output_shape(call, spatial)

    def kept_axis(self, call: Call, axis: int) -> int | None:
        """The batch: positions and channels meet each other."""
        return axis if axis == 0 else None

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        x, w = call.input(0), call.input(1)
        window = _window(call)
        part = boxes.part_of(reduction, w.shape[1])
        empty = boxes.is_empty(out) | (part[1] <= part[0])
        columns = boxes.span(out, 1)
        first, last = group_span(call, out)
        inputs = first * w.shape[1] + part[0], (last - 1) * w.shape[1] + part[1]
        spatial = [
            window.reads(d, boxes.span(out, 2 + d), length) for d, length in enumerate(x.shape[2:])
        ]
        unread = np.any([high <= low for low, high in spatial], axis=0)
        kernel = [boxes.full(k) for k in w.shape[2:]]
        regions = [
            boxes.box([boxes.span(out, 0), inputs, *spatial], empty | unread),
            boxes.box([columns, part, *kernel], empty),
        ]
        rest = (boxes.per_channel(v, w.shape[0], columns, empty) for v in call.inputs[2:])
        return (*regions, *rest)

    def tile_pads(self, call: Call, out: Region, x: Region | None) -> IntArray:
        assert x is not None
        window, begins, ends = _window(call), [], []
        for d, (stride, reach) in enumerate(zip(window.strides, window.reach, strict=True)):
            (low, high), (first, last) = boxes.span(out, 2 + d), boxes.span(x, 2 + d)
            begin = window.begins[d] + low - first * stride
            begins.append(begin)
            ends.append((last - first - 1) * stride + reach - begin - (high - low))
        return np.stack([*begins, *ends], axis=-1)

    def accumulate(self, call: Call, x: Array, w: Array) -> Array:
        sums = np.zeros((len(x), *call.output.shape), x.dtype)
        for phases in _window(call).phases():
            target = sums[:, :, :, *(slice(p.offset, None, p.stride) for p in phases)]
            if target.size and all(phase.taps for phase in phases):
                window, positions = convolution_window(phases), target.shape[3:]
                part = part_of(x, phases, positions, 0)
                target[...] = sums_under(call, window, part, flipped(w, phases), positions)
        return sums

    def operands(self, call: Call, x: Array, w: Array, fill: int) -> Iterator[tuple[Array, Array]]:
        for phases in _window(call).phases():
            sizes = zip(call.output.shape[2:], phases, strict=True)
            positions = tuple(len(range(p.offset, size, p.stride)) for size, p in sizes)
            if all(positions) and all(phase.taps for phase in phases):
                window, part = convolution_window(phases), part_of(x, phases, positions, fill)
                yield operands_under(call, window, part, flipped(w, phases), positions, fill)

    def kernel(self, call: Call, operands: Operands) -> Callable[[Array], Array]:
        parts = [_Part.of(call, operands, phases) for phases in _window(call).phases()]
        requantization = operands.requantization
        dtype = np.int32 if requantization is None else requantization.dtype

        def transposed(x: Array) -> Array:
            # Channels as neighbours in memory, like what convolutions read and write.
            shape = (x.shape[0], *call.output.shape[2:], call.output.shape[1])
            out = np.moveaxis(np.empty(shape, dtype), -1, 1)
            for part in parts:
                part.write(x, out)
            return out

        return transposed

    def matrix_tiles(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[MatrixTile, ...]:
        """One for each phase."""
        part = boxes.part_of(reduction, self.reduction_size(call))
        channels = np.maximum(part[1] - part[0], 0)
        columns = equal_columns(call, out)
        groups = out.extent[..., 1] // np.maximum(columns, 1)
        found = []
        for phases in _window(call).phases():
            positions = out.extent[..., 0]
            for d, phase in enumerate(phases):
                first, stop = phase.positions(*boxes.span(out, 2 + d))
                positions = positions * np.maximum(stop - first, 0)
            taps = int(np.prod([len(phase.taps) for phase in phases]))
            row = len(phases[-1].taps) if taps and phases[-1].dilation == 1 else 1
            runs = np.asarray(taps // row)
            found.append(matrix_tile(positions, groups, columns, runs, row * channels))
        return tuple(found)


@dataclass(frozen=True, eq=False)
class _Part:
    """The convolution of one phase, and where its results go."""

    phases: tuple[Phase, ...]
    convolution: Convolution

    @classmethod
    def of(cls, call: Call, operands: Operands, phases: tuple[Phase, ...]) -> _Part:
        from zapdeploy.compile.kernels import prepare_conv

        w, zero_points = operands.w, operands.w_zero_point
        if all(phase.taps for phase in phases):
            w, dilations = flipped(w, phases), tuple(phase.dilation for phase in phases)
        else:  # nothing but the bias: a sum over weights that are zero
            w = np.broadcast_to(zero_points.reshape(-1, *(1,) * (w.ndim - 1)), w.shape)
            w = w[:, :, *(slice(1) for _ in phases)].astype(operands.w.dtype)
            dilations = (1,) * len(phases)
        convolution = prepare_conv(
            np.ascontiguousarray(w),
            x_dtype=call.input(0).element.numpy,
            x_zero_point=operands.x_zero_point,
            w_zero_point=zero_points if zero_points.size > 1 else zero_points[0],
            bias=operands.bias,
            dilations=dilations,
            groups=call.int("group"),
            requantization=operands.requantization,
        )
        return cls(phases, convolution)

    def write(self, x: Array, out: Array) -> None:
        """The phase's results into out [N, O, *S]."""
        target = out[:, :, *(slice(p.offset, None, p.stride) for p in self.phases)]
        if not target.size:
            return
        positions = target.shape[2:]
        target[...] = self.convolution(
            part_of(x, self.phases, positions, self.convolution.x_zero_point)
        )


def flipped(w: Array, phases: tuple[Phase, ...]) -> Array:
    """The kernel elements of a phase, from the last to the first, of w [..., *K].

    The input runs forwards where the kernel elements run backwards.
    """
    index: list[Any] = [slice(p.taps[-1], None, -p.taps.step) for p in phases]
    return w[(..., *index)]


def convolution_window(phases: tuple[Phase, ...]) -> Window:
    """The window of a phase over its part of the input."""
    none = (0,) * len(phases)
    kernel = tuple(len(phase.taps) for phase in phases)
    dilations = tuple(phase.dilation for phase in phases)
    return Window(kernel, (1,) * len(phases), dilations, none, none)


def part_of(x: Array, phases: tuple[Phase, ...], positions: Shape, fill: float) -> Array:
    """What a phase reads of x [..., *S] for so many positions; `fill` outside x."""
    leading = x.ndim - len(phases)
    inside, widths = [slice(None)] * leading, [(0, 0)] * leading
    read_all = all(phase.taps for phase in phases)
    for phase, count, size in zip(phases, positions, x.shape[leading:], strict=True):
        start = phase.start if read_all else 0
        length = count + (len(phase.taps) - 1) * phase.dilation if read_all else count
        low, high = (min(max(edge, 0), size) for edge in (start, start + length))
        inside.append(slice(low, high))
        before = min(max(-start, 0), length)
        widths.append((before, length - before - (high - low)))
    part = x[tuple(inside)]
    return np.pad(part, widths, constant_values=fill) if any(map(any, widths)) else part


def _window(call: Call) -> TransposedWindow:
    return TransposedWindow.of(call, call.input(1).shape[2:])
