"""Data chosen or repeated by constant indices along some dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Attribute, Call, Node, Shape
from zapdeploy.compile.ops import boxes
from zapdeploy.compile.ops.axes import whole_axis
from zapdeploy.compile.ops.base import MOVEMENT, Traits, Unit, register
from zapdeploy.compile.ops.codes import CodeOperator
from zapdeploy.compile.ops.lifting import lifted
from zapdeploy.compile.regions import IntArray, Region
from zapdeploy.errors import ModelError


@register
class Take(CodeOperator):
    """y[.., j, ..] = x[.., indices[j], ..] along each of `axes`.

    Attributes axes, and indices: those of every axis one after the other, as many as the output is
    long along it.
    """

    name: ClassVar[str] = "Take"
    traits: ClassVar[Traits] = MOVEMENT
    unit: ClassVar[Unit] = Unit.MOVE
    summary: ClassVar[str] = (
        "constant indices along some dimensions (Gather with constant indices, Resize to nearest)"
    )

    def infer(self, call: Call) -> tuple[Shape, ...]:
        x, out = call.input(0).shape, call.output.shape
        check_tables(call)
        if len(out) != len(x):
            raise ModelError(
                f"output must have {len(x)} dimensions like the input, not {len(out)} "
                f"(node '{call.node.name}')"
            )
        return (out,)

    def arrange(self, call: Call, arrays: Sequence[Array]) -> Array:
        found = arrays[0]
        for axis, indices in tables(call).items():
            found = found.take(indices, axis=axis)
        return found

    def axis_after(self, node: Node, before: Shape, after: Shape, axis: int) -> int | None:
        taken = node.attributes["axes"]
        assert isinstance(taken, tuple)
        return None if axis in taken else whole_axis(before, after, axis)

    def over_cores(self, call: Call) -> Mapping[str, Attribute]:
        return lifted(call, "axes")

    def tile_attributes(
        self, call: Call, out: Region, inputs: Sequence[Region | None]
    ) -> Mapping[str, Array]:
        (x,) = inputs
        assert x is not None
        return {"indices": tile_indices(call, out, x)}

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        spans = [boxes.span(out, d) for d in range(len(call.output.shape))]
        for axis, indices in tables(call).items():
            spans[axis] = reach(indices, spans[axis])
        return (boxes.box(spans, boxes.is_empty(out)),)


@register
class Tile(CodeOperator):
    """The input again and again along every dimension, as often as the output's shape has it."""

    name: ClassVar[str] = "Tile"
    traits: ClassVar[Traits] = MOVEMENT
    unit: ClassVar[Unit] = Unit.MOVE
    summary: ClassVar[str] = "the same data several times along some dimensions (Expand too)"

    def infer(self, call: Call) -> tuple[Shape, ...]:
        x, out = call.input(0).shape, call.output.shape
        if len(x) != len(out) or any(o % s for s, o in zip(x, out, strict=True)):
            raise ModelError(
                f"output must be a multiple of {list(x)}, not {list(out)} (node '{call.node.name}')"
            )
        return (out,)

    def arrange(self, call: Call, arrays: Sequence[Array]) -> Array:
        (x,) = arrays
        times = [o // s for s, o in zip(x.shape, call.output.shape, strict=True)]
        return np.tile(x, times)

    def axis_after(self, node: Node, before: Shape, after: Shape, axis: int) -> int | None:
        return whole_axis(before, after, axis)

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        spans = []
        for d, length in enumerate(call.input(0).shape):
            low, high = boxes.span(out, d)
            inside = low // length == (high - 1) // length
            first = np.where(inside, low % length, 0)
            spans.append((first, np.where(inside, (high - 1) % length + 1, length)))
        return (boxes.box(spans, boxes.is_empty(out)),)


def tables(call: Call) -> dict[int, IntArray]:
    """The indices by axis."""
    axes, flat = call.ints("axes"), np.asarray(call.ints("indices"), np.int64)
    ends = np.cumsum([call.output.shape[axis] for axis in axes])
    return dict(zip(axes, np.split(flat[: ends[-1]], ends[:-1]), strict=True))


def tile_table(call: Call, out: Region, flat: Array) -> Array:
    """The part of a table, laid out like the indices, that boxes of the output use.

    [boxes, as many as the largest has]: the parts of all axes one after the other, then zeros.
    """
    axes = list(call.ints("axes"))
    first = np.cumsum([0, *(call.output.shape[axis] for axis in axes[:-1])])
    low, extent = out.low[:, axes] + first, out.extent[:, axes]
    found = np.zeros((len(low), int(extent.sum(axis=1).max(initial=0))), flat.dtype)
    start = np.cumsum(extent, axis=1) - extent
    for each in range(len(axes)):
        step = np.arange(int(extent[:, each].max(initial=0)))
        box, place = np.nonzero(step < extent[:, each, None])
        found[box, start[box, each] + place] = flat[low[box, each] + place]
    return found


def tile_indices(call: Call, out: Region, x: Region) -> IntArray:
    """The indices that boxes of the output use, counted from where boxes x of the input begin."""
    indices = tile_table(call, out, np.asarray(call.ints("indices"), np.int64))
    axes = list(call.ints("axes"))
    ends = np.cumsum(out.extent[:, axes], axis=1)[:, None, :]
    axis = (np.arange(indices.shape[1])[:, None] >= ends).sum(axis=2)
    found: IntArray = indices - np.take_along_axis(
        x.low[:, axes], np.minimum(axis, len(axes) - 1), axis=1
    )
    return found


def check_tables(call: Call) -> None:
    """Raise ModelError unless there is an index inside the input for every output."""
    x, out, axes = call.input(0).shape, call.output.shape, call.ints("axes")
    if not axes or len(set(axes)) < len(axes) or not all(0 <= axis < len(x) for axis in axes):
        raise ModelError(
            f"axes must be different and in [0, {len(x)}), not {list(axes)} "
            f"(node '{call.node.name}')"
        )
    wanted, given = sum(out[axis] for axis in axes), len(call.ints("indices"))
    if wanted != given:
        raise ModelError(f"indices must be {wanted} numbers, not {given} (node '{call.node.name}')")
    for axis, indices in tables(call).items():
        if indices.size and not 0 <= indices.min() <= indices.max() < x[axis]:
            raise ModelError(
                f"indices along axis {axis} must be in [0, {x[axis]}), not {indices.min()} to "
                f"{indices.max()} (node '{call.node.name}')"
            )


def reach(indices: IntArray, span: boxes.Span) -> boxes.Span:
    """The smallest and largest of indices[low:high], and one past it, for many spans at once.

    By tables of the extremes of 1, 2, 4, ... neighbours, two of which cover any span.
    """
    low, high = span
    count = np.maximum(high - low, 1)
    level = np.frexp(count)[1] - 1
    first = np.minimum(low, indices.size - 1)
    second = np.maximum(high - (1 << level), first)
    least, most = (_extremes(indices, choose) for choose in (np.minimum, np.maximum))
    return (
        np.minimum(least[level, first], least[level, second]),
        np.maximum(most[level, first], most[level, second]) + 1,
    )


def _extremes(indices: IntArray, choose: np.ufunc) -> IntArray:
    """Row k, column j: the extreme of indices[j : j + 2^k], cut off at the end."""
    rows = [indices]
    while 2 ** len(rows) <= indices.size:
        last, step = rows[-1], 2 ** (len(rows) - 1)
        shifted = last[np.minimum(np.arange(indices.size) + step, indices.size - 1)]
        rows.append(choose(last, shifted))
    return np.stack(rows)
