"""Softmax and layer normalization, in floating point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Attribute, Call, Shape
from zapdeploy.compile.ops import boxes
from zapdeploy.compile.ops.base import NO_TRAITS, ElementWork, OnnxAttributes, Traits, register
from zapdeploy.compile.ops.codes import RealOperator, given
from zapdeploy.compile.ops.lifting import CORES, aligned, lifted
from zapdeploy.compile.ops.work import LOOK_UP
from zapdeploy.compile.regions import Region, broadcast
from zapdeploy.errors import ModelError


@register
class Softmax(RealOperator):
    """Attribute axis. The look-up of 1/sum is shared by all elements along the axis."""

    name: ClassVar[str] = "Softmax"
    traits: ClassVar[Traits] = NO_TRAITS
    onnx_attributes: ClassVar[OnnxAttributes] = {"axis": -1}
    summary: ClassVar[str] = "exp(x) over its sum along an axis"

    def infer(self, call: Call) -> tuple[Shape, ...]:
        axis_of(call)
        return (call.input(0).shape,)

    def compute(self, call: Call, inputs: Sequence[Array | None]) -> Array:
        x, axis = given(inputs), axis_of(call)
        raised = np.exp(x - x.max(axis=axis, keepdims=True))
        return np.asarray(raised / raised.sum(axis=axis, keepdims=True))

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        return (boxes.spread(out, (axis_of(call),), call.input(0).shape),)

    def over_cores(self, call: Call) -> Mapping[str, Attribute]:
        return lifted(call, "axis")

    def cuttable(self, call: Call) -> tuple[bool, ...]:
        return tuple(d != axis_of(call) for d in range(len(call.output.shape)))

    def work(self, call: Call) -> ElementWork:
        length = call.input(0).shape[axis_of(call)]
        return ElementWork(vector=4, activation=LOOK_UP * (1 + 1 / length))


@register
class LayerNormalization(RealOperator):
    """x, scale, bias or absent. Attributes axis (the first normalized one) and epsilon."""

    name: ClassVar[str] = "LayerNormalization"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = "zero mean and unit variance along the last axes, then scale and bias"

    def infer(self, call: Call) -> tuple[Shape, ...]:
        x = call.input(0).shape
        normalized = x[axis_of(call) :]
        for index in range(1, len(call.inputs)):
            value = call.optional(index)
            if value is not None and not _stretches(value.shape, normalized):
                raise ModelError(
                    f"input {index} must broadcast to shape {list(normalized)}, "
                    f"not {list(value.shape)} (node '{call.node.name}')"
                )
        return (x,)

    def compute(self, call: Call, inputs: Sequence[Array | None]) -> Array:
        x = given(inputs)
        axes = tuple(range(axis_of(call), x.ndim))
        centred = x - x.mean(axis=axes, keepdims=True, dtype=np.float32)
        variance = np.square(centred).mean(axis=axes, keepdims=True, dtype=np.float32)
        normal = centred / np.sqrt(variance + np.float32(call.number("epsilon")))
        bias = inputs[2] if len(inputs) > 2 else None
        scaled = normal * aligned(call, given(inputs, 1), x.ndim)
        return np.asarray(scaled if bias is None else scaled + aligned(call, bias, x.ndim))

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        shape = call.output.shape
        rows = boxes.spread(out, range(axis_of(call), len(shape)), shape)
        return tuple(
            None if value is None else broadcast(rows, shape, value.shape) for value in call.inputs
        )

    def over_cores(self, call: Call) -> Mapping[str, Attribute]:
        return {**lifted(call, "axis"), CORES: 1}

    def cuttable(self, call: Call) -> tuple[bool, ...]:
        return tuple(d < axis_of(call) for d in range(len(call.output.shape)))

    def work(self, call: Call) -> ElementWork:
        length = int(np.prod(call.input(0).shape[axis_of(call) :], dtype=np.int64))
        return ElementWork(6 if call.optional(2) is None else 7, LOOK_UP / length)


def axis_of(call: Call) -> int:
    """The attribute axis, counted from the front."""
    axis, rank = call.int("axis"), len(call.input(0).shape)
    if not -rank <= axis < rank:
        raise ModelError(f"axis must be in [{-rank}, {rank}), not {axis} (node '{call.node.name}')")
    return axis % rank


def _stretches(shape: Shape, target: Shape) -> bool:
    """Whether a tensor of this shape broadcasts to the target shape."""
    if len(shape) > len(target):
        return False
    return all(s in (1, t) for s, t in zip(shape[::-1], target[::-1], strict=False))
