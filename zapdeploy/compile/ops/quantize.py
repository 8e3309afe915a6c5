"""Changes of representation: quantizers, requantization, casts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Call, Node, Shape
from zapdeploy.compile.ops import boxes
from zapdeploy.compile.ops.axes import whole_axis
from zapdeploy.compile.ops.base import ElementWork, Operator, Trait, Traits, register
from zapdeploy.compile.ops.codes import RealOperator, given
from zapdeploy.compile.ops.work import DIVIDE, NO_WORK, ROUND_AND_CLAMP
from zapdeploy.compile.regions import Region
from zapdeploy.errors import ModelError


class Representation(RealOperator):
    """The same real numbers, held in another way; one input."""

    def infer(self, call: Call) -> tuple[Shape, ...]:
        return (call.input(0).shape,)

    def axis_after(self, node: Node, before: Shape, after: Shape, axis: int) -> int | None:
        return whole_axis(before, after, axis)

    def compute(self, call: Call, inputs: Sequence[Array | None]) -> Array:
        return given(inputs)

    def work(self, call: Call) -> ElementWork:
        return NO_WORK


@register
class Quantize(Representation):
    name: ClassVar[str] = "Quantize"
    traits: ClassVar[Traits] = frozenset({Trait.FOLDS, Trait.CONVERTS})
    summary: ClassVar[str] = "float32 to integers"


@register
class Dequantize(Representation):
    name: ClassVar[str] = "Dequantize"
    traits: ClassVar[Traits] = frozenset({Trait.CONVERTS})
    summary: ClassVar[str] = "integers to float32"


@register
class Requantize(Representation):
    name: ClassVar[str] = "Requantize"
    traits: ClassVar[Traits] = frozenset(
        {Trait.HANDS_CODES_ON, Trait.FOLDS, Trait.INTEGER, Trait.CONVERTS}
    )
    summary: ClassVar[str] = "integers of one scale, zero point and width to another"


@register
class Cast(Representation):
    """To the output's plain type. Floating point is cut off towards zero."""

    name: ClassVar[str] = "Cast"
    traits: ClassVar[Traits] = frozenset({Trait.CONVERTS})
    summary: ClassVar[str] = "to another plain type"

    def work(self, call: Call) -> ElementWork:
        return ElementWork(vector=1, activation=0)


@register
class DynamicQuantizeLinear(Operator):
    """x float32 to y uint8, with a scale and a zero point found from the smallest and largest x."""

    name: ClassVar[str] = "DynamicQuantizeLinear"
    traits: ClassVar[Traits] = frozenset({Trait.CONVERTS})
    summary: ClassVar[str] = "float32 to uint8, scale and zero point from the data"

    def infer(self, call: Call) -> tuple[Shape, ...]:
        x = call.input(0)
        if x.element.kind != "float":
            raise ModelError(
                f"input must be floating point, not {x.element.name} (node '{call.node.name}')"
            )
        return (x.shape, (), ())

    def evaluate(self, call: Call, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x = given(inputs)
        low = np.minimum(x.min(initial=0), np.float32(0))
        high = np.maximum(x.max(initial=0), np.float32(0))
        scale = (high - low) / np.float32(255) if high > low else np.float32(1)
        zero_point = np.rint((np.float32(0) - low) / scale)
        y = np.clip(np.rint(x / scale) + zero_point, 0, 255)
        return y.astype(np.uint8), np.asarray(scale), np.asarray(zero_point.astype(np.uint8))

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        return (boxes.everything(call.input(0).shape, boxes.is_empty(out)),)

    def cuttable(self, call: Call) -> tuple[bool, ...]:
        return (False,) * len(call.output.shape)

    def element_work(self, call: Call) -> ElementWork:
        """Two compares, a multiply and an add, a rounding; one division for the whole tensor."""
        share = 1 / max(call.output.size, 1)
        return ElementWork(4 + DIVIDE.vector * share, ROUND_AND_CLAMP + DIVIDE.activation * share)
