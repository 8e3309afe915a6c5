"""Arithmetic on two or more tensors, with broadcasting."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Call
from zapdeploy.compile.ops.base import (
    BYTE_ARITHMETIC,
    NO_TRAITS,
    ElementWork,
    OnnxAttributes,
    Traits,
    register,
)
from zapdeploy.compile.ops.codes import RealOperator, bytes_alike, given, in_range, parameters
from zapdeploy.compile.ops.work import DIVIDE, LOOK_UP, ROUND_AND_CLAMP, has_zero_point


class Sum(RealOperator):
    """Add and Sub of two operands."""

    def work(self, call: Call) -> ElementWork:
        return ElementWork(vector=1, activation=0)

    def element_work(self, call: Call) -> ElementWork:
        """With a quantized output, its scale is in the factors that the operands are read with.

        Two multiplies and an add; one more add where any zero point is not 0.
        """
        if call.output.quantization is None:
            return super().element_work(call)
        return ElementWork(4 if has_zero_point(call) else 3, ROUND_AND_CLAMP)


MOST_STEPS = 2.0**12  # of the sum in one of an operand: an error of an eighth of a step


@register
class Add(Sum):
    """8-bit operands are added with the formula of QLinearAdd; but not where an operand's step is
    thousands of the sum's: it gathers the zero points in one float32, which loses the sum's then.
    """

    name: ClassVar[str] = "Add"
    traits: ClassVar[Traits] = BYTE_ARITHMETIC
    onnx_attributes: ClassVar[OnnxAttributes] = {}
    summary: ClassVar[str] = "a + b"

    def evaluate(self, call: Call, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        if not bytes_alike(call):
            return super().evaluate(call, inputs)
        from zapdeploy.compile.kernels import add

        scales = [parameters(value) for value in (*call.inputs, call.output)]
        if max(scales[0].scale, scales[1].scale) > MOST_STEPS * scales[2].scale:
            return super().evaluate(call, inputs)
        return (in_range(add(given(inputs, 0), given(inputs, 1), *scales), call.output),)

    def compute(self, call: Call, inputs: Sequence[Array | None]) -> Array:
        return np.add(given(inputs, 0), given(inputs, 1))


@register
class Sub(Sum):
    name: ClassVar[str] = "Sub"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {}
    summary: ClassVar[str] = "a - b"

    def compute(self, call: Call, inputs: Sequence[Array | None]) -> Array:
        return np.subtract(given(inputs, 0), given(inputs, 1))


@register
class Mul(RealOperator):
    """8-bit operands are multiplied with the formula of QLinearMul."""

    name: ClassVar[str] = "Mul"
    traits: ClassVar[Traits] = BYTE_ARITHMETIC
    onnx_attributes: ClassVar[OnnxAttributes] = {}
    summary: ClassVar[str] = "a * b"

    def evaluate(self, call: Call, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        if not bytes_alike(call):
            return super().evaluate(call, inputs)
        from zapdeploy.compile.kernels import multiply

        scales = [parameters(value) for value in (*call.inputs, call.output)]
        return (in_range(multiply(given(inputs, 0), given(inputs, 1), *scales), call.output),)

    def compute(self, call: Call, inputs: Sequence[Array | None]) -> Array:
        return np.multiply(given(inputs, 0), given(inputs, 1))

    def work(self, call: Call) -> ElementWork:
        return ElementWork(vector=1, activation=0)


@register
class Div(RealOperator):
    """Plain integers are divided towards zero."""

    name: ClassVar[str] = "Div"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {}
    summary: ClassVar[str] = "a / b"
    finite: ClassVar[bool] = False

    def compute(self, call: Call, inputs: Sequence[Array | None]) -> Array:
        a, b = given(inputs, 0), given(inputs, 1)
        if a.dtype.kind == "f":
            return np.divide(a, b)
        return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b)))

    def work(self, call: Call) -> ElementWork:
        return DIVIDE


@register
class Pow(RealOperator):
    """As 2^(b log2 a): two table look-ups and a multiply."""

    name: ClassVar[str] = "Pow"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {}
    summary: ClassVar[str] = "a to the power b"
    finite: ClassVar[bool] = False

    def compute(self, call: Call, inputs: Sequence[Array | None]) -> Array:
        # NumPy takes another way, with other last bits, for an exponent that is one for all.
        pair = np.broadcast_arrays(given(inputs, 0), given(inputs, 1))
        return np.power(*map(np.ascontiguousarray, pair)).reshape(pair[0].shape)

    def work(self, call: Call) -> ElementWork:
        return ElementWork(vector=1, activation=2 * LOOK_UP)


@register
class Mod(RealOperator):
    """Attribute fmod: 1 gives the rest the sign of a, 0 that of b. A division, a rounding, a
    multiply, a subtract."""

    name: ClassVar[str] = "Mod"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {"fmod": 0}
    summary: ClassVar[str] = "the rest of a / b"

    def compute(self, call: Call, inputs: Sequence[Array | None]) -> Array:
        function = np.fmod if call.int("fmod") else np.mod
        return np.asarray(function(given(inputs, 0), given(inputs, 1)))

    def work(self, call: Call) -> ElementWork:
        return ElementWork(DIVIDE.vector + 2, DIVIDE.activation + ROUND_AND_CLAMP)


class Extremum(RealOperator):
    """Min and Max of one or more tensors: a compare for each after the first."""

    def work(self, call: Call) -> ElementWork:
        return ElementWork(vector=len(call.inputs) - 1, activation=0)


@register
class Min(Extremum):
    name: ClassVar[str] = "Min"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {}
    summary: ClassVar[str] = "the smallest of several tensors"

    def compute(self, call: Call, inputs: Sequence[Array | None]) -> Array:
        return reduce(np.minimum, map(np.asarray, inputs))


@register
class Max(Extremum):
    name: ClassVar[str] = "Max"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {}
    summary: ClassVar[str] = "the largest of several tensors"

    def compute(self, call: Call, inputs: Sequence[Array | None]) -> Array:
        return reduce(np.maximum, map(np.asarray, inputs))
