"""Linear interpolation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Attribute, Call, Shape
from zapdeploy.compile.ops import boxes
from zapdeploy.compile.ops.base import NO_TRAITS, ElementWork, Traits, holds_scales, register
from zapdeploy.compile.ops.codes import RealOperator, given
from zapdeploy.compile.ops.lifting import lifted
from zapdeploy.compile.ops.selection import check_tables, reach, tables, tile_indices, tile_table
from zapdeploy.compile.regions import Region
from zapdeploy.errors import ModelError

DYADIC_BITS = 8  # fractions of so few bits give exact products with 8-bit codes in float32


@register
class Resize(RealOperator):
    """y[.., j, ..] = (1 - f[j]) x[.., i[j], ..] + f[j] x[.., i[j] + 1, ..] along each of `axes`.

    Attributes axes, indices i and fractions f: those of every axis one after the other, as many as
    the output is long along it. Behind the last index comes the last again. The work is that of one
    weighted sum over the 2^axes neighbours.
    """

    name: ClassVar[str] = "Resize"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "linear interpolation along some dimensions (to nearest: Take)"

    def infer(self, call: Call) -> tuple[Shape, ...]:
        check_tables(call)
        fractions = _fractions(call)
        if len(fractions) != len(call.ints("indices")) or not np.all(
            (fractions >= 0) & (fractions <= 1)
        ):
            raise ModelError(
                f"fractions must be {len(call.ints('indices'))} numbers in [0, 1] "
                f"(node '{call.node.name}')"
            )
        return (call.output.shape,)

    def compute(self, call: Call, inputs: Sequence[Array | None]) -> Array:
        found, fractions, done = given(inputs), _fractions(call), 0
        for axis, low in tables(call).items():
            # A tile may lack a neighbour that has no weight: any element stands for it.
            low, high = np.clip((low, low + 1), 0, found.shape[axis] - 1)
            part = fractions[done : done + low.size]
            weight = part.reshape(-1, *(1,) * (found.ndim - 1 - axis))
            below, above = found.take(low, axis=axis), found.take(high, axis=axis)
            found = below * (np.float32(1) - weight) + above * weight
            done += low.size
        return found

    def rounds_either_way(self, call: Call) -> bool:
        dyadic = _fractions(call) * 2.0**DYADIC_BITS
        return not (holds_scales(call) and np.array_equal(dyadic, np.rint(dyadic)))

    def over_cores(self, call: Call) -> Mapping[str, Attribute]:
        return lifted(call, "axes")

    def tile_attributes(
        self, call: Call, out: Region, inputs: Sequence[Region | None]
    ) -> Mapping[str, Array]:
        (x,) = inputs
        assert x is not None
        fractions = tile_table(call, out, _fractions(call))
        return {"indices": tile_indices(call, out, x), "fractions": fractions}

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        shape = call.input(0).shape
        spans = [boxes.span(out, d) for d in range(len(shape))]
        fractions, done = _fractions(call), 0
        for axis, low in tables(call).items():
            part = fractions[done : done + low.size]
            above = np.where(part > 0, np.minimum(low + 1, shape[axis] - 1), low)
            below = np.where(part < 1, low, above)
            first, last = reach(below, spans[axis])[0], reach(above, spans[axis])[1]
            spans[axis] = (first, last)
            done += low.size
        return (boxes.box(spans, boxes.is_empty(out)),)

    def work(self, call: Call) -> ElementWork:
        neighbours = 2 ** len(call.ints("axes"))
        return ElementWork(vector=2 * neighbours - 1, activation=0)


def _fractions(call: Call) -> Array:
    return np.asarray(call.node.attributes["fractions"], np.float32)
