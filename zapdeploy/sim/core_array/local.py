"""Calls as some cores see them: the shapes of their tiles, the scales of their boxes.

Cores whose tiles are equally large (and meet the tensor's border alike) run a call together: every
tensor gets a further first axis, that of the cores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from zapdeploy.compile.graph import Array, Call, Quantization, Shape, Value
from zapdeploy.compile.ops.base import Operator, operator
from zapdeploy.compile.regions import IntArray, Region
from zapdeploy.sim.core_array.tiles import Tiles, alike, extent_of


@dataclass(frozen=True, eq=False)
class Together:
    """`cores` that run `call`, which has the shapes and attributes of one tile.

    `boxes`: of the inputs, then of the output, each [cores, rank]; None for an absent input.
    """

    cores: IntArray
    call: Call
    boxes: tuple[Region | None, ...]


def together(call: Call, out: Region, inputs: Sequence[Tiles | None]) -> Iterator[Together]:
    """Sets of cores that can run a call together; `out` is what each computes [cores, rank]."""
    op = operator(call.node.op)
    boxes = [None if tiles is None else tiles.box for tiles in inputs]
    special = op.tile_attributes(call, out, boxes)
    given = [box for box in boxes if box is not None]
    keys = [region.extent for region in (out, *given)] + list(special.values())
    for cores in alike(np.flatnonzero(out.volume > 0), keys):
        picked = tuple(None if t is None else t.pick(cores) for t in inputs)
        own = Region(out.low[cores], out.high[cores])
        yield Together(cores, _tile_call(call, cores, out, boxes, special), (*picked, own))


def equal_outputs(call: Call, out: Region) -> Iterator[Together]:
    """Sets of cores whose boxes `out` of the output are equally large; the inputs do not matter."""
    for cores in alike(np.flatnonzero(out.volume > 0), [out.extent]):
        output = replace(call.output, shape=extent_of(out, cores))
        own = Region(out.low[cores], out.high[cores])
        yield Together(cores, replace(call, outputs=(output,)), (own,))


def _tile_call(
    call: Call,
    cores: IntArray,
    out: Region,
    boxes: Sequence[Region | None],
    special: Mapping[str, Array],
) -> Call:
    found = {name: tuple(each[cores[0]].tolist()) for name, each in special.items()}
    node = replace(call.node, attributes={**call.node.attributes, **found})
    inputs = tuple(
        None if value is None or box is None else replace(value, shape=extent_of(box, cores))
        for value, box in zip(call.inputs, boxes, strict=True)
    )
    return Call(node, inputs, (replace(call.output, shape=extent_of(out, cores)),))


def stacked(value: Value, box: Region, rank: int) -> Value:
    """A value over cores: [cores, 1 ..., *tile], as many 1s as give a tile `rank` dimensions.

    Scales that run along an axis are those of each core's box.
    """
    cores = len(box.low)
    shape = (cores, *(1,) * (rank - len(value.shape)), *value.shape)
    meaning = value.quantization
    if meaning is None or meaning.is_uniform or meaning.axis is None:
        return replace(value, shape=shape, data=None)
    scale, zero_point = (
        part_along(which, meaning.axis, box, rank) for which in (meaning.scale, meaning.zero_point)
    )
    parts = Quantization(scale, zero_point, meaning.low, meaning.high)
    return replace(value, shape=shape, data=None, quantization=parts)


def part_along(vector: Array, axis: int, box: Region, rank: int) -> Array:
    """Each core's part of a vector along an axis of boxes, [cores, 1 ..., part, 1 ...].

    A vector of one number is that for all.
    """
    own = box.low.shape[-1]
    if vector.size == 1:
        return vector.reshape((1,) * (rank + 1))
    length = int(box.extent[0, axis])
    values = vector[box.low[:, axis, None] + np.arange(length)]
    return values.reshape(
        len(values), *(1,) * (rank - own + axis), length, *(1,) * (own - axis - 1)
    )


def evaluate(call: Call, out: Region, inputs: Sequence[Tiles | None]) -> Tiles:
    """The output's boxes `out` from what the call needs of its inputs."""
    values = np.zeros((len(out.low), int(out.volume.max(initial=0))), call.output.element.numpy)
    op = operator(call.node.op)
    for some in together(call, out, inputs):
        some = _never_alone(some, call)
        arrays = [None if tiles is None else tiles.stack(some.cores) for tiles in inputs]
        found = _evaluate(op, call, some, arrays).reshape(len(some.cores), -1)
        values[some.cores, : found.shape[1]] = found
    return Tiles.own(values, out)


def _never_alone(some: Together, call: Call) -> Together:
    """The same cores; a single one twice if any scale runs along an axis.

    Operators ask whether a tensor has one scale. The scales of a single core's tile may be one
    number, and must still count as many.
    """
    values = (*call.inputs, call.output)
    meanings = [value.quantization for value in values if value is not None]
    if len(some.cores) > 1 or all(m is None or m.is_uniform for m in meanings):
        return some
    boxes = tuple(
        None if b is None else Region(*(np.repeat(e, 2, 0) for e in b)) for b in some.boxes
    )
    return Together(np.repeat(some.cores, 2), some.call, boxes)


def by_products(call: Call, out: Region, inputs: Sequence[Tiles | None]) -> dict[str, Array]:
    """All outputs but the first; a call that has such is not cut, so that one core makes them."""
    if len(call.outputs) == 1:
        return {}
    (core,) = np.flatnonzero(out.volume > 0)
    arrays = [None if tiles is None else tiles.stack(np.array([core]))[0] for tiles in inputs]
    found = operator(call.node.op).evaluate(call, arrays)
    return {v.name: array for v, array in zip(call.outputs[1:], found[1:], strict=True)}


def _evaluate(op: Operator, call: Call, some: Together, arrays: list[Array | None]) -> Array:
    rank = len(call.output.shape) if op.is_elementwise else 0
    values = [
        None if value is None or box is None else stacked(value, box, max(rank, len(value.shape)))
        for value, box in zip((*some.call.inputs, some.call.output), some.boxes, strict=True)
    ]
    arrays = [
        None if array is None or value is None else array.reshape(value.shape)
        for array, value in zip(arrays, values, strict=False)
    ]
    attributes = op.over_cores(some.call)
    if op.batched:
        arrays = [None if array is None else _merged(array) for array in arrays]
        values = [None if value is None else _merged_value(value) for value in values]
        attributes = some.call.node.attributes
    node = replace(some.call.node, attributes=attributes)
    assert values[-1] is not None
    lifted = Call(node, tuple(values[:-1]), (values[-1],))
    return np.ascontiguousarray(op.evaluate(lifted, arrays)[0])


def _merged(array: Array) -> Array:
    return array.reshape(array.shape[0] * array.shape[1], *array.shape[2:])


def _merged_value(value: Value) -> Value:
    """The axis of the cores as part of the batch."""
    shape: Shape = (value.shape[0] * value.shape[1], *value.shape[2:])
    meaning = value.quantization
    if meaning is None or meaning.scale.ndim == 1:
        return replace(value, shape=shape)
    scale, zero_point = (
        _merged(np.broadcast_to(which, (*value.shape[:2], *which.shape[2:])))
        for which in (meaning.scale, meaning.zero_point)
    )
    merged = Quantization(scale, zero_point, meaning.low, meaning.high)
    return replace(value, shape=shape, quantization=merged)
