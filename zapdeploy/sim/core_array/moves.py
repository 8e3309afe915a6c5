"""Operators that move data: where each element comes from, found by moving numbers instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from zapdeploy.compile.graph import FLOAT32, Array, Call, Value
from zapdeploy.compile.ops.base import operator
from zapdeploy.compile.ops.codes import CodeOperator, from_real, in_range, keeps_codes, to_real
from zapdeploy.compile.regions import IntArray, Region
from zapdeploy.sim.core_array.deliveries import fill_from
from zapdeploy.sim.core_array.local import stacked
from zapdeploy.sim.core_array.tiles import Tiles, alike

FIRST = 1 << 40  # the number of the first element; lower numbers are values the operator fills in


def move(call: Call, out: Region, inputs: Sequence[Tiles | None], what: str) -> Tiles:
    """The output's boxes `out`: codes where they mean the same on both sides, else real numbers
    that are quantized again."""
    given = [
        (tiles, value)
        for tiles, value in zip(inputs, call.inputs, strict=True)
        if tiles is not None and value is not None
    ]
    if keeps_codes(call):
        types = {value.element.numpy for _, value in given} | {call.output.element.numpy}
        common = types.pop() if len(types) == 1 else np.dtype(np.int64)
        moved = _moved(call, out, given, common, what)
        return replace(moved, values=in_range(moved.values, call.output))
    reals = [(_mapped(to_real, t, v, FLOAT32.numpy), v) for t, v in given]
    moved = _moved(call, out, reals, FLOAT32.numpy, what)
    return _mapped(from_real, moved, call.output, call.output.element.numpy)


def _moved(
    call: Call,
    out: Region,
    inputs: Sequence[tuple[Tiles, Value]],
    dtype: np.dtype[Any],
    what: str,
) -> Tiles:
    """Elements of the inputs, or filled in, in each core's box of the output."""
    op = operator(call.node.op)
    assert isinstance(op, CodeOperator)
    number_type = np.float64 if dtype.kind == "f" else np.int64  # what is filled in is of its kind
    sizes = [prod(value.shape) for _, value in inputs]
    ends = FIRST + np.cumsum(sizes)
    numbers = [
        np.arange(end - size, end).astype(number_type).reshape(value.shape)
        for end, size, (_, value) in zip(ends, sizes, inputs, strict=True)
    ]
    arranged = np.ascontiguousarray(op.arrange(call, numbers)).reshape(-1)
    origin: IntArray = np.where(arranged >= FIRST, arranged, 0).astype(np.int64)
    filled = np.where(arranged >= FIRST, 0, arranged).astype(dtype)
    found = Tiles.cut(filled.reshape(call.output.shape), out)
    for end, size, (tiles, value) in zip(ends, sizes, inputs, strict=True):
        fill_from(
            tiles, value.shape, out, call.output.shape,
            origin, (int(end - size), int(end)), found.values, what,
        )  # fmt: skip
    return found


def _mapped(
    function: Callable[[Array, Value], Array], tiles: Tiles, value: Value, dtype: np.dtype[Any]
) -> Tiles:
    """A function of an array and its value, element by element, for each core's box."""
    out: Array = np.zeros((len(tiles.row), tiles.values.shape[1]), dtype)
    rank = len(value.shape)
    for cores in alike(np.flatnonzero(tiles.box.volume > 0), [tiles.box.extent]):
        box = tiles.pick(cores)
        array = tiles.stack(cores)
        local = stacked(replace(value, shape=array.shape[1:]), box, rank)
        found = function(array, local)
        out[cores, : found[0].size] = found.reshape(len(cores), -1)
    return Tiles.own(out, tiles.box)
