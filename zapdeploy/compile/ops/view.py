"""Other names for the same data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from zapdeploy.compile.graph import Array, Call, Node, Shape
from zapdeploy.compile.ops.axes import reshaped_axis
from zapdeploy.compile.ops.base import MOVEMENT, Traits, Unit, register
from zapdeploy.compile.ops.codes import CodeOperator, is_plain_integer
from zapdeploy.compile.regions import Region, reshaped
from zapdeploy.errors import ModelError


@register
class Reshape(CodeOperator):
    """The same elements in the same order under another shape: the output's own."""

    name: ClassVar[str] = "Reshape"
    traits: ClassVar[Traits] = MOVEMENT
    unit: ClassVar[Unit] = Unit.VIEW
    summary: ClassVar[str] = "another shape for the same data (Flatten, Squeeze, Unsqueeze too)"

    def infer(self, call: Call) -> tuple[Shape, ...]:
        x, out = call.input(0), call.output
        if x.size != out.size:
            raise ModelError(
                f"shape must hold {x.size} elements, not {list(out.shape)} "
                f"(node '{call.node.name}')"
            )
        return (out.shape,)

    def axis_after(self, node: Node, before: Shape, after: Shape, axis: int) -> int | None:
        return reshaped_axis(before, after, axis)

    def adds_up(self, call: Call) -> bool:
        return is_plain_integer(call.input(0))

    def arrange(self, call: Call, arrays: Sequence[Array]) -> Array:
        return arrays[0].reshape(call.output.shape)

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        return (reshaped(out, call.output.shape, call.input(0).shape),)
