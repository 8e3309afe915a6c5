"""Data chosen by indices that are computed at run time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Attribute, Call, Node, Shape
from zapdeploy.compile.ops import boxes
from zapdeploy.compile.ops.axes import whole_axis
from zapdeploy.compile.ops.base import ElementWork, Operator, Trait, Traits, register
from zapdeploy.compile.ops.codes import from_real, given, in_range, to_real
from zapdeploy.compile.ops.lifting import CORES, lifted
from zapdeploy.compile.ops.work import moving
from zapdeploy.compile.regions import Region
from zapdeploy.errors import DataError, ModelError

ADDRESS = 1  # vector operations that make an address of an index


class Indexed(Operator):
    """x and integer indices, negative ones from the end. Attribute axis.

    Every core needs all of x along the axis, since any index may come. Codes are moved where x and
    the output have one scale and the same; otherwise they are read as real numbers.
    """

    def choose(self, call: Call, x: Array, indices: Array) -> Array:
        """The output's elements, from x and indices that are not negative."""
        raise NotImplementedError

    def evaluate(self, call: Call, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, source, out = given(inputs), call.input(0), call.output
        indices = self._checked(call, given(inputs, 1), x.shape[self.axis(call)])
        same = source.quantization is None and out.quantization is None
        if source.quantization is not None and out.quantization is not None:
            same = source.quantization.axis is None and source.quantization.same(out.quantization)
        if not same:
            return (from_real(self.choose(call, to_real(x, source), indices), out),)
        return (in_range(self.choose(call, x, indices), out),)

    def axis(self, call: Call) -> int:
        """The attribute, counted from the front."""
        return call.int("axis") % len(call.input(0).shape)

    def check(self, call: Call) -> None:
        """Raise ModelError unless axis and indices are such."""
        rank, axis = len(call.input(0).shape), call.int("axis")
        if not -rank <= axis < rank:
            raise ModelError(
                f"axis must be in [{-rank}, {rank}), not {axis} (node '{call.node.name}')"
            )
        if not call.input(1).element.is_integer:
            raise ModelError(
                f"indices must be integers, not {call.input(1).element.name} "
                f"(node '{call.node.name}')"
            )

    def over_cores(self, call: Call) -> Mapping[str, Attribute]:
        return {**lifted(call, "axis"), CORES: 1}

    def element_work(self, call: Call) -> ElementWork:
        moved = moving(call)
        return ElementWork(ADDRESS + moved.vector, moved.activation)

    def _checked(self, call: Call, indices: Array, length: int) -> Array:
        if indices.size and not -length <= indices.min() <= indices.max() < length:
            raise DataError(
                f"indices must be in [{-length}, {length}), not {indices.min()} to "
                f"{indices.max()} (node '{call.node.name}')"
            )
        return np.where(indices < 0, indices + length, indices)


@register
class Gather(Indexed):
    """y[a, i, b] = x[a, indices[i], b], where a runs before the axis, b behind it, i over all
    dimensions of the indices."""

    name: ClassVar[str] = "Gather"
    traits: ClassVar[Traits] = frozenset({Trait.HANDS_CODES_ON})
    summary: ClassVar[str] = "slices at indices that are computed (a table look-up, an embedding)"

    def infer(self, call: Call) -> tuple[Shape, ...]:
        self.check(call)
        x, axis = call.input(0).shape, self.axis(call)
        return ((*x[:axis], *call.input(1).shape, *x[axis + 1 :]),)

    def axis_after(self, node: Node, before: Shape, after: Shape, axis: int) -> int | None:
        chosen = _axis_of(node, before)
        if axis == chosen:
            return None
        return axis if axis < chosen else axis + len(after) - len(before)

    def axis_before(self, node: Node, before: Shape, after: Shape, axis: int) -> int | None:
        chosen, behind = _axis_of(node, before), len(after) - len(before)
        if axis < chosen:
            return axis
        return axis - behind if axis > chosen + behind else None

    def choose(self, call: Call, x: Array, indices: Array) -> Array:
        axis = self.axis(call)
        if CORES not in call.node.attributes:
            return np.asarray(x.take(indices, axis=axis))
        flat = indices.reshape(len(indices), -1)
        front = np.moveaxis(x, axis, 1)[np.arange(len(x))[:, None], flat]
        return np.moveaxis(front, 1, axis).reshape(call.output.shape)

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        x, indices, axis = call.input(0).shape, call.input(1).shape, self.axis(call)
        empty = boxes.is_empty(out)
        spans = [boxes.span(out, d) for d in range(len(call.output.shape))]
        chosen, behind = spans[axis : axis + len(indices)], spans[axis + len(indices) :]
        source = [*spans[:axis], boxes.full(x[axis]), *behind]
        return boxes.box(source, empty), boxes.box(chosen, empty)


@register
class GatherElements(Indexed):
    """y[.., i, ..] = x[.., indices[.., i, ..], ..]: an index for every element."""

    name: ClassVar[str] = "GatherElements"
    traits: ClassVar[Traits] = frozenset({Trait.HANDS_CODES_ON})
    summary: ClassVar[str] = "for every element an index along an axis that is computed"

    def infer(self, call: Call) -> tuple[Shape, ...]:
        self.check(call)
        x, indices, axis = call.input(0).shape, call.input(1).shape, self.axis(call)
        pairs = enumerate(zip(x, indices, strict=False))
        if len(x) != len(indices) or any(i > s for d, (s, i) in pairs if d != axis):
            raise ModelError(
                f"indices must have {len(x)} dimensions, none longer than {list(x)} but along axis "
                f"{axis}, not {list(indices)} (node '{call.node.name}')"
            )
        return (indices,)

    def axis_after(self, node: Node, before: Shape, after: Shape, axis: int) -> int | None:
        if axis == _axis_of(node, before):
            return None
        return whole_axis(before, after, axis)

    def choose(self, call: Call, x: Array, indices: Array) -> Array:
        axis = self.axis(call)
        part = tuple(
            slice(None) if d == axis else slice(length) for d, length in enumerate(indices.shape)
        )
        return np.take_along_axis(x[part], indices, axis=axis)

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        return boxes.spread(out, (self.axis(call),), call.input(0).shape), out


def _axis_of(node: Node, x: Shape) -> int:
    """The axis along which indices choose, from the front."""
    axis = node.attributes["axis"]
    assert isinstance(axis, int)
    return axis % len(x)
