"""Look-ups and writes at several coordinates at once, by one flat index; OneHot by comparison."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

import numpy as np
from onnx import NodeProto

from zapdeploy.arrays import Array
from zapdeploy.simplify.registry import expands
from zapdeploy.simplify.walking import Place


@expands("GatherND")
def gather_nd(place: Place) -> Iterable[NodeProto] | None:
    """y[b, i] = x[b, indices[b, i]]: one Gather from x with the indexed dimensions as one."""
    out, (x, indices) = place.writer(), place.node.input
    shape = [place.length(x, d) for d in range(len(place.shape(x)))]
    chosen = [place.length(indices, d) for d in range(len(place.shape(indices)))]
    first, count = place.attributes.get("batch_dims", 0), chosen[-1]
    strides = _strides(shape[first : first + count])
    parts = []
    for column, stride in enumerate(strides):
        at = out.node("Gather", indices, out.constant("column", column), axis=-1)
        zero, length = out.constant("zero", 0), out.constant("length", shape[first + column])
        at = out.node("Where", out.node("Less", at, zero), out.node("Add", at, length), at)
        parts.append(out.node("Mul", at, out.constant("stride", stride)))
    if first:
        frames = np.arange(prod(shape[:first])).reshape(
            *shape[:first], *(1,) * (len(chosen) - 1 - first)
        )
        parts.append(out.constant("frame", frames * prod(shape[first : first + count])))
    flat = parts[0]
    for part in parts[1:]:
        flat = out.node("Add", flat, part)
    rest = shape[first + count :]
    table = out.reshape(x, [prod(shape[: first + count]), *rest])
    out.node("Gather", table, flat, output=place.output(0), axis=0)
    return out.nodes


def _strides(lengths: list[int]) -> list[int]:
    return [prod(lengths[d + 1 :]) for d in range(len(lengths))]


@expands("ScatterND", "ScatterElements", "Scatter")
def scatter(place: Place) -> Iterable[NodeProto] | None:
    """Updates written into x at constant places: taken from x and the updates, one behind the
    other."""
    out, (x, indices, updates) = place.writer(), place.node.input
    where = place.value(indices)
    if where is None or place.attributes.get("reduction", "none") != "none":
        return None
    shape = [place.length(x, d) for d in range(len(place.shape(x)))]
    if place.node.op_type == "ScatterND":
        count = where.shape[-1]
        flat = _flat(where.reshape(-1, count), shape[:count])
    else:
        count = len(shape)
        coordinates = np.moveaxis(np.indices(where.shape), 0, -1).copy()
        coordinates[..., place.attributes.get("axis", 0)] = where
        flat = _flat(coordinates.reshape(-1, count), shape)
    rows, rest = prod(shape[:count]), shape[count:]
    table = np.arange(rows)
    table[flat] = rows + np.arange(len(flat))
    both = [out.reshape(x, [rows, *rest]), out.reshape(updates, [len(flat), *rest])]
    taken = out.node(
        "Gather", out.node("Concat", *both, axis=0), out.constant("table", table), axis=0
    )
    out.reshape(taken, shape, output=place.output(0))
    return out.nodes


def _flat(coordinates: Array, lengths: list[int]) -> Array:
    """Coordinates [n, dimensions], negative ones from the end, as places in a row."""
    inside = np.where(coordinates < 0, coordinates + np.asarray(lengths), coordinates)
    return np.asarray((inside * _strides(lengths)).sum(axis=-1))


@expands("OneHot")
def one_hot(place: Place) -> Iterable[NodeProto] | None:
    """Where the index equals the position; negative indices count from the end."""
    out, (indices, depth_name, values) = place.writer(), place.node.input
    depth, both = place.value(depth_name), place.value(values)
    if depth is None or both is None:
        return None
    rank, length = len(place.shape(indices)), int(depth.ravel()[0])
    axis = place.attributes.get("axis", -1) % (rank + 1)
    whole = out.node("Cast", indices, to=7)
    zero, size = out.constant("zero", 0), out.constant("depth", length)
    whole = out.node("Where", out.node("Less", whole, zero), out.node("Add", whole, size), whole)
    row = np.arange(length).reshape(*(1,) * axis, length, *(1,) * (rank - axis))
    found = out.node("Equal", out.unsqueeze(whole, axis), out.constant("row", row))
    off, on = (out.constant("value", np.asarray(v)) for v in both)
    out.node("Where", found, on, off, output=place.output(0))
    return out.nodes
