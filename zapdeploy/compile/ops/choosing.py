"""Where the largest are: ArgMax, ArgMin, TopK."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, log2
from typing import ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Attribute, Call, Shape
from zapdeploy.compile.ops import boxes
from zapdeploy.compile.ops.base import NO_TRAITS, ElementWork, Operator, Traits, register
from zapdeploy.compile.ops.codes import from_real, given, to_real
from zapdeploy.compile.ops.lifting import lifted
from zapdeploy.compile.ops.normalization import axis_of
from zapdeploy.compile.ops.work import around
from zapdeploy.compile.regions import Region
from zapdeploy.errors import ModelError


class Index(Operator):
    """The index of the largest or smallest along attribute axis, int64.

    Attributes keepdims (0 or 1) and select_last_index (of equals: 0 the first, 1 the last).
    """

    sign: ClassVar[int]

    def infer(self, call: Call) -> tuple[Shape, ...]:
        shape, axis = call.input(0).shape, axis_of(call)
        kept = (1,) if call.int("keepdims") else ()
        return ((*shape[:axis], *kept, *shape[axis + 1 :]),)

    def evaluate(self, call: Call, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, axis = to_real(given(inputs), call.input(0)), axis_of(call)
        last = bool(call.int("select_last_index"))
        turned = np.flip(x, axis) if last else x
        found = np.argmax(turned, axis) if self.sign > 0 else np.argmin(turned, axis)
        found = x.shape[axis] - 1 - found if last else found
        return (found.reshape(call.output.shape).astype(np.int64),)

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        shape, axis = call.input(0).shape, axis_of(call)
        kept = bool(call.int("keepdims"))
        spans = [
            boxes.full(length) if d == axis else boxes.span(out, d - (d > axis and not kept))
            for d, length in enumerate(shape)
        ]
        return (boxes.box(spans, boxes.is_empty(out)),)

    def over_cores(self, call: Call) -> Mapping[str, Attribute]:
        return lifted(call, "axis")

    def cuttable(self, call: Call) -> tuple[bool, ...]:
        axis = axis_of(call) if call.int("keepdims") else -1
        return tuple(d != axis for d in range(len(call.output.shape)))

    def element_work(self, call: Call) -> ElementWork:
        """A compare and a choice of the index for each element."""
        count = call.input(0).shape[axis_of(call)]
        return around(call, ElementWork(vector=2 * count, activation=0))


@register
class ArgMax(Index):
    name: ClassVar[str] = "ArgMax"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "the index of the largest along an axis"
    sign: ClassVar[int] = 1


@register
class ArgMin(Index):
    name: ClassVar[str] = "ArgMin"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "the index of the smallest along an axis"
    sign: ClassVar[int] = -1


@register
class TopK(Operator):
    """The k largest (attribute largest 1) or smallest along attribute axis, in order.

    Attribute indices: 0 gives the values, 1 where they are (int64); of equals the first comes
    first. The output's shape says k. Sorting is a bitonic network: log2(n) (log2(n) + 1) / 4
    compares of two for each element.
    """

    name: ClassVar[str] = "TopK"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "the k largest or smallest along an axis, or their indices"

    def infer(self, call: Call) -> tuple[Shape, ...]:
        shape, axis, out = call.input(0).shape, axis_of(call), call.output.shape
        same = len(out) == len(shape) and all(
            d == axis or a == b for d, (a, b) in enumerate(zip(shape, out, strict=True))
        )
        if not same or out[axis] > shape[axis]:
            raise ModelError(
                f"k must be at most the length {shape[axis]} along axis {axis}, not "
                f"{list(out)} (node '{call.node.name}')"
            )
        return (out,)

    def evaluate(self, call: Call, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, axis = to_real(given(inputs), call.input(0)), axis_of(call)
        keys = np.negative(x) if call.int("largest") else x
        order = np.argsort(keys, axis=axis, kind="stable")
        first = np.take(order, np.arange(call.output.shape[axis]), axis=axis)
        if call.int("indices"):
            return (first.astype(np.int64),)
        return (from_real(np.take_along_axis(x, first, axis), call.output),)

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        return (boxes.spread(out, (axis_of(call),), call.input(0).shape),)

    def over_cores(self, call: Call) -> Mapping[str, Attribute]:
        return lifted(call, "axis")

    def cuttable(self, call: Call) -> tuple[bool, ...]:
        return tuple(d != axis_of(call) for d in range(len(call.output.shape)))

    def element_work(self, call: Call) -> ElementWork:
        length, k = (v.shape[axis_of(call)] for v in (call.input(0), call.output))
        stages = ceil(log2(max(length, 2)))
        compares = length * stages * (stages + 1) / 4
        return around(call, ElementWork(vector=2 * compares / k, activation=0))
