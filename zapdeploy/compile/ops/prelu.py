"""PRelu: a rectifier with slopes of its own for what is negative."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Call, Shape
from zapdeploy.compile.ops.base import NO_TRAITS, ElementWork, OnnxAttributes, Traits, register
from zapdeploy.compile.ops.codes import RealOperator, given
from zapdeploy.errors import ModelError


@register
class PRelu(RealOperator):
    """x and slopes that broadcast to x, as ONNX has it: one for each channel, often."""

    name: ClassVar[str] = "PRelu"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {}
    summary: ClassVar[str] = "x, or x times its slope where x is negative"

    def infer(self, call: Call) -> tuple[Shape, ...]:
        """The shape of x. Raises ModelError where the slopes do not broadcast to it."""
        (shape,) = super().infer(call)
        if shape != call.input(0).shape:
            raise ModelError(
                f"slopes must broadcast to {list(call.input(0).shape)}, not to {list(shape)} "
                f"(node '{call.node.name}')"
            )
        return (shape,)

    def compute(self, call: Call, inputs: Sequence[Array | None]) -> Array:
        x, slope = given(inputs, 0), given(inputs, 1)
        return np.where(x >= 0, x, x * slope)

    def work(self, call: Call) -> ElementWork:
        return ElementWork(vector=2, activation=0)  # multiply, choose
