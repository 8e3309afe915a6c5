"""The logarithm of softmax, in floating point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Call
from zapdeploy.compile.ops.base import NO_TRAITS, ElementWork, OnnxAttributes, Traits, register
from zapdeploy.compile.ops.codes import given
from zapdeploy.compile.ops.normalization import Softmax, axis_of
from zapdeploy.compile.ops.work import LOOK_UP


@register
class LogSoftmax(Softmax):
    """Attribute axis. The look-up of log(sum) is shared by all elements along the axis."""

    name: ClassVar[str] = "LogSoftmax"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {"axis": -1}
    summary: ClassVar[str] = "x less the logarithm of the sum of exp(x) along an axis"

    def compute(self, call: Call, inputs: Sequence[Array | None]) -> Array:
        x, axis = given(inputs), axis_of(call)
        shifted = x - x.max(axis=axis, keepdims=True)
        total = np.exp(shifted).sum(axis=axis, keepdims=True)
        return np.asarray(shifted - np.log(total))

    def work(self, call: Call) -> ElementWork:
        length = call.input(0).shape[axis_of(call)]
        return ElementWork(vector=4, activation=LOOK_UP * (1 + 1 / length))
