"""Matrix operators: exact sums of products, partial sums on their way, requantization.

The sums are float matrix products of all cores at once (BLAS), exact because no partial sum can
leave the integers that the float type holds. The whole-graph evaluation uses other kernels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np

from zapdeploy.compile.graph import Array, Call, Value
from zapdeploy.compile.kernels.jit import compiled
from zapdeploy.compile.ops.base import operator
from zapdeploy.compile.ops.codes import quantize, rounded
from zapdeploy.compile.ops.matrix import MatrixOperator
from zapdeploy.compile.program.layer import LayerEvents
from zapdeploy.compile.regions import IntArray, Region
from zapdeploy.errors import SimulationError
from zapdeploy.sim.core_array.local import Together, equal_outputs, part_along, stacked, together
from zapdeploy.sim.core_array.observing import Observer
from zapdeploy.sim.core_array.tiles import Tiles

WORKSPACE_ELEMENTS = 4 << 20  # of gathered inputs and weights at a time
EXACT_IN_FLOAT32 = 1 << 24


def run_matrix(
    events: LayerEvents,
    inputs: Sequence[Tiles | None],
    scales: Tiles | None,
    observer: Observer | None = None,
) -> Tiles:
    """The anchor's output in the cores that end up with it.

    `inputs`: what each core has of the anchor's inputs; `scales`: of the weights, where they are
    delivered with them.
    """
    sums = _sums(events, inputs, observer)
    _pass_on(events, sums)
    if observer is not None:
        observer.sums(events, sums)
    return _finished(events, sums, inputs, scales)


def _sums(events: LayerEvents, inputs: Sequence[Tiles | None], observer: Observer | None) -> Array:
    """Each core's own sums of products, int32 [cores, elements], without bias."""
    call, op = events.layer.anchor, _operator(events.layer.anchor)
    out = Region(events.cuts.output.low[0], events.cuts.output.high[0])
    sums = np.zeros((len(out.low), int(out.volume.max(initial=0))), np.int32)
    x, w = inputs[:2]
    assert x is not None
    assert w is not None
    gathered = _gathered_elements(events)
    for some in together(call, out, inputs):
        if prod(some.call.input(0).shape) and prod(some.call.input(1).shape):
            for part in _in_workspace(some, w.row, int(gathered[some.cores[0]])):
                found = _products(op, some, part, inputs)
                sums[some.cores[part], : found[0].size] = found.reshape(len(part), -1)
                if observer is not None:
                    observer.operands(events, some, some.cores[part], inputs)
    return sums


def _operator(call: Call) -> MatrixOperator:
    op = operator(call.node.op)
    assert isinstance(op, MatrixOperator)
    return op


def _gathered_elements(events: LayerEvents) -> IntArray:
    """Elements of all vectors that each core multiplies with matrices [cores]."""
    op, cuts = _operator(events.layer.anchor), events.cuts
    tiles = op.matrix_tiles(events.layer.anchor, cuts.output, cuts.reduction)
    found = [t.positions * t.groups * t.runs * t.run_values for t in tiles]
    return np.asarray(np.sum(found, axis=0), np.int64)[0]


def _in_workspace(some: Together, row: IntArray, gathered: int) -> Iterator[IntArray]:
    """Numbers of cores that fit the workspace together, those with equal weights side by side."""
    order = np.argsort(row[some.cores], kind="stable")
    each = gathered + prod(some.call.input(1).shape) + prod(some.call.output.shape)
    at_once = max(WORKSPACE_ELEMENTS // each, 1)
    for start in range(0, len(order), at_once):
        yield order[start : start + at_once]


def _products(
    op: MatrixOperator, some: Together, part: IntArray, inputs: Sequence[Tiles | None]
) -> Array:
    """Sums of products of some of the cores that run together, int32 [cores, *tile]."""
    cores = some.cores[part]
    x, w = inputs[:2]
    assert x is not None
    assert w is not None
    _, first, slice_of = np.unique(w.row[cores], return_index=True, return_inverse=True)
    weights = _centred(some, 1, w, cores[first], inputs)
    activations = _centred(some, 0, x, cores, inputs)
    magnitudes = np.abs(weights)
    column = op.weight_sums(some.call, magnitudes)
    if column is None:
        column = magnitudes.sum(axis=_summed_axes(op, some.call), dtype=np.float64)
    largest = float(np.abs(activations).max(initial=0)) * float(column.max(initial=0))
    dtype = np.float32 if largest <= EXACT_IN_FLOAT32 else np.float64
    activations, weights = (a.astype(dtype, copy=False) for a in (activations, weights))
    if len(first) == len(cores):  # every core has weights of its own: in the order of their rows
        return _as_int32(op.accumulate(some.call, activations, weights[slice_of]))
    found = np.empty((len(cores), *some.call.output.shape), np.int32)
    for number, each in enumerate(weights):
        sharing = slice_of == number
        found[sharing] = _as_int32(op.accumulate(some.call, activations[sharing], each[None]))
    return found


def _as_int32(sums: Array) -> Array:
    return sums.astype(np.int64).astype(np.int32)


def _summed_axes(op: MatrixOperator, call: Call) -> tuple[int, ...]:
    """All axes of stacked weights but those of the cores and of the output channels."""
    rank = len(call.input(1).shape)
    return tuple(d + 1 for d in range(rank) if d != op.weight_axis(call) % rank)


def _centred(
    some: Together, index: int, tiles: Tiles, cores: IntArray, inputs: Sequence[Tiles | None]
) -> Array:
    """An operand of the product without its zero point, float32 [cores, *tile]; exact, since
    operands have at most 16 bits."""
    codes = tiles.stack(cores)
    value = some.call.input(index)
    runtime = inputs[3 + index] if len(inputs) > 3 + index else None
    if runtime is not None:
        zero_point = runtime.stack(cores).astype(np.int32)
        axis = 1 + (_operator(some.call).weight_axis(some.call) if index else 0)
        shape = [len(cores)] + [1] * (codes.ndim - 1)
        if zero_point[0].size > 1:
            shape[axis] = -1
        return np.subtract(codes, zero_point.reshape(shape), dtype=np.float32)
    if value.quantization is None:
        return codes.astype(np.float32)
    if value.quantization.zero_point.size == 1:
        return np.subtract(codes, value.quantization.zero_point[0], dtype=np.float32)
    meaning = stacked(value, tiles.pick(cores), len(value.shape)).quantization
    assert meaning is not None
    return np.subtract(codes, meaning.along(meaning.zero_point, codes.ndim), dtype=np.float32)


def _pass_on(events: LayerEvents, sums: Array) -> None:
    """Send partial sums from core to core and add them up, message by message."""
    messages = events.partial_sums
    if not len(messages):
        return
    output = Region(events.cuts.output.low[0], events.cuts.output.high[0])
    pairs = np.argwhere(messages.receivers)
    senders, receivers = messages.senders[pairs[:, 0]], pairs[:, 1]
    sent = Region(messages.boxes.low[pairs[:, 0]], messages.boxes.high[pairs[:, 0]])
    for core in (senders, receivers):
        own = Region(output.low[core], output.high[core])
        wrong = ((own.low != sent.low) | (own.high != sent.high)).any(axis=1)
        if wrong.any():
            k = int(wrong.argmax())
            raise SimulationError(
                f"core {receivers[k]} must receive sums of the box that it computes, not of "
                f"another from core {senders[k]} (layer '{events.layer.name}'); "
                "compile the model again"
            )
    _check_chains(events, senders, receivers)
    add_on(sums, senders, receivers, output.volume)


def _check_chains(events: LayerEvents, senders: IntArray, receivers: IntArray) -> None:
    """Every core but those that end up with the output passes its sums on, once."""
    output = events.cuts.output.volume[0] > 0
    times = np.bincount(senders, minlength=len(output))
    wrong = times != (output & (events.held.volume == 0))
    if wrong.any():
        core = int(wrong.argmax())
        raise SimulationError(
            f"core {core} must pass its partial sums on "
            f"{int(output[core] and not events.held.volume[core])} times, not {times[core]} "
            f"(layer '{events.layer.name}'); compile the model again"
        )


@compiled
def add_on(sums: Array, senders: Array, receivers: Array, count: Array) -> None:
    """Add what senders hold to the sums of their receivers, one after the other."""
    for m in range(len(senders)):
        for k in range(count[senders[m]]):
            sums[receivers[m], k] += sums[senders[m], k]


def _finished(
    events: LayerEvents, sums: Array, inputs: Sequence[Tiles | None], scales: Tiles | None
) -> Tiles:
    """The sums with bias, as the output says: codes, real numbers, or the sums themselves."""
    call = events.layer.anchor
    held = events.held
    values = np.zeros((len(held.low), int(held.volume.max(initial=0))), call.output.element.numpy)
    bias = inputs[2] if len(inputs) > 2 else None
    for some in equal_outputs(call, held):
        shape = some.call.output.shape
        acc = sums[some.cores, : prod(shape)].reshape(len(some.cores), *shape)
        found = _finish(call, some, acc, bias, scales)
        values[some.cores, : found[0].size] = found.reshape(len(some.cores), -1)
    return Tiles.own(values, held)


def _finish(
    call: Call, some: Together, acc: Array, bias: Tiles | None, scales: Tiles | None
) -> Array:
    """clamp(round_half_even(float32(acc) * ((s_x * s_w) / s_y)) + z_y); with a bias in float32,
    clamp(round_half_even((float32(acc) * (s_x * s_w) + bias) / s_y) + z_y)."""
    box = some.boxes[-1]
    assert box is not None
    rank, channel = len(call.output.shape), _operator(call).channel_axis(call)
    out = stacked(some.call.output, box, rank)
    added = None if bias is None else _along(bias, some.cores, channel, rank)
    if added is not None and added.dtype.kind != "f":
        acc, added = acc + added, None
    if out.quantization is None and out.element.is_integer:
        return acc
    factor = _input_scale(call, box) * _weight_scale(call, some, box, scales)
    reals = acc.astype(np.float32)
    if added is not None:
        reals = reals * factor + added
        return reals if out.quantization is None else quantize(reals, out)
    if out.quantization is None:
        return reals * factor
    return rounded(reals * (factor / out.quantization.along(out.quantization.scale, rank + 1)), out)


def _along(tiles: Tiles, cores: IntArray, axis: int, rank: int) -> Array:
    """A vector of each core along an axis of the output [cores, 1 ..., part, 1 ...]."""
    values = tiles.stack(cores).reshape(len(cores), -1)
    shape = [1] * rank
    shape[axis] = values.shape[1]
    return values.reshape(len(cores), *shape)


def _weight_scale(call: Call, some: Together, box: Region, scales: Tiles | None) -> Array:
    """s_w [cores, 1 ..., channels, 1 ...]: as delivered, or from the program."""
    rank, channel = len(call.output.shape), _operator(call).channel_axis(call)
    if scales is not None:
        return _along(scales, some.cores, channel, rank)
    return part_along(_scale(call.input(1)), channel % rank, box, rank)


def _input_scale(call: Call, box: Region) -> Array:
    """s_x along the output's dimensions [cores or 1, 1 ..., part, 1 ...]."""
    rank, meaning = len(call.output.shape), call.input(0).quantization
    axis = 0
    if meaning is not None and meaning.axis is not None and not meaning.is_uniform:
        kept = _operator(call).kept_axis(call, meaning.axis)
        assert kept is not None
        axis = kept
    return part_along(_scale(call.input(0)), axis, box, rank)


def _scale(value: Value) -> Array:
    return np.ones(1, np.float32) if value.quantization is None else value.quantization.scale
