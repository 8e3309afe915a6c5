"""Running sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Attribute, Call, Shape
from zapdeploy.compile.ops import boxes
from zapdeploy.compile.ops.base import NO_TRAITS, ElementWork, Traits, register
from zapdeploy.compile.ops.codes import RealOperator, given
from zapdeploy.compile.ops.lifting import lifted
from zapdeploy.compile.ops.normalization import axis_of
from zapdeploy.compile.regions import Region


@register
class CumSum(RealOperator):
    """Attributes axis, exclusive (without the element itself) and reverse (from the end)."""

    name: ClassVar[str] = "CumSum"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "the sum of all elements up to each, along an axis"

    def infer(self, call: Call) -> tuple[Shape, ...]:
        axis_of(call)
        return (call.input(0).shape,)

    def compute(self, call: Call, inputs: Sequence[Array | None]) -> Array:
        x, axis = given(inputs), axis_of(call)
        x = np.flip(x, axis) if call.int("reverse") else x
        found = np.cumsum(x, axis=axis, dtype=x.dtype)
        if call.int("exclusive"):
            found = np.roll(found, 1, axis)
            found[(slice(None),) * axis + (0,)] = 0
        return np.flip(found, axis) if call.int("reverse") else found

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        return (boxes.spread(out, (axis_of(call),), call.input(0).shape),)

    def over_cores(self, call: Call) -> Mapping[str, Attribute]:
        return lifted(call, "axis")

    def cuttable(self, call: Call) -> tuple[bool, ...]:
        return tuple(d != axis_of(call) for d in range(len(call.output.shape)))

    def work(self, call: Call) -> ElementWork:
        return ElementWork(vector=1, activation=0)
