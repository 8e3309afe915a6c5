"""Data that changes place, not value.

With equal parameters on both sides the codes move; otherwise each input is requantized.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import ClassVar

import numpy as np

from zapdeploy.compile.graph import (
    Array,
    Attribute,
    Call,
    Node,
    Quantization,
    Shape,
    Value,
)
from zapdeploy.compile.ops import boxes
from zapdeploy.compile.ops.axes import whole_axis
from zapdeploy.compile.ops.base import MOVEMENT, Trait, Traits, Unit, register
from zapdeploy.compile.ops.codes import CodeOperator, quantize
from zapdeploy.compile.ops.lifting import lifted
from zapdeploy.compile.regions import Region
from zapdeploy.errors import ModelError


@register
class Concat(CodeOperator):
    """Attribute axis."""

    name: ClassVar[str] = "Concat"
    traits: ClassVar[Traits] = MOVEMENT
    unit: ClassVar[Unit] = Unit.MOVE
    summary: ClassVar[str] = "tensors one after the other along an axis"

    def infer(self, call: Call) -> tuple[Shape, ...]:
        shapes = [value.shape for value in call.inputs if value is not None]
        rank, axis = len(shapes[0]), call.int("axis")
        if not -rank <= axis < rank:
            raise ModelError(
                f"axis must be in [{-rank}, {rank}), not {axis} (node '{call.node.name}')"
            )
        axis %= rank
        others = {(*s[:axis], *s[axis + 1 :]) for s in shapes}
        if len(others) > 1 or any(len(s) != rank for s in shapes):
            listed = ", ".join(str(list(s)) for s in shapes)
            raise ModelError(
                f"inputs must have equal shapes but for axis {axis}, not {listed} "
                f"(node '{call.node.name}')"
            )
        return ((*shapes[0][:axis], sum(s[axis] for s in shapes), *shapes[0][axis + 1 :]),)

    def arrange(self, call: Call, arrays: Sequence[Array]) -> Array:
        return np.concatenate(arrays, axis=call.int("axis"))

    def axis_after(self, node: Node, before: Shape, after: Shape, axis: int) -> int | None:
        joined = node.attributes["axis"]
        assert isinstance(joined, int)
        return None if axis == joined % len(after) else whole_axis(before, after, axis)

    def codes_after(self, node: Node, codes: Sequence[Value], output: Value) -> Value | None:
        """Codes of equal meaning and signedness, in the widest type among them."""
        widest = max(codes, key=lambda value: value.element.bits)
        meaning = widest.quantization
        assert meaning is not None
        low, high = meaning.low, meaning.high
        for value in codes:
            if value.quantization is None or not value.quantization.same(meaning):
                return None
            if value.element.kind != widest.element.kind:
                return None
            low, high = min(low, value.quantization.low), max(high, value.quantization.high)
        joined = replace(meaning, low=low, high=high)
        return replace(output, element=widest.element, quantization=joined)

    def over_cores(self, call: Call) -> Mapping[str, Attribute]:
        return lifted(call, "axis")

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        axis = call.int("axis") % len(call.output.shape)
        empty, found, offset = boxes.is_empty(out), [], 0
        for index in range(len(call.inputs)):
            shape = call.input(index).shape
            spans = [boxes.span(out, d) for d in range(len(shape))]
            low, high = spans[axis]
            low, high = (np.clip(edge - offset, 0, shape[axis]) for edge in (low, high))
            spans[axis] = (low, high)
            found.append(boxes.box(spans, empty | (high <= low)))
            offset += shape[axis]
        return tuple(found)


@register
class Slice(CodeOperator):
    """Attributes starts and steps, one for each dimension; the output's shape says how many."""

    name: ClassVar[str] = "Slice"
    traits: ClassVar[Traits] = MOVEMENT
    unit: ClassVar[Unit] = Unit.MOVE
    summary: ClassVar[str] = "every step-th index from a start, along each dimension (Split too)"

    def infer(self, call: Call) -> tuple[Shape, ...]:
        shape, out = call.input(0).shape, call.output.shape
        starts, steps = call.ints("starts"), call.ints("steps")
        if not len(starts) == len(steps) == len(shape) == len(out) or 0 in steps:
            raise ModelError(
                f"starts and steps must be {len(shape)} numbers each and no step 0, "
                f"not {list(starts)} and {list(steps)} (node '{call.node.name}')"
            )
        for start, step, count, length in zip(starts, steps, out, shape, strict=True):
            last = start + (count - 1) * step
            if count and not (0 <= start < length and 0 <= last < length):
                raise ModelError(
                    f"slices must stay inside the shape {list(shape)}, not run from {start} to "
                    f"{last} (node '{call.node.name}')"
                )
        return (out,)

    def arrange(self, call: Call, arrays: Sequence[Array]) -> Array:
        found = arrays[0]
        for d, (start, step) in enumerate(
            zip(call.ints("starts"), call.ints("steps"), strict=True)
        ):
            index = start + step * np.arange(call.output.shape[d])
            found = found.take(index, axis=d)
        return found

    def axis_after(self, node: Node, before: Shape, after: Shape, axis: int) -> int | None:
        steps = node.attributes["steps"]
        assert isinstance(steps, tuple)
        return whole_axis(before, after, axis) if steps[axis] > 0 else None

    def priced_attributes(self, call: Call) -> Mapping[str, Attribute]:
        return {"steps": call.ints("steps")}

    def tile_attributes(
        self, call: Call, out: Region, inputs: Sequence[Region | None]
    ) -> Mapping[str, Array]:
        (x,) = inputs
        assert x is not None
        starts, steps = (np.asarray(call.ints(name), np.int64) for name in ("starts", "steps"))
        return {"starts": starts + steps * out.low - x.low}

    def over_cores(self, call: Call) -> Mapping[str, Attribute]:
        starts, steps = (0, *call.ints("starts")), (1, *call.ints("steps"))
        return {**call.node.attributes, "starts": starts, "steps": steps}

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        spans = []
        for d, (start, step) in enumerate(
            zip(call.ints("starts"), call.ints("steps"), strict=True)
        ):
            low, high = boxes.span(out, d)
            first, last = start + low * step, start + (high - 1) * step
            spans.append((np.minimum(first, last), np.maximum(first, last) + 1))
        return (boxes.box(spans, boxes.is_empty(out)),)


@register
class Pad(CodeOperator):
    """Attributes pads (begins, then ends, for every dimension; negative ones crop) and value.

    The value is a real number; with a quantized output it is quantized like everything else.
    """

    name: ClassVar[str] = "Pad"
    traits: ClassVar[Traits] = frozenset(
        {Trait.QUANTIZER_PASSES, Trait.DEQUANTIZER_PASSES, Trait.FOLDS}
    )
    unit: ClassVar[Unit] = Unit.MOVE
    summary: ClassVar[str] = "a constant value around a tensor"

    def infer(self, call: Call) -> tuple[Shape, ...]:
        shape, pads = call.input(0).shape, call.ints("pads")
        if len(pads) != 2 * len(shape):
            raise ModelError(
                f"pads must be {2 * len(shape)} numbers, not {list(pads)} (node '{call.node.name}')"
            )
        begins, ends = pads[: len(shape)], pads[len(shape) :]
        found = tuple(b + s + e for b, s, e in zip(begins, shape, ends, strict=True))
        if min(found, default=0) < 0:
            raise ModelError(
                f"pads must not crop more than the shape {list(shape)}, not {list(pads)} "
                f"(node '{call.node.name}')"
            )
        return (found,)

    def arrange(self, call: Call, arrays: Sequence[Array]) -> Array:
        (x,) = arrays
        value = np.asarray(call.number("value"), np.float32)
        if call.output.quantization is not None and x.dtype.kind != "f":
            value = quantize(value, call.output)
        out = np.full(call.output.shape, value, x.dtype)
        begins = call.ints("pads")[: x.ndim]
        region = self._inside(call, out.shape)
        target = tuple(map(slice, region.low, region.high))
        source = tuple(map(slice, region.low - begins, region.high - begins))
        out[target] = x[source]
        return out

    def codes_after(self, node: Node, codes: Sequence[Value], output: Value) -> Value | None:
        """The input's codes, where the padding value is one of them."""
        meaning = codes[0].quantization
        assert meaning is not None
        return super().codes_after(node, codes, output) if _holds(meaning, node) else None

    def over_cores(self, call: Call) -> Mapping[str, Attribute]:
        pads, rank = call.ints("pads"), len(call.input(0).shape)
        return {**call.node.attributes, "pads": (0, *pads[:rank], 0, *pads[rank:])}

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        shape = call.input(0).shape
        begins = np.asarray(call.ints("pads")[: len(shape)], np.int64)
        inside = Region(out.low - begins, out.high - begins).clip(shape)
        empty = boxes.is_empty(out) | boxes.is_empty(inside)
        return (boxes.box([boxes.span(inside, d) for d in range(len(shape))], empty),)

    def tile_attributes(
        self, call: Call, out: Region, inputs: Sequence[Region | None]
    ) -> Mapping[str, Array]:
        (x,) = inputs
        assert x is not None
        begins = np.asarray(call.ints("pads")[: len(call.output.shape)], np.int64)
        first = x.low + begins - out.low
        return {"pads": np.concatenate([first, out.extent - x.extent - first], axis=-1)}

    def _inside(self, call: Call, shape: Shape) -> Region:
        """The box of the output that the input fills."""
        begins = np.asarray(call.ints("pads")[: len(shape)], np.int64)
        return Region(begins, begins + call.input(0).shape).clip(shape)


@register
class Transpose(CodeOperator):
    """Attribute perm."""

    name: ClassVar[str] = "Transpose"
    traits: ClassVar[Traits] = MOVEMENT
    unit: ClassVar[Unit] = Unit.MOVE
    summary: ClassVar[str] = "dimensions in another order"

    def infer(self, call: Call) -> tuple[Shape, ...]:
        shape, perm = call.input(0).shape, call.ints("perm")
        if sorted(perm) != list(range(len(shape))):
            raise ModelError(
                f"perm must hold each of 0 to {len(shape) - 1} once, not {list(perm)} "
                f"(node '{call.node.name}')"
            )
        return (tuple(shape[d] for d in perm),)

    def arrange(self, call: Call, arrays: Sequence[Array]) -> Array:
        return np.ascontiguousarray(arrays[0].transpose(call.ints("perm")))

    def axis_after(self, node: Node, before: Shape, after: Shape, axis: int) -> int | None:
        perm = node.attributes["perm"]
        assert isinstance(perm, tuple)
        return perm.index(axis)

    def axis_before(self, node: Node, before: Shape, after: Shape, axis: int) -> int | None:
        perm = node.attributes["perm"]
        assert isinstance(perm, tuple)
        return int(perm[axis])

    def over_cores(self, call: Call) -> Mapping[str, Attribute]:
        return {**call.node.attributes, "perm": (0, *(d + 1 for d in call.ints("perm")))}

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        perm = call.ints("perm")
        return (out.take(tuple(perm.index(d) for d in range(len(perm)))),)


def _holds(meaning: Quantization, pad: Node) -> bool:
    """Whether the padding value has a code of its own: what it means is that very number, up to
    the last bits of float32."""
    value = pad.attributes["value"]
    assert isinstance(value, float)
    steps = value / float(meaning.scale[0])
    if not isfinite(steps):
        return False
    code = round(steps) + int(meaning.zero_point[0])
    return abs(steps - round(steps)) <= 1e-6 * abs(steps) and meaning.low <= code <= meaning.high
