"""Functions of one tensor, element by element, in floating point.

What each costs is a table look-up or a few operations; `work.py` has the table with the reasons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Call, Node, Value
from zapdeploy.compile.kernels.error_function import erf
from zapdeploy.compile.ops.base import (
    NO_TRAITS,
    ElementWork,
    OnnxAttributes,
    Trait,
    Traits,
    register,
)
from zapdeploy.compile.ops.codes import RealOperator, given
from zapdeploy.compile.ops.work import LOOK_UP, ROUND_AND_CLAMP


class Function(RealOperator):
    """y = f(x), with `cost` operations per element."""

    cost: ClassVar[ElementWork] = ElementWork(vector=0, activation=LOOK_UP)

    def function(self, call: Call, x: Array) -> Array:
        raise NotImplementedError

    def compute(self, call: Call, inputs: Sequence[Array | None]) -> Array:
        return self.function(call, given(inputs))

    def work(self, call: Call) -> ElementWork:
        return self.cost


@register
class Relu(Function):
    name: ClassVar[str] = "Relu"
    traits: ClassVar[Traits] = frozenset({Trait.DEQUANTIZER_PASSES, Trait.INTEGER})
    summary: ClassVar[str] = "max(x, 0)"

    def function(self, call: Call, x: Array) -> Array:
        return np.maximum(x, 0)

    def bounds(self, node: Node) -> tuple[float, float]:
        return 0.0, np.inf

    def codes_after(self, node: Node, codes: Sequence[Value], output: Value) -> Value:
        """The input's codes from that of zero upwards."""
        meaning = codes[0].quantization
        assert meaning is not None
        low = int(np.clip(meaning.zero_point[0], meaning.low, meaning.high))
        return replace(output, element=codes[0].element, quantization=replace(meaning, low=low))


@register
class Clip(Function):
    """Attributes low and high: numbers, infinite where there is no bound; whole for integers."""

    name: ClassVar[str] = "Clip"
    traits: ClassVar[Traits] = frozenset({Trait.INTEGER})
    summary: ClassVar[str] = "min(max(x, low), high)"

    def function(self, call: Call, x: Array) -> Array:
        low, high = call.node.attributes["low"], call.node.attributes["high"]
        assert isinstance(low, int | float)
        assert isinstance(high, int | float)
        if x.dtype.kind != "f":  # bounds beyond the type are none
            limits = np.iinfo(x.dtype)
            return np.clip(x, int(max(low, limits.min)), int(min(high, limits.max)))
        return np.minimum(np.maximum(x, low), high)

    def bounds(self, node: Node) -> tuple[float, float]:
        low, high = node.attributes["low"], node.attributes["high"]
        assert isinstance(low, int | float)
        assert isinstance(high, int | float)
        return low, high


@register
class LeakyRelu(Function):
    name: ClassVar[str] = "LeakyRelu"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {"alpha": 0.01}
    summary: ClassVar[str] = "x, or alpha x where x is negative"
    cost: ClassVar[ElementWork] = ElementWork(vector=2, activation=0)  # multiply, choose

    def function(self, call: Call, x: Array) -> Array:
        return np.where(x >= 0, x, x * np.float32(call.number("alpha")))


@register
class Sigmoid(Function):
    name: ClassVar[str] = "Sigmoid"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {}
    summary: ClassVar[str] = "1 / (1 + exp(-x))"

    def function(self, call: Call, x: Array) -> Array:
        return np.divide(np.float32(1), 1 + np.exp(-x))


@register
class Tanh(Function):
    name: ClassVar[str] = "Tanh"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {}
    summary: ClassVar[str] = "hyperbolic tangent"

    def function(self, call: Call, x: Array) -> Array:
        return np.tanh(x)


@register
class Exp(Function):
    name: ClassVar[str] = "Exp"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {}
    summary: ClassVar[str] = "e to the power x"
    finite: ClassVar[bool] = False

    def function(self, call: Call, x: Array) -> Array:
        return np.exp(x)


@register
class Log(Function):
    name: ClassVar[str] = "Log"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {}
    summary: ClassVar[str] = "natural logarithm"
    finite: ClassVar[bool] = False

    def function(self, call: Call, x: Array) -> Array:
        return np.log(x)


@register
class Erf(Function):
    name: ClassVar[str] = "Erf"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {}
    summary: ClassVar[str] = "error function"

    def function(self, call: Call, x: Array) -> Array:
        return erf(x)


@register
class Sqrt(Function):
    name: ClassVar[str] = "Sqrt"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {}
    summary: ClassVar[str] = "square root"
    finite: ClassVar[bool] = False

    def function(self, call: Call, x: Array) -> Array:
        return np.sqrt(x)


@register
class Sin(Function):
    name: ClassVar[str] = "Sin"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {}
    summary: ClassVar[str] = "sine"

    def function(self, call: Call, x: Array) -> Array:
        return np.sin(x)


@register
class Cos(Function):
    name: ClassVar[str] = "Cos"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {}
    summary: ClassVar[str] = "cosine"

    def function(self, call: Call, x: Array) -> Array:
        return np.cos(x)


@register
class Softplus(Function):
    name: ClassVar[str] = "Softplus"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {}
    summary: ClassVar[str] = "log(1 + exp(x))"

    def function(self, call: Call, x: Array) -> Array:
        return np.logaddexp(x, np.float32(0))


@register
class Reciprocal(Function):
    """A look-up and one Newton step: two multiplies, one subtract."""

    name: ClassVar[str] = "Reciprocal"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {}
    summary: ClassVar[str] = "1 / x"
    finite: ClassVar[bool] = False
    cost: ClassVar[ElementWork] = ElementWork(vector=3, activation=LOOK_UP)

    def function(self, call: Call, x: Array) -> Array:
        return np.divide(np.float32(1), x)


@register
class Neg(Function):
    name: ClassVar[str] = "Neg"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {}
    summary: ClassVar[str] = "-x"
    cost: ClassVar[ElementWork] = ElementWork(vector=1, activation=0)

    def function(self, call: Call, x: Array) -> Array:
        return np.negative(x)


@register
class Abs(Function):
    name: ClassVar[str] = "Abs"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {}
    summary: ClassVar[str] = "absolute value"
    cost: ClassVar[ElementWork] = ElementWork(vector=1, activation=0)

    def function(self, call: Call, x: Array) -> Array:
        return np.abs(x)


class Step(Function):
    """Rounding in one direction or another: one activation operation, as in a quantizer."""

    cost: ClassVar[ElementWork] = ElementWork(vector=0, activation=ROUND_AND_CLAMP)


@register
class Floor(Step):
    name: ClassVar[str] = "Floor"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {}
    summary: ClassVar[str] = "the largest whole number that is not above x"

    def function(self, call: Call, x: Array) -> Array:
        return np.floor(x)


@register
class Ceil(Step):
    name: ClassVar[str] = "Ceil"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {}
    summary: ClassVar[str] = "the smallest whole number that is not below x"

    def function(self, call: Call, x: Array) -> Array:
        return np.ceil(x)


@register
class Round(Step):
    name: ClassVar[str] = "Round"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {}
    summary: ClassVar[str] = "the nearest whole number, of two the even one"

    def function(self, call: Call, x: Array) -> Array:
        return np.rint(x)


@register
class Sign(Function):
    """Two compares."""

    name: ClassVar[str] = "Sign"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {}
    summary: ClassVar[str] = "-1, 0 or 1 as x is below, at or above 0"
    cost: ClassVar[ElementWork] = ElementWork(vector=2, activation=0)

    def function(self, call: Call, x: Array) -> Array:
        return np.sign(x)


@register
class Selu(Function):
    """Attributes alpha and gamma. A look-up of exp; two multiplies, a subtract, a choice."""

    name: ClassVar[str] = "Selu"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {
        "alpha": 1.6732632423543772,
        "gamma": 1.0507009873554805,
    }
    summary: ClassVar[str] = "gamma x, or gamma alpha (exp(x) - 1) where x is negative"
    cost: ClassVar[ElementWork] = ElementWork(vector=4, activation=LOOK_UP)

    def function(self, call: Call, x: Array) -> Array:
        alpha, gamma = np.float32(call.number("alpha")), np.float32(call.number("gamma"))
        return np.asarray(gamma * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))))


@register
class HardSigmoid(Function):
    """Attributes alpha and beta. A multiply and an add, then a clamp."""

    name: ClassVar[str] = "HardSigmoid"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {"alpha": 0.2, "beta": 0.5}
    summary: ClassVar[str] = "alpha x + beta, clamped to [0, 1]"
    cost: ClassVar[ElementWork] = ElementWork(vector=2, activation=1)

    def function(self, call: Call, x: Array) -> Array:
        alpha, beta = np.float32(call.number("alpha")), np.float32(call.number("beta"))
        return np.asarray(np.clip(alpha * x + beta, 0, 1))


@register
class HardSwish(Function):
    name: ClassVar[str] = "HardSwish"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {}
    summary: ClassVar[str] = "x times the hard sigmoid of x (1/6, 1/2)"
    cost: ClassVar[ElementWork] = ElementWork(vector=3, activation=1)

    def function(self, call: Call, x: Array) -> Array:
        return np.asarray(x * np.clip(x * np.float32(1 / 6) + np.float32(0.5), 0, 1))


@register
class Gelu(Function):
    """Attribute approximate: "none" or "tanh". A look-up of the normal distribution, a multiply."""

    name: ClassVar[str] = "Gelu"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {"approximate": "none"}
    summary: ClassVar[str] = "x times the normal distribution's probability of less than x"
    cost: ClassVar[ElementWork] = ElementWork(vector=1, activation=LOOK_UP)

    def function(self, call: Call, x: Array) -> Array:
        half = np.float32(0.5)
        if call.node.attributes["approximate"] == "tanh":
            inner = np.float32(np.sqrt(2 / np.pi)) * (x + np.float32(0.044715) * x * x * x)
            return np.asarray(half * x * (1 + np.tanh(inner)))
        return np.asarray(half * x * (1 + erf(x * np.float32(np.sqrt(0.5)))))


@register
class Swish(Function):
    """Attribute alpha; SiLU where it is 1. A look-up of the sigmoid, a multiply."""

    name: ClassVar[str] = "Swish"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {"alpha": 1.0}
    summary: ClassVar[str] = "x times the sigmoid of alpha x"

    def work(self, call: Call) -> ElementWork:
        return ElementWork(vector=1 if call.number("alpha") == 1 else 2, activation=LOOK_UP)

    def function(self, call: Call, x: Array) -> Array:
        return np.asarray(x / (1 + np.exp(-np.float32(call.number("alpha")) * x)))
