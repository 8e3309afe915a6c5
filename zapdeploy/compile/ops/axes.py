"""Where an axis goes when a tensor is moved, and with it the scales that run along it."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from zapdeploy.compile.graph import Node, Quantization, Shape, Value
from zapdeploy.compile.ops.base import operator


def whole_axis(before: Shape, after: Shape, axis: int) -> int | None:
    """The same axis where it keeps its length, for what leaves axes in their places."""
    return axis if len(before) == len(after) and before[axis] == after[axis] else None


def reshaped_axis(before: Shape, after: Shape, axis: int) -> int | None:
    """The axis of a reshaped tensor with the same length and the same stride."""
    length, stride = before[axis], prod(before[axis + 1 :])
    for candidate in range(len(after)):
        if after[candidate] == length and prod(after[candidate + 1 :]) == stride:
            return candidate
    return None


def quantization_after(node: Node, source: Value, after: Shape) -> Quantization | None:
    """What the codes of `source` mean behind a node that hands them on in this shape.

    One scale for the tensor holds anywhere. Scales along an axis go where the operator takes the
    axis; None where they cannot.
    """
    meaning = source.quantization
    if meaning is None or meaning.axis is None:
        return meaning
    axis = operator(node.op).axis_after(node, source.shape, after, meaning.axis)
    return None if axis is None else replace(meaning, axis=axis)
