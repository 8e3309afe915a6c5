"""Integers to real numbers and back, q = clamp(round_half_even(x / s) + z), and who works on which.

`RealOperator` is the default of the vector unit: dequantize, compute in float32, quantize.
`CodeOperator` is for what needs no arithmetic: it works on the codes themselves where it can.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from zapdeploy.compile.graph import Array, Call, Quantization, Value
from zapdeploy.compile.ops.axes import quantization_after
from zapdeploy.compile.ops.base import ElementWork, Operator
from zapdeploy.compile.ops.work import around, moving

if TYPE_CHECKING:
    from zapdeploy.compile import kernels

REAL = "real"  # attribute of operators that the file computes on real numbers, not on codes


def dequantize(codes: Array, quantization: Quantization) -> Array:
    """float32(q - z) * s."""
    rank = codes.ndim
    zero_point = quantization.along(quantization.zero_point, rank)
    scale = quantization.along(quantization.scale, rank)
    return np.subtract(codes, zero_point, dtype=np.int32).astype(np.float32) * scale


def quantize(reals: Array, value: Value) -> Array:
    """The codes of float32 numbers, in a quantized value's type. NaN becomes the lowest code."""
    quantization = value.quantization
    assert quantization is not None
    scale = quantization.along(quantization.scale, reals.ndim)
    return rounded(np.divide(reals, scale, dtype=np.float32), value)


def rounded(steps: Array, value: Value) -> Array:
    """clamp(round_half_even(x) + z) for float32 x, counted in steps of a quantized value."""
    quantization = value.quantization
    assert quantization is not None
    zero_point = quantization.along(quantization.zero_point, steps.ndim)
    low = (quantization.low - zero_point).astype(np.float32)
    high = (quantization.high - zero_point).astype(np.float32)
    inside = np.fmin(np.fmax(np.rint(steps), low), high)
    return (inside.astype(np.int32) + zero_point).astype(value.element.numpy)


def to_real(array: Array, value: Value) -> Array:
    """What a vector operator computes on: real numbers, or plain values as they are."""
    return array if value.quantization is None else dequantize(array, value.quantization)


def from_real(array: Array, value: Value) -> Array:
    """What a vector operator writes: codes, or plain values of the output's type."""
    if value.quantization is None:
        return array.astype(value.element.numpy, copy=False)
    return quantize(array, value)


def bytes_alike(call: Call) -> bool:
    """Whether the call is one of ONNX Runtime's integer kernels (QLinearAdd, ...).

    They take 8-bit integers of one type with one scale and zero point each, and have formulas of
    their own, which differ from dequantize, compute, quantize in the last bit. An operator that the
    file has among real numbers carries the attribute `REAL` and is none of them.
    """
    return REAL not in call.node.attributes and all_bytes_alike((*call.inputs, *call.outputs))


def all_bytes_alike(values: Sequence[Value | None]) -> bool:
    """Whether all values are 8-bit integers of one type, each with one scale and zero point."""
    return len({None if value is None else value.element for value in values}) == 1 and all(
        v is not None
        and v.element.bits == 8
        and v.quantization is not None
        and v.quantization.is_uniform
        for v in values
    )


def parameters(value: Value | None) -> kernels.Quantization:
    """Scale and zero point of a quantized value as the kernels take them."""
    from zapdeploy.compile.kernels import Quantization

    assert value is not None
    assert value.quantization is not None
    return Quantization(float(value.quantization.scale[0]), int(value.quantization.zero_point[0]))


def is_plain_integer(value: Value) -> bool:
    """Whether a value is integers that stand for themselves."""
    return value.quantization is None and value.element.is_integer


def in_range(codes: Array, value: Value) -> Array:
    """Codes, of whatever type, clamped to a quantized value's range and in its type."""
    quantization, dtype = value.quantization, value.element.numpy
    if quantization is None or codes.dtype.kind not in "iu":
        return codes.astype(dtype, copy=False)
    held, low, high = np.iinfo(codes.dtype), quantization.low, quantization.high
    if low <= held.min and held.max <= high:
        return codes.astype(dtype, copy=False)
    if low < held.min or held.max < high:
        codes = codes.astype(np.int32)
    return np.clip(codes, low, high).astype(dtype, copy=False)


def given(inputs: Sequence[Array | None], index: int = 0) -> Array:
    """An input that is not optional."""
    array = inputs[index]
    assert array is not None
    return array


class RealOperator(Operator):
    """An operator of the vector unit: integers are read as real numbers and written back as codes.

    Between them everything is float32, or the plain type of inputs that are not quantized.
    """

    def compute(self, call: Call, inputs: Sequence[Array | None]) -> Array:
        """The output as real numbers."""
        raise NotImplementedError

    def work(self, call: Call) -> ElementWork:
        """The function's own work per element, without reading and writing codes."""
        raise NotImplementedError

    def evaluate(self, call: Call, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        reals = [
            None if value is None or array is None else to_real(array, value)
            for value, array in zip(call.inputs, inputs, strict=True)
        ]
        with np.errstate(all="ignore"):
            return (from_real(self.compute(call, reals), call.output),)

    def element_work(self, call: Call) -> ElementWork:
        return around(call, self.work(call))


class CodeOperator(Operator):
    """An operator that gives the same on codes as on real numbers, such as a move or a maximum.

    It works on the codes when inputs and output have the same parameters (one scale and zero point,
    or one for each index of an axis that is moved whole). Otherwise the codes are read as real
    numbers and quantized again.
    """

    def arrange(self, call: Call, arrays: Sequence[Array]) -> Array:
        """The output, in codes or in real numbers as the inputs are."""
        raise NotImplementedError

    def evaluate(self, call: Call, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        target = call.output
        pairs = [
            (array, value)
            for array, value in zip(inputs, call.inputs, strict=True)
            if array is not None and value is not None
        ]
        if not keeps_codes(call):
            reals = self.arrange(call, [to_real(array, value) for array, value in pairs])
            return (from_real(reals, target),)
        codes = self.arrange(call, [array for array, _ in pairs])
        return (in_range(codes, target),)

    def element_work(self, call: Call) -> ElementWork:
        return moving(call)


def keeps_codes(call: Call) -> bool:
    """Whether the codes of all inputs mean the same in the output."""
    return all(value is None or _same_codes(call, value) for value in call.inputs)


def _same_codes(call: Call, source: Value) -> bool:
    """Whether the codes of an input mean the same in the output."""
    target = call.output.quantization
    if source.quantization is None or target is None:
        return source.quantization is target
    meaning = quantization_after(call.node, source, call.output.shape)
    return meaning is not None and meaning.same(target)
