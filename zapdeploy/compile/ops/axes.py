"""Where an axis goes when a tensor is transposed, reshaped or cut."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from zapdeploy.compile.graph import Node, Quantization, Shape, Value
from zapdeploy.compile.ops.base import Trait, has


def axis_after(node: Node, before: Shape, after: Shape, axis: int) -> int | None:
    """The output's axis that runs over the same indices as `axis` of the first input.

    None where there is none: the axis is merged, split or cut. Axes count from the front.
    """
    if node.op == "Transpose":
        perm = node.attributes["perm"]
        assert isinstance(perm, tuple)
        return perm.index(axis)
    if node.op == "Reshape":
        return _same_axis(before, after, axis)
    whole = len(before) == len(after) and before[axis] == after[axis]
    return axis if whole and not _is_mixed(node, axis) else None


def _is_mixed(node: Node, axis: int) -> bool:
    """Whether a Slice runs backwards along an axis, or a Take takes as it likes."""
    steps, taken = node.attributes.get("steps", ()), node.attributes.get("axes", ())
    if node.op == "Take":
        return isinstance(taken, tuple) and axis in taken
    return node.op == "Slice" and isinstance(steps, tuple) and steps[axis] < 0


def axis_before(node: Node, before: Shape, after: Shape, axis: int) -> int | None:
    """The first input's axis that runs over the same indices as `axis` of the output."""
    if node.op == "Transpose":
        perm = node.attributes["perm"]
        assert isinstance(perm, tuple)
        return int(perm[axis])
    if node.op == "Reshape":
        return _same_axis(after, before, axis)
    return axis_after(node, after, before, axis)


def _same_axis(before: Shape, after: Shape, axis: int) -> int | None:
    """The axis of a reshaped tensor with the same length and the same stride."""
    length, stride = before[axis], prod(before[axis + 1 :])
    for candidate in range(len(after)):
        if after[candidate] == length and prod(after[candidate + 1 :]) == stride:
            return candidate
    return None


def meaning_after(node: Node, source: Value, after: Shape) -> Quantization | None:
    """What the codes of `source` mean behind a node that hands them on in this shape.

    One scale for the tensor holds anywhere. Scales along an axis go where a move takes the axis;
    None where they cannot.
    """
    meaning = source.quantization
    if meaning is None or meaning.is_uniform:
        return meaning
    if meaning.axis is None or not has(node.op, Trait.MOVES):
        return None
    axis = axis_after(node, source.shape, after, meaning.axis)
    return None if axis is None else replace(meaning, axis=axis)
