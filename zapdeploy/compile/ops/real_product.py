"""A matrix product of real numbers, in the vector unit: slow, and meant to be small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Call, Shape
from zapdeploy.compile.ops.base import NO_TRAITS, ElementWork, Traits, register
from zapdeploy.compile.ops.codes import RealOperator, given
from zapdeploy.compile.ops.matmul import matmul_regions, matmul_shape
from zapdeploy.compile.regions import Region


@register
class RealMatMul(RealOperator):
    """a [..., M, K], b [..., K, N] with broadcast leading dimensions, and a bias [N] or none.

    The matrix unit multiplies integers only; the vector unit multiplies and adds, one element of
    the sum after the other.
    """

    name: ClassVar[str] = "RealMatMul"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "a small matrix product of real numbers"

    def infer(self, call: Call) -> tuple[Shape, ...]:
        return (matmul_shape(call),)

    def compute(self, call: Call, inputs: Sequence[Array | None]) -> Array:
        a, b = given(inputs, 0), given(inputs, 1)
        rank = max(a.ndim, b.ndim)
        lifted = rank > len(call.input(0).shape) and rank > len(call.input(1).shape)
        if lifted:  # the axis of the cores comes first in both
            a, b = (v.reshape(len(v), *(1,) * (rank - v.ndim), *v.shape[1:]) for v in (a, b))
        found = np.matmul(a, b)
        bias = inputs[2] if len(inputs) > 2 else None
        if bias is None:
            return found
        if lifted:
            bias = bias.reshape(len(bias), *(1,) * (rank - 2), bias.shape[-1])
        return np.asarray(found + bias)

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        return matmul_regions(call, out, None)

    def work(self, call: Call) -> ElementWork:
        biased = call.optional(2) is not None
        return ElementWork(vector=2 * call.input(0).shape[-1] - 1 + biased, activation=0)
