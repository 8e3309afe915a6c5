"""What the operators of the matrix unit share: exact accumulators and what becomes of them.

    acc = sum of (x - z_x) (w - z_w) + bias            exact, int32
    y   = clamp(round_half_even(float32(acc) * m) + z_y),   m = (s_x * s_w) / s_y in float32

m is one number or one per output channel, multiplied and divided in that order. With a bias in
float32: round_half_even((float32(acc) * (s_x * s_w) + bias) / s_y) + z_y. A float32 output is
float32(acc) * (s_x * s_w) + bias, a plain int32 output is acc.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Call, Value
from zapdeploy.compile.ops.base import ElementWork, Evaluation, MatrixTile, Operator, Unit
from zapdeploy.compile.ops.codes import given, quantize, rounded
from zapdeploy.compile.ops.work import epilogue
from zapdeploy.compile.regions import IntArray
from zapdeploy.errors import ModelError

if TYPE_CHECKING:
    from zapdeploy.compile.kernels import Requantization


@dataclass(frozen=True, eq=False)
class Operands:
    """What a kernel is prepared with; zero points and bias as integers, None where absent."""

    w: Array
    x_zero_point: int
    w_zero_point: Array
    bias: Array | None
    requantization: Requantization | None


class MatrixOperator(Operator):
    """Inputs x, w, then each given or absent: bias, runtime zero points of x and w (integers)."""

    unit: ClassVar[Unit] = Unit.MATRIX

    def kernel(self, call: Call, operands: Operands) -> Callable[[Array], Array]:
        """A function of x: int32 sums, or codes when the operands say how to requantize."""
        raise NotImplementedError

    def weight_axis(self, call: Call) -> int:
        """The dimension of w that runs over output channels."""
        raise NotImplementedError

    def evaluate(self, call: Call, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        return (self._bound(call, inputs)(given(inputs)),)

    def prepare(self, call: Call) -> Evaluation:
        if any(value is not None and value.data is None for value in call.inputs[1:]):
            return super().prepare(call)
        constants = [None if value is None else value.data for value in call.inputs]
        function = self._bound(call, constants)
        return lambda inputs: (function(given(inputs)),)

    def element_work(self, call: Call) -> ElementWork:
        return epilogue(call, call.optional(2))

    def check_types(self, call: Call) -> None:
        """Raise ModelError unless both operands are integers with a scale per output channel."""
        for index, axis in ((0, None), (1, self.weight_axis(call))):
            value = call.input(index)
            if not value.element.is_integer:
                raise ModelError(
                    f"input {index} must be quantized, not {value.element.name} "
                    f"(node '{call.node.name}'); quantize the model first"
                )
            if value.quantization is not None and value.quantization.axis not in (None, axis):
                raise ModelError(
                    f"input {index} must have one scale or one per output channel, not one along "
                    f"axis {value.quantization.axis} (node '{call.node.name}')"
                )

    def _bound(self, call: Call, inputs: Sequence[Array | None]) -> Callable[[Array], Array]:
        """The operator as a function of x alone."""
        bias, x_zero, w_zero = [*inputs[2:], None, None, None][:3]
        added = None if bias is None or bias.dtype.kind == "f" else bias.reshape(-1)
        real_bias = bias if added is None else None
        requantization = None if real_bias is not None else self._requantization(call)
        operands = Operands(
            w=given(inputs, 1),
            x_zero_point=int(_zero_point(call.input(0), x_zero)[0]),
            w_zero_point=_zero_point(call.input(1), w_zero),
            bias=added,
            requantization=requantization,
        )
        function = self.kernel(call, operands)
        if requantization is not None:
            return function
        return lambda x: self._finish(call, function(x), real_bias)

    def _requantization(self, call: Call) -> Requantization | None:
        """What the kernel itself can make of its sums: codes of 8 bits or fewer, one zero point."""
        out = call.output.quantization
        if out is None or out.zero_point.size > 1 or call.output.element.bits > 8:
            return None
        from zapdeploy.compile.kernels import Requantization

        multiplier = _scale(call.input(0)) * _scale(call.input(1)) / out.scale
        dtype = call.output.element.numpy
        return Requantization(multiplier, int(out.zero_point[0]), dtype, out.low, out.high)

    def _finish(self, call: Call, acc: Array, bias: Array | None) -> Array:
        """The sums, with an integer bias in them, as the output."""
        out = call.output
        if out.quantization is None and out.element.is_integer:
            return acc
        factor = self._along_channels(call, _scale(call.input(0)) * _scale(call.input(1)))
        reals = acc.astype(np.float32)
        if out.quantization is not None and bias is None:
            scale = out.quantization.along(out.quantization.scale, acc.ndim)
            return rounded(reals * (factor / scale), out)
        reals = reals * factor
        if bias is not None:
            reals = reals + self._along_channels(call, bias)
        return reals if out.quantization is None else quantize(reals, out)

    def _along_channels(self, call: Call, vector: Array) -> Array:
        """A scalar or a vector over output channels, shaped to broadcast against the output."""
        shape = [1] * len(call.output.shape)
        shape[self.channel_axis(call)] = vector.size
        return vector.reshape(shape)


def _scale(value: Value) -> Array:
    """The scale of an operand: [1] or [channels]; 1 where it has none."""
    return np.ones(1, np.float32) if value.quantization is None else value.quantization.scale


def _zero_point(value: Value, runtime: Array | None) -> Array:
    """The zero point of an operand, [1] or [channels], from its type or computed at run time."""
    if runtime is not None:
        return runtime.reshape(-1).astype(np.int32)
    return np.zeros(1, np.int32) if value.quantization is None else value.quantization.zero_point


def matrix_tile(*counts: IntArray) -> MatrixTile:
    """A tile from its counts, in order, over broadcast leading axes."""
    return MatrixTile(*np.broadcast_arrays(*counts))
