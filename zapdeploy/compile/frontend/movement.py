"""Operators that move data or give it another shape, on real numbers and on codes alike."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from zapdeploy.compile.frontend.errors import RefusedError
from zapdeploy.compile.frontend.graph_builder import GraphBuilder
from zapdeploy.compile.frontend.onnx_node import OnnxNode
from zapdeploy.compile.frontend.registry import translates
from zapdeploy.compile.graph import Attribute, Node, Quantization, Shape, Value
from zapdeploy.compile.ops.base import operator
from zapdeploy.errors import ModelError


@translates("Reshape")
def reshape(builder: GraphBuilder, node: OnnxNode) -> None:
    x = builder.value(node.required(0))
    target = [int(v) for v in builder.array(node.required(1), "shape").ravel()]
    target = _rebatched(builder, x, target)
    if not node.integer("allowzero", 0):
        target = [x.shape[d] if v == 0 and d < len(x.shape) else v for d, v in enumerate(target)]
    if target.count(-1) > 1 or min(target, default=1) < -1:
        raise ModelError(f"shape must have at most one -1, not {target} (node '{node.name}')")
    if -1 in target:
        known = prod(v for v in target if v != -1)
        target[target.index(-1)] = x.size // known if known else 0
    if prod(target) != x.size:
        raise ModelError(
            f"shape must hold {x.size} elements, not {target} (node '{node.name}')"
            + ("; its batch is fixed in the file" if builder.batch else "")
        )
    view(builder, node, x, tuple(target))


def _rebatched(builder: GraphBuilder, x: Value, target: list[int]) -> list[int]:
    """A target written for the file's batch, with the batch asked for in its place."""
    batch = builder.batch
    if batch is None or not target or not x.shape or x.shape[0] != batch.after:
        return target
    fits = -1 in target or prod(target) == x.size
    if target[0] == batch.before or (batch.before is None and target[0] == 1 and not fits):
        return [batch.after, *target[1:]]
    return target


def view(builder: GraphBuilder, node: OnnxNode, x: Value, shape: Shape, output: str = "") -> str:
    """The same data under another shape; scales along an axis must find their axis again."""
    move = Node("", "Reshape", (), ())
    quantization = moved(x, move, shape)
    return builder.emit(
        node,
        "Reshape",
        (x.name,),
        output=output,
        shape=shape,
        element=x.element,
        quantization=quantization,
    )


def moved(x: Value, move: Node, shape: Shape) -> Quantization | None:
    """The quantization of x after a move to this shape."""
    if x.quantization is None or x.quantization.axis is None:
        return x.quantization
    axis = operator(move.op).axis_after(move, x.shape, shape, x.quantization.axis)
    if axis is None:
        raise RefusedError("the axis of the scales must stay whole")
    return replace(x.quantization, axis=axis)


@translates("Flatten")
def flatten(builder: GraphBuilder, node: OnnxNode) -> None:
    x = builder.value(node.required(0))
    axis = node.integer("axis", 1)
    axis += len(x.shape) if axis < 0 else 0
    view(builder, node, x, (prod(x.shape[:axis]), prod(x.shape[axis:])))


@translates("Squeeze")
def squeeze(builder: GraphBuilder, node: OnnxNode) -> None:
    x = builder.value(node.required(0))
    axes = _axes_input(builder, node, len(x.shape))
    if axes is None:
        axes = tuple(d for d, length in enumerate(x.shape) if length == 1)
    if any(x.shape[d] != 1 for d in axes):
        raise ModelError(
            f"squeezed dimensions must have length 1, not {list(x.shape)} along {list(axes)} "
            f"(node '{node.name}')"
        )
    view(builder, node, x, tuple(length for d, length in enumerate(x.shape) if d not in axes))


@translates("Unsqueeze")
def unsqueeze(builder: GraphBuilder, node: OnnxNode) -> None:
    x = builder.value(node.required(0))
    count = builder.array(node.required(1), "axes").size
    rank = len(x.shape) + count
    axes = _axes_input(builder, node, rank)
    rest = iter(x.shape)
    view(builder, node, x, tuple(1 if d in (axes or ()) else next(rest) for d in range(rank)))


def _axes_input(builder: GraphBuilder, node: OnnxNode, rank: int) -> tuple[int, ...] | None:
    if not node.input(1):
        return None
    axes = [int(v) for v in builder.array(node.input(1), "axes").ravel()]
    if any(not -rank <= axis < rank for axis in axes):
        raise ModelError(f"axes must be in [{-rank}, {rank}), not {axes} (node '{node.name}')")
    return tuple(axis % rank for axis in axes)


@translates("Transpose")
def transpose(builder: GraphBuilder, node: OnnxNode) -> None:
    x = builder.value(node.required(0))
    perm = node.integers("perm", tuple(reversed(range(len(x.shape)))))
    if sorted(perm) != list(range(len(x.shape))):
        raise ModelError(
            f"perm must hold each of 0 to {len(x.shape) - 1} once, not {list(perm)} "
            f"(node '{node.name}')"
        )
    emit_move(builder, node, x, "Transpose", {"perm": perm}, tuple(x.shape[d] for d in perm))


@translates("Concat")
def concat(builder: GraphBuilder, node: OnnxNode) -> None:
    """Codes are joined when they have one meaning: that of the first that has one.

    Parts without elements are left out.
    """
    given = [builder.value(name) for name in node.inputs]
    values = [value for value in given if value.size] or given
    if len({(value.element.kind, value.element.bits) for value in values}) > 1:
        raise ModelError(f"inputs must have one element type (node '{node.name}')")
    axis = node.integer("axis", 0)
    axis += len(values[0].shape) if axis < 0 else 0
    meaning = next((v.quantization for v in values if v.quantization is not None), None)
    names = tuple(value.name for value in values)
    if meaning is not None:
        if meaning.axis is not None:
            raise RefusedError("codes must have one scale for the tensor")
        names = tuple(builder.quantize_as(name, meaning) for name in names)
        ranges = [builder.value(name).quantization for name in names]
        low = min(q.low for q in ranges if q is not None)
        high = max(q.high for q in ranges if q is not None)
        meaning = replace(meaning, low=low, high=high)
    element = values[0].element
    builder.emit(node, "Concat", names, {"axis": axis}, element=element, quantization=meaning)


@translates("Split")
def split(builder: GraphBuilder, node: OnnxNode) -> None:
    """One slice for each output."""
    x = builder.value(node.required(0))
    axis = node.integer("axis", 0)
    axis += len(x.shape) if axis < 0 else 0
    start = 0
    for output, length in zip(node.outputs, _lengths(builder, node, x.shape[axis]), strict=True):
        shape = (*x.shape[:axis], length, *x.shape[axis + 1 :])
        starts = tuple(start if d == axis else 0 for d in range(len(shape)))
        if output and not length:
            empty = np.zeros(shape, x.element.numpy)
            builder.define(Value(output, shape, x.element, x.quantization, empty))
        elif output:
            attributes = {"starts": starts, "steps": (1,) * len(shape)}
            emit_move(builder, node, x, "Slice", attributes, shape, output)
        start += length


def _lengths(builder: GraphBuilder, node: OnnxNode, total: int) -> list[int]:
    count = len(node.outputs)
    if node.input(1):
        lengths = [int(v) for v in builder.array(node.input(1), "split").ravel()]
    else:
        size = -(-total // count)
        lengths = [size] * (count - 1) + [total - size * (count - 1)]
    if len(lengths) != count or sum(lengths) != total or min(lengths) < 0:
        raise ModelError(
            f"split must be {count} lengths that add up to {total}, not {lengths} "
            f"(node '{node.name}')"
        )
    return lengths


@translates("Slice")
def slice_(builder: GraphBuilder, node: OnnxNode) -> None:
    x = builder.value(node.required(0))
    rank = len(x.shape)
    bounds = [[int(v) for v in builder.array(node.required(i), "bounds").ravel()] for i in (1, 2)]
    axes = _axes_input(builder, replace(node, inputs=("", node.input(3))), rank)
    steps = [1] * len(bounds[0])
    if node.input(4):
        steps = [int(v) for v in builder.array(node.input(4), "steps").ravel()]
    ranges = [range(length) for length in x.shape]
    for start, stop, step, axis in zip(*bounds, steps, axes or range(len(bounds[0])), strict=True):
        if not step:
            raise ModelError(f"steps must not be 0 (node '{node.name}')")
        ranges[axis] = range(x.shape[axis])[slice(start, _stop(stop, step, x.shape[axis]), step)]
    attributes: dict[str, Attribute] = {
        "starts": tuple(r.start for r in ranges),
        "steps": tuple(r.step for r in ranges),
    }
    emit_move(builder, node, x, "Slice", attributes, tuple(map(len, ranges)))


def _stop(stop: int, step: int, length: int) -> int | None:
    """ONNX writes "to the very front" of a backward slice as a number below -length."""
    return None if step < 0 and stop < -length else stop


@translates("Pad")
def pad(builder: GraphBuilder, node: OnnxNode) -> None:
    """Padding codes (opset 13 allows it) is padding with the real number they stand for.

    Padding with what is there already takes elements again, by a table.
    """
    x = builder.value(node.required(0))
    mode = node.text("mode", "constant")
    if mode not in PAD_MODES:
        raise RefusedError(f"mode must be one of {', '.join(PAD_MODES)}, not {mode}")
    if mode != "constant":
        _take_padding(builder, node, x, mode)
        return
    if x.element.is_integer and (x.quantization is None or x.quantization.axis is not None):
        raise RefusedError("integers must come from a quantizer with one scale for the tensor")
    pads = _pads(builder, node, len(x.shape))
    fill = float(builder.array(node.input(2), "value").item()) if node.input(2) else 0.0
    if x.quantization is not None:
        fill = (fill - float(x.quantization.zero_point[0])) * float(x.quantization.scale[0])
    attributes: dict[str, Attribute] = {"pads": tuple(pads), "value": fill}
    builder.emit(node, "Pad", (x.name,), attributes, element=x.element, quantization=x.quantization)


def _pads(builder: GraphBuilder, node: OnnxNode, rank: int) -> list[int]:
    """Begins, then ends, for every dimension."""
    given = [int(v) for v in builder.array(node.required(1), "pads").ravel()]
    axes = _axes_input(builder, replace(node, inputs=("", node.input(3))), rank) or range(rank)
    pads = [0] * 2 * rank
    for position, axis in enumerate(axes):
        pads[axis], pads[rank + axis] = given[position], given[len(given) // 2 + position]
    return pads


PAD_MODES = ("constant", "reflect", "edge", "wrap")


def _take_padding(builder: GraphBuilder, node: OnnxNode, x: Value, mode: str) -> None:
    """A Take along the padded dimensions; NumPy's padding of indices makes the table."""
    rank = len(x.shape)
    pads = _pads(builder, node, rank)
    axes = tuple(d for d in range(rank) if pads[d] or pads[rank + d])
    tables = []
    for d in axes:
        begin, end = pads[d], pads[rank + d]
        kept = np.arange(x.shape[d])[max(-begin, 0) : x.shape[d] + min(end, 0)]
        if not kept.size or (mode == "reflect" and kept.size == 1):
            raise ModelError(
                f"pads must leave enough to {mode} of {list(x.shape)}, not {pads} "
                f"(node '{node.name}')"
            )
        tables.append(np.pad(kept, (max(begin, 0), max(end, 0)), mode))  # type: ignore[call-overload]
    lengths = dict(zip(axes, map(len, tables), strict=True))
    shape = tuple(lengths.get(d, length) for d, length in enumerate(x.shape))
    if not axes:
        view(builder, node, x, shape)
        return
    indices = tuple(int(i) for table in tables for i in table)
    emit_move(builder, node, x, "Take", {"axes": axes, "indices": indices}, shape)


def emit_move(
    builder: GraphBuilder,
    node: OnnxNode,
    x: Value,
    op: str,
    attributes: dict[str, Attribute] | dict[str, tuple[int, ...]],
    shape: Shape,
    output: str = "",
) -> str:
    """Emit an operator that moves what x holds, codes or numbers, into this shape."""
    quantization = moved(x, Node("", op, (), (), attributes), shape)
    return builder.emit(
        node,
        op,
        (x.name,),
        attributes,
        output=output,
        shape=shape,
        element=x.element,
        quantization=quantization,
    )
