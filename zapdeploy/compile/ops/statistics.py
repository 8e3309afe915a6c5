"""Means and deviations of codes, from exact sums of integers.

With S1 the sum of q - z over n codes and S2 that of their squares,

    mean = s S1 / n,   variance = s^2 (S2 / n - (S1 / n)^2)

The sums are the same in any order and over any parts; what follows is a few numbers in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Call
from zapdeploy.compile.ops.base import (
    NO_TRAITS,
    ElementWork,
    Operator,
    Traits,
    register,
)
from zapdeploy.compile.ops.codes import from_real, given, is_plain_integer
from zapdeploy.compile.ops.reduce import Reduction
from zapdeploy.compile.ops.work import LOOK_UP


@register
class SumOfCodes(Reduction):
    """The sum of (q - z)^power along axes, as plain integers. Attributes axes, keepdims, power."""

    name: ClassVar[str] = "SumOfCodes"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "exact sums of codes or of their squares (made of normalizations)"

    def adds_up(self, call: Call) -> bool:
        return is_plain_integer(call.output)

    def evaluate(self, call: Call, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        meaning, axes = call.input(0).quantization, self.axes(call)
        zero_point = 0 if meaning is None else int(meaning.zero_point[0])
        steps = np.subtract(given(inputs), zero_point, dtype=np.int32)
        if call.int("power") == 2:
            steps *= steps
        found = steps.sum(axis=axes, dtype=np.int64).reshape(call.output.shape)
        return (found.astype(call.output.element.numpy, copy=False),)

    def element_work(self, call: Call) -> ElementWork:
        """A subtraction where there is a zero point, a product for squares, an addition."""
        meaning = call.input(0).quantization
        zero = meaning is not None and bool(meaning.zero_point.any())
        each = call.int("power") + int(zero)
        return ElementWork(vector=self.count(call) * each - 1, activation=0)


class OfSums(Operator):
    """Elementwise over sums; attributes count (n) and scale (s)."""

    def real(self, call: Call, sums: Sequence[Array]) -> Array:
        """float64 from the sums, over n, in steps of a code."""
        raise NotImplementedError

    def evaluate(self, call: Call, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        count = call.number("count")
        means = [given(inputs, k) / count for k in range(len(call.inputs))]
        with np.errstate(all="ignore"):
            found = self.real(call, means).astype(np.float32)
        return (from_real(found, call.output),)


@register
class MeanOfSum(OfSums):
    """s S1 / n."""

    name: ClassVar[str] = "MeanOfSum"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "the mean of codes, from their sum"

    def real(self, call: Call, sums: Sequence[Array]) -> Array:
        return sums[0] * call.number("scale")

    def element_work(self, call: Call) -> ElementWork:
        return ElementWork(vector=1, activation=0)


@register
class DeviationOfSums(OfSums):
    """1 / sqrt(variance + epsilon), from S1 and S2. Attribute epsilon besides."""

    name: ClassVar[str] = "DeviationOfSums"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "one over the standard deviation of codes, from their sums"

    def real(self, call: Call, sums: Sequence[Array]) -> Array:
        variance = np.maximum(sums[1] - sums[0] * sums[0], 0.0) * call.number("scale") ** 2
        return np.asarray(1.0 / np.sqrt(variance + call.number("epsilon")))

    def element_work(self, call: Call) -> ElementWork:
        """Two means, a square, a difference, the scale, epsilon; a root, a reciprocal as `work`."""
        return ElementWork(vector=6 + 3, activation=2 * LOOK_UP)
