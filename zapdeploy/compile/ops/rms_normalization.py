"""Root-mean-square normalization (Zhang and Sennrich 2019), in floating point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Call
from zapdeploy.compile.ops.base import NO_TRAITS, ElementWork, Traits, register
from zapdeploy.compile.ops.codes import given
from zapdeploy.compile.ops.lifting import aligned
from zapdeploy.compile.ops.normalization import LayerNormalization, axis_of
from zapdeploy.compile.ops.work import LOOK_UP


@register
class RMSNormalization(LayerNormalization):
    """x, scale. Attributes axis (the first normalized one) and epsilon."""

    name: ClassVar[str] = "RMSNormalization"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "x over its root mean square along the last axes, then scale"

    def compute(self, call: Call, inputs: Sequence[Array | None]) -> Array:
        x = given(inputs)
        axes = tuple(range(axis_of(call), x.ndim))
        mean_square = np.square(x).mean(axis=axes, keepdims=True, dtype=np.float32)
        normal = x / np.sqrt(mean_square + np.float32(call.number("epsilon")))
        return np.asarray(normal * aligned(call, given(inputs, 1), x.ndim))

    def work(self, call: Call) -> ElementWork:
        """Square, add; multiply by 1/root and by the scale. One look-up for each root."""
        length = int(np.prod(call.input(0).shape[axis_of(call) :], dtype=np.int64))
        return ElementWork(4, LOOK_UP / length)
