"""Comparisons, logic and choice, element by element: what masks are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Call
from zapdeploy.compile.ops.base import NO_TRAITS, ElementWork, Traits, register
from zapdeploy.compile.ops.codes import RealOperator, given


class Truth(RealOperator):
    """One compare or one logical operation on two operands; the output is bool."""

    function: ClassVar[np.ufunc]

    def compute(self, call: Call, inputs: Sequence[Array | None]) -> Array:
        return np.asarray(self.function(*(given(inputs, i) for i in range(len(inputs)))))

    def work(self, call: Call) -> ElementWork:
        return ElementWork(vector=1, activation=0)


@register
class Equal(Truth):
    name: ClassVar[str] = "Equal"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "a = b, as bool"
    function: ClassVar[np.ufunc] = np.equal


@register
class Less(Truth):
    name: ClassVar[str] = "Less"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "a < b, as bool"
    function: ClassVar[np.ufunc] = np.less


@register
class LessOrEqual(Truth):
    name: ClassVar[str] = "LessOrEqual"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "a <= b, as bool"
    function: ClassVar[np.ufunc] = np.less_equal


@register
class Greater(Truth):
    name: ClassVar[str] = "Greater"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "a > b, as bool"
    function: ClassVar[np.ufunc] = np.greater


@register
class GreaterOrEqual(Truth):
    name: ClassVar[str] = "GreaterOrEqual"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "a >= b, as bool"
    function: ClassVar[np.ufunc] = np.greater_equal


@register
class And(Truth):
    name: ClassVar[str] = "And"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "both of two bools"
    function: ClassVar[np.ufunc] = np.logical_and


@register
class Or(Truth):
    name: ClassVar[str] = "Or"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "either of two bools"
    function: ClassVar[np.ufunc] = np.logical_or


@register
class Xor(Truth):
    name: ClassVar[str] = "Xor"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "exactly one of two bools"
    function: ClassVar[np.ufunc] = np.logical_xor


@register
class Not(Truth):
    name: ClassVar[str] = "Not"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "the opposite of a bool"
    function: ClassVar[np.ufunc] = np.logical_not


@register
class IsNaN(Truth):
    name: ClassVar[str] = "IsNaN"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "whether x is no number, as bool"
    function: ClassVar[np.ufunc] = np.isnan


@register
class IsInf(Truth):
    """Attributes detect_positive and detect_negative."""

    name: ClassVar[str] = "IsInf"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "whether x is infinite, as bool"

    def compute(self, call: Call, inputs: Sequence[Array | None]) -> Array:
        x = given(inputs)
        above = np.isposinf(x) & bool(call.int("detect_positive"))
        return np.asarray(above | (np.isneginf(x) & bool(call.int("detect_negative"))))


@register
class Where(RealOperator):
    """condition (bool), a, b. Codes of one meaning are chosen between as they are.

    Their choice as real numbers is the same: quantizing what a scale of its own dequantized gives
    the code back.
    """

    name: ClassVar[str] = "Where"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "a where a condition holds, b elsewhere"

    def compute(self, call: Call, inputs: Sequence[Array | None]) -> Array:
        return np.where(given(inputs, 0), given(inputs, 1), given(inputs, 2))

    def work(self, call: Call) -> ElementWork:
        return ElementWork(vector=1, activation=0)

    def element_work(self, call: Call) -> ElementWork:
        """A choice between codes of one meaning is that alone."""
        out = call.output.quantization
        meanings = [call.input(i).quantization for i in (1, 2)]
        if out is not None and all(m is not None and m.same(out) for m in meanings):
            return self.work(call)
        return super().element_work(call)
