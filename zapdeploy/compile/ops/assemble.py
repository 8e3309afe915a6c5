"""A box put together from pieces, each at its place: what a card makes of its own part of a tensor
and of what its neighbours sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Attribute, Call, Node, Shape
from zapdeploy.compile.ops import boxes
from zapdeploy.compile.ops.axes import whole_axis
from zapdeploy.compile.ops.base import MOVEMENT, Traits, Unit, register
from zapdeploy.compile.ops.codes import CodeOperator
from zapdeploy.compile.regions import IntArray, Region
from zapdeploy.errors import ModelError


@register
class Assemble(CodeOperator):
    """y[starts[k] + i] = x_k[i]: the pieces lie side by side and fill the output.

    Attribute starts: those of all pieces one after the other, a number for each dimension. A piece
    may reach beyond the output, which is then a part of it.
    """

    name: ClassVar[str] = "Assemble"
    traits: ClassVar[Traits] = MOVEMENT
    unit: ClassVar[Unit] = Unit.MOVE
    summary: ClassVar[str] = "a box from its pieces (made when space is cut over chips)"

    def infer(self, call: Call) -> tuple[Shape, ...]:
        out = call.output.shape
        starts = _starts(call)
        shapes = np.array([call.input(k).shape for k in range(len(call.inputs))], np.int64)
        inside = Region(starts, starts + shapes).clip(out)
        if int(inside.volume.sum()) != call.output.size or _overlap(inside):
            raise ModelError(
                f"pieces must fill {list(out)} without overlap (node '{call.node.name}')"
            )
        return (out,)

    def arrange(self, call: Call, arrays: Sequence[Array]) -> Array:
        out = np.empty(call.output.shape, arrays[0].dtype)
        for start, piece in zip(_starts(call), arrays, strict=True):
            inside = Region(start, start + piece.shape).clip(out.shape)
            target = tuple(map(slice, inside.low, inside.high))
            source = tuple(map(slice, inside.low - start, inside.high - start))
            out[target] = piece[source]
        return out

    def axis_after(self, node: Node, before: Shape, after: Shape, axis: int) -> int | None:
        starts = node.attributes["starts"]
        assert isinstance(starts, tuple)
        return None if any(starts[axis :: len(after)]) else whole_axis(before, after, axis)

    def over_cores(self, call: Call) -> Mapping[str, Attribute]:
        starts = _starts(call)
        behind = np.concatenate([np.zeros((len(starts), 1), np.int64), starts], axis=1)
        return {**call.node.attributes, "starts": tuple(behind.reshape(-1).tolist())}

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        empty, found = boxes.is_empty(out), []
        for index, start in enumerate(_starts(call)):
            inside = Region(out.low - start, out.high - start).clip(call.input(index).shape)
            nothing = empty | boxes.is_empty(inside)
            spans = [boxes.span(inside, d) for d in range(len(start))]
            found.append(boxes.box(spans, nothing))
        return tuple(found)


def _starts(call: Call) -> IntArray:
    """Where each piece begins in the output [pieces, rank]."""
    return np.asarray(call.ints("starts"), np.int64).reshape(len(call.inputs), -1)


def _overlap(pieces: Region) -> bool:
    """Whether any two boxes share an element."""
    low = np.maximum(pieces.low[:, None], pieces.low[None])
    high = np.minimum(pieces.high[:, None], pieces.high[None])
    shared = np.all(high > low, axis=-1)
    np.fill_diagonal(shared, val=False)
    return bool(shared.any())
