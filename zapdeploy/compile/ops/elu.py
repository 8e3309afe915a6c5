"""Elu: the exponential linear unit."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Call
from zapdeploy.compile.ops.base import NO_TRAITS, ElementWork, OnnxAttributes, Traits, register
from zapdeploy.compile.ops.functions import Function
from zapdeploy.compile.ops.work import LOOK_UP


@register
class Elu(Function):
    """Attribute alpha: what it falls to."""

    name: ClassVar[str] = "Elu"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {"alpha": 1.0}
    summary: ClassVar[str] = "x, or alpha (exp(x) - 1) where x is negative"
    cost: ClassVar[ElementWork] = ElementWork(vector=2, activation=LOOK_UP)  # multiply, choose

    def function(self, call: Call, x: Array) -> Array:
        alpha = np.float32(call.number("alpha"))
        return np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0)))
