"""Pooling: the largest or the mean value under a window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Call, Node, Shape
from zapdeploy.compile.ops import boxes
from zapdeploy.compile.ops.base import ElementWork, Operator, Trait, Traits, register
from zapdeploy.compile.ops.codes import (
    CodeOperator,
    RealOperator,
    bytes_alike,
    given,
    to_real,
)
from zapdeploy.compile.ops.windows import Window
from zapdeploy.compile.ops.work import mean_work, moving
from zapdeploy.compile.regions import Region
from zapdeploy.errors import ModelError


class Pool(Operator):
    """x [N, C, *S]. Attributes: kernel_shape, strides, pads, dilations, ceil_mode."""

    batched: ClassVar[bool] = True

    def infer(self, call: Call) -> tuple[Shape, ...]:
        x = call.input(0).shape
        kernel = call.ints("kernel_shape")
        if len(x) < 3 or len(kernel) != len(x) - 2 or min(kernel) < 1:
            raise ModelError(
                f"kernel_shape must have {max(len(x) - 2, 1)} numbers of at least 1, "
                f"not {list(kernel)} (node '{call.node.name}')"
            )
        ceil_mode = bool(call.int("ceil_mode"))
        return ((*x[:2], *_window(call).output_shape(call, x[2:], ceil_mode)),)

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        spatial = _window(call).spans(out, call.input(0).shape[2:])
        spans = [boxes.span(out, 0), boxes.span(out, 1), *spatial]
        return (boxes.box(spans, boxes.is_empty(out)),)

    def tile_attributes(
        self, call: Call, out: Region, inputs: Sequence[Region | None]
    ) -> Mapping[str, Array]:
        return {"pads": _window(call).tile_pads(out, inputs[0], call.input(0).shape[2:])}


@register
class MaxPool(Pool, CodeOperator):
    """Padding never wins."""

    name: ClassVar[str] = "MaxPool"
    traits: ClassVar[Traits] = frozenset(
        {Trait.QUANTIZER_PASSES, Trait.DEQUANTIZER_PASSES, Trait.HANDS_CODES_ON, Trait.INTEGER}
    )
    summary: ClassVar[str] = "the largest value under a window"

    def axis_after(self, node: Node, before: Shape, after: Shape, axis: int) -> int | None:
        """Windows do not reach over examples and channels."""
        return axis if axis < 2 else None

    def arrange(self, call: Call, arrays: Sequence[Array]) -> Array:
        (x,) = arrays
        window, positions = _window(call), call.output.shape[2:]
        if x.dtype in (np.uint8, np.int8):
            return _max_of_bytes(x, window, positions)
        lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        elements = window.elements(window.pad(x, positions, lowest), positions)
        largest = next(elements).copy()
        for element in elements:
            np.maximum(largest, element, out=largest)
        return largest

    def element_work(self, call: Call) -> ElementWork:
        moved = moving(call)
        return ElementWork(_window(call).size - 1 + moved.vector, moved.activation)


@register
class AveragePool(Pool, RealOperator):
    """Attribute count_include_pad: whether padding counts in the mean's denominator.

    With 8-bit codes, the zero point is added before the rounding, as QLinearAveragePool does.
    """

    name: ClassVar[str] = "AveragePool"
    traits: ClassVar[Traits] = frozenset(
        {Trait.INTEGER, Trait.ROUNDS_ON_BYTES, Trait.ZERO_POINT_FIRST}
    )
    summary: ClassVar[str] = "the mean value under a window"

    def compute(self, call: Call, inputs: Sequence[Array | None]) -> Array:
        x = given(inputs)
        window, positions = _window(call), call.output.shape[2:]
        total = np.zeros(call.output.shape, np.float32)
        for element in window.elements(window.pad(x, positions, 0), positions):
            total += element
        return total / _counts(call, window, positions)

    def evaluate(self, call: Call, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        if not bytes_alike(call):
            return super().evaluate(call, inputs)
        target = call.output.quantization
        assert target is not None
        real = self.compute(call, [to_real(given(inputs), call.input(0))])
        codes = np.rint(real / target.scale[0] + target.zero_point[0].astype(np.float32))
        return (np.clip(codes, target.low, target.high).astype(call.output.element.numpy),)

    def element_work(self, call: Call) -> ElementWork:
        return mean_work(call, _window(call).size)


def _max_of_bytes(x: Array, window: Window, positions: Shape) -> Array:
    from zapdeploy.compile.kernels import max_pool

    pads = (*window.begins, *window.covered_ends(x.shape[2:], positions))
    strides, dilations = window.strides, window.dilations
    return max_pool(x, window.kernel, strides=strides, pads=pads, dilations=dilations)


def _window(call: Call) -> Window:
    return Window.of(call, call.ints("kernel_shape"))


def _counts(call: Call, window: Window, positions: Shape) -> Array:
    """How many values each mean is over: [1, 1, *positions]."""
    inside = np.ones((1, 1, *call.input(0).shape[2:]), np.float32)
    if call.int("count_include_pad"):
        widths = list(zip(window.begins, window.ends, strict=True))
        inside = np.pad(inside, [(0, 0), (0, 0), *widths], constant_values=1)
        window = window.unpadded()
    elements = window.elements(window.pad(inside, positions, 0), positions)
    return np.asarray(sum(elements, np.float32(0)))
