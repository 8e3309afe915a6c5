"""Means, sums and extrema along axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Attribute, Call, Shape, Value
from zapdeploy.compile.ops import boxes
from zapdeploy.compile.ops.base import NO_TRAITS, ElementWork, Trait, Traits, register
from zapdeploy.compile.ops.codes import (
    RealOperator,
    bytes_alike,
    from_real,
    given,
    in_range,
    is_plain_integer,
    parameters,
    to_real,
)
from zapdeploy.compile.ops.lifting import lifted
from zapdeploy.compile.ops.work import mean_work
from zapdeploy.compile.regions import Region
from zapdeploy.errors import ModelError


class Mean(RealOperator):
    """The mean along axes. The codes are summed exactly, so that no order of summation matters."""

    def axes(self, call: Call) -> tuple[int, ...]:
        raise NotImplementedError

    def evaluate(self, call: Call, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        value, axes = call.input(0), self.axes(call)
        count = np.float32(np.prod([value.shape[d] for d in axes], dtype=np.int64))
        mean = summed(value, given(inputs), axes) / count
        return (from_real(mean.reshape(call.output.shape), call.output),)

    def element_work(self, call: Call) -> ElementWork:
        shape = call.input(0).shape
        return mean_work(call, int(np.prod([shape[d] for d in self.axes(call)], dtype=np.int64)))


@register
class GlobalAveragePool(Mean):
    """x [N, C, *S] to [N, C, 1, ...]; 8-bit codes with the formula of QLinearGlobalAveragePool."""

    name: ClassVar[str] = "GlobalAveragePool"
    traits: ClassVar[Traits] = frozenset({Trait.INTEGER, Trait.ROUNDS_ON_BYTES})
    summary: ClassVar[str] = "the mean over all spatial positions"
    batched: ClassVar[bool] = True

    def axes(self, call: Call) -> tuple[int, ...]:
        return tuple(range(2, len(call.input(0).shape)))

    def infer(self, call: Call) -> tuple[Shape, ...]:
        x = call.input(0).shape
        if len(x) < 3:
            raise ModelError(
                f"input must have at least 3 dimensions, not {list(x)} (node '{call.node.name}')"
            )
        return ((*x[:2], *(1 for _ in x[2:])),)

    def evaluate(self, call: Call, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        if not bytes_alike(call):
            return super().evaluate(call, inputs)
        from zapdeploy.compile.kernels import global_average_pool

        scales = parameters(call.input(0)), parameters(call.output)
        return (in_range(global_average_pool(given(inputs), *scales), call.output),)

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        return (boxes.spread(out, self.axes(call), call.input(0).shape),)

    def cuttable(self, call: Call) -> tuple[bool, ...]:
        return (True, True, *(False for _ in call.output.shape[2:]))


class Reduction(RealOperator):
    """One number for all indices along some axes. Attributes axes and keepdims (0 or 1)."""

    def axes(self, call: Call) -> tuple[int, ...]:
        return axes_of(call, call.ints("axes"))

    def infer(self, call: Call) -> tuple[Shape, ...]:
        x, axes = call.input(0).shape, self.axes(call)
        if call.int("keepdims"):
            return (tuple(1 if d in axes else s for d, s in enumerate(x)),)
        return (tuple(s for d, s in enumerate(x) if d not in axes),)

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        shape, axes = call.input(0).shape, self.axes(call)
        if call.int("keepdims"):
            return (boxes.spread(out, axes, shape),)
        kept = iter(range(len(shape) - len(axes)))
        spans = [
            boxes.full(length) if d in axes else boxes.span(out, next(kept))
            for d, length in enumerate(shape)
        ]
        return (boxes.box(spans, boxes.is_empty(out)),)

    def cuttable(self, call: Call) -> tuple[bool, ...]:
        if not call.int("keepdims"):
            return (True,) * len(call.output.shape)
        axes = self.axes(call)
        return tuple(d not in axes for d in range(len(call.output.shape)))

    def over_cores(self, call: Call) -> Mapping[str, Attribute]:
        return lifted(call, "axes")

    def count(self, call: Call) -> int:
        """Elements behind one element of the output."""
        shape = call.input(0).shape
        return int(np.prod([shape[d] for d in self.axes(call)], dtype=np.int64))


@register
class ReduceMean(Reduction, Mean):
    name: ClassVar[str] = "ReduceMean"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "the mean along some axes"


@register
class ReduceSum(Reduction):
    """Codes are summed exactly, so that no order of summation matters."""

    name: ClassVar[str] = "ReduceSum"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "the sum along some axes"

    def adds_up(self, call: Call) -> bool:
        return is_plain_integer(call.input(0)) and is_plain_integer(call.output)

    def evaluate(self, call: Call, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        total = summed(call.input(0), given(inputs), self.axes(call))
        return (from_real(total.reshape(call.output.shape), call.output),)

    def work(self, call: Call) -> ElementWork:
        return ElementWork(vector=self.count(call) - 1, activation=0)


class Extreme(Reduction):
    """The largest or smallest along axes: exact in any order."""

    choose: ClassVar[np.ufunc]

    def compute(self, call: Call, inputs: Sequence[Array | None]) -> Array:
        chosen = self.choose.reduce(given(inputs), axis=self.axes(call))
        return np.asarray(chosen).reshape(call.output.shape)

    def work(self, call: Call) -> ElementWork:
        return ElementWork(vector=self.count(call) - 1, activation=0)


@register
class ReduceMax(Extreme):
    name: ClassVar[str] = "ReduceMax"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "the largest along some axes"
    choose: ClassVar[np.ufunc] = np.maximum


@register
class ReduceMin(Extreme):
    name: ClassVar[str] = "ReduceMin"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "the smallest along some axes"
    choose: ClassVar[np.ufunc] = np.minimum


def summed(value: Value, x: Array, axes: tuple[int, ...]) -> Array:
    """The sum along axes, as real numbers: of codes exactly, of float32 in float64."""
    quantization = value.quantization
    if is_plain_integer(value):
        return np.asarray(x.sum(axis=axes, dtype=np.int64))
    if quantization is None or not quantization.is_uniform:
        return np.asarray(to_real(x, value).sum(axis=axes, dtype=np.float64).astype(np.float32))
    count = int(np.prod([x.shape[d] for d in axes], dtype=np.int64))
    steps = x.sum(axis=axes, dtype=np.int64) - int(quantization.zero_point[0]) * count
    return np.asarray(steps.astype(np.float32) * quantization.scale[0])


def axes_of(call: Call, axes: tuple[int, ...]) -> tuple[int, ...]:
    """Axes of input 0 counted from the front, in order."""
    rank = len(call.input(0).shape)
    found = {axis % rank for axis in axes if -rank <= axis < rank}
    if len(found) < len(axes):
        raise ModelError(
            f"axes must be different and in [{-rank}, {rank}), not {list(axes)} "
            f"(node '{call.node.name}')"
        )
    return tuple(sorted(found))
