"""A matrix product of real numbers, in the vector unit: slow, and meant to be small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Attribute, Call, Shape
from zapdeploy.compile.ops.base import NO_TRAITS, ElementWork, Traits, register
from zapdeploy.compile.ops.codes import RealOperator, given
from zapdeploy.compile.ops.lifting import CORES, aligned
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
        found = _product(aligned(call, a, rank), aligned(call, b, rank))
        bias = inputs[2] if len(inputs) > 2 else None
        return found if bias is None else np.asarray(found + aligned(call, bias, rank))

    def over_cores(self, call: Call) -> Mapping[str, Attribute]:
        return {**call.node.attributes, CORES: 1}

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        return matmul_regions(call, out, None)

    def work(self, call: Call) -> ElementWork:
        biased = call.optional(2) is not None
        return ElementWork(vector=2 * call.input(0).shape[-1] - 1 + biased, activation=0)


def _product(a: Array, b: Array) -> Array:
    """a @ b in float32, one element of the sum after the other, as the vector unit adds.

    BLAS adds in an order that follows the shapes: a core's tile would differ from the whole.
    """
    found = a[..., :, :1] * b[..., :1, :]
    for k in range(1, a.shape[-1]):
        found += a[..., :, k : k + 1] * b[..., k : k + 1, :]
    return np.asarray(found)
