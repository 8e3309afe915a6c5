"""What the operators of the matrix unit share: exact accumulators and what becomes of them.

    acc = sum of (x - z_x) (w - z_w) + bias            exact, int32
    y   = clamp(round_half_even(float32(acc) * m) + z_y),   m = (s_x * s_w) / s_y in float32

m is multiplied and divided in that order. Every scale is one number or runs along a dimension: s_w
over output channels, s_y over any one of the output, s_x over one that is not summed over, so that
m[o, n] = (s_x[n] * s_w[o]) / s_y[n] where neurons n have scales of their own. With a bias in
float32: round_half_even((float32(acc) * (s_x * s_w) + bias) / s_y) + z_y. A float32 output is
float32(acc) * (s_x * s_w) + bias, a plain int32 output is acc.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Call, Value
from zapdeploy.compile.ops.base import ElementWork, Evaluation, MatrixTile, Operator, Unit
from zapdeploy.compile.ops.codes import given
from zapdeploy.compile.ops.work import Scaled, epilogue
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

    def accumulate(self, call: Call, x: Array, w: Array) -> Array:
        """Sums of products of tiles that equally many cores have, float [cores, *output].

        `x` [cores, *input] and `w` [cores or 1, *weights] are floats without zero points, `call`
        has the shapes of one tile and its `tile_attributes`. Any order of summation will do.
        """
        raise NotImplementedError

    def most_products(self, call: Call) -> int:
        """Products in the longest sum."""
        raise NotImplementedError

    def weight_matrices(self, w: Array) -> Array | None:
        """The weights as matrices [matrices, products, channels]: a view.

        None where sums are of different lengths: then there is `weight_sums`.
        """
        return None

    def weight_sums(self, call: Call, magnitudes: Array) -> Array | None:
        """Sums of the magnitudes of the weights behind each output channel, from the weights' own;
        None where these are sums over all dimensions but `weight_axis`."""
        return None

    def operands(self, call: Call, x: Array, w: Array, fill: int) -> Iterator[tuple[Array, Array]]:
        """What meets in the matrix unit, product by product (as `matrix_tiles` has them).

        `x` [cores, *input] and `w` [slices, *weights] are codes, `fill` is that of padding. Vectors
        [cores, groups, positions, runs, values] and matrices [slices, groups, outputs, runs,
        values]: a run is what lies side by side in memory.
        """
        raise NotImplementedError

    def weight_axis(self, call: Call) -> int:
        """The dimension of w that runs over output channels."""
        raise NotImplementedError

    def channels(self, call: Call) -> int:
        """Output channels, as many as scales of w."""
        return call.input(1).shape[self.weight_axis(call)]

    def kept_axis(self, call: Call, axis: int) -> int | None:
        """The output's dimension that runs over the same indices as this one of x.

        None where they are summed over or meet each other. Scales of x may run along what is kept.
        """
        return None

    def evaluate(self, call: Call, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        return (self._bound(call, inputs)(given(inputs)),)

    def prepare(self, call: Call) -> Evaluation:
        if any(value is not None and value.data is None for value in call.inputs[1:]):
            return super().prepare(call)
        constants = [None if value is None else value.data for value in call.inputs]
        function = self._bound(call, constants)
        return lambda inputs: (function(given(inputs)),)

    def element_work(self, call: Call) -> ElementWork:
        return epilogue(call, call.optional(2), self._scaled_axes(call))

    def check_types(self, call: Call) -> None:
        """Raise ModelError unless both operands are integers whose scales the sums keep apart."""
        for index in (0, 1):
            value = call.input(index)
            if not value.element.is_integer:
                raise ModelError(
                    f"input {index} must be quantized, not {value.element.name} "
                    f"(node '{call.node.name}'); quantize the model first"
                )
            reason = self.scale_fault(call, index)
            if reason:
                raise ModelError(f"input {index} {reason} (node '{call.node.name}')")

    def scale_fault(self, call: Call, index: int) -> str:
        """What is wrong with the dimension that scales of operand 0 or 1 run along, if anything."""
        meaning = call.input(index).quantization
        if meaning is None or meaning.axis is None:
            return ""
        if index and meaning.axis != self.weight_axis(call):
            return (
                f"must have one scale or one per output channel, not one along axis {meaning.axis}"
            )
        if not index and self.kept_axis(call, meaning.axis) is None:
            return (
                "must have one scale or one along a dimension that is not summed over, not one "
                f"along axis {meaning.axis}; quantize it per tensor"
            )
        return ""

    def _bound(self, call: Call, inputs: Sequence[Array | None]) -> Callable[[Array], Array]:
        """The operator as a function of x alone."""
        bias, x_zero, w_zero = [*inputs[2:], None, None, None][:3]
        added = None if bias is None or bias.dtype.kind == "f" else bias.reshape(-1)
        real_bias = bias if added is None else None
        zero_points = _zero_point(call.input(0), x_zero)
        operands = Operands(
            w=given(inputs, 1),
            x_zero_point=int(zero_points[0]),
            w_zero_point=_zero_point(call.input(1), w_zero),
            bias=added,
            requantization=None if real_bias is not None else self._requantization(call),
        )
        function = self.kernel(call, operands)
        if operands.requantization is not None:
            return function
        finish = self._epilogue(call, real_bias)
        if np.all(zero_points == zero_points[0]):
            return lambda x: finish(function(x))
        shift = self._zero_point_sums(call, operands)
        return lambda x: finish(function(x) - shift)

    def _zero_point_sums(self, call: Call, operands: Operands) -> Array:
        """sum of (z_x - z_0) w, where z_0 is the zero point that the kernel knows; int32.

        (x - z_x) = (x - z_0) - (z_x - z_0), and padding is z_0 in either sum.
        """
        x = call.input(0)
        assert x.quantization is not None
        codes = x.quantization.along(x.quantization.zero_point, len(x.shape))
        zeros = np.broadcast_to(codes, x.shape).astype(x.element.numpy)
        return self.kernel(call, replace(operands, bias=None))(zeros)

    def _requantization(self, call: Call) -> Requantization | None:
        """What the kernel itself can make of its sums: codes of 8 bits or fewer, whose parameters
        are one number or run over output channels."""
        x, out = call.input(0).quantization, call.output.quantization
        if out is None or out.zero_point.size > 1 or call.output.element.bits > 8:
            return None
        if x is not None and not x.is_uniform:
            return None
        from zapdeploy.compile.kernels import Requantization

        multiplier = _scale(call.input(0)) * _scale(call.input(1)) / out.scale
        dtype = call.output.element.numpy
        return Requantization(multiplier, int(out.zero_point[0]), dtype, out.low, out.high)

    def _epilogue(self, call: Call, bias: Array | None) -> Callable[[Array], Array]:
        """A function of the sums, with an integer bias in them, that makes the output of them."""
        out, rank = call.output, len(call.output.shape)
        if out.quantization is None and out.element.is_integer:
            return lambda acc: acc
        factor = self._input_scale(call) * self._along_channels(call, _scale(call.input(1)))
        added = None if bias is None else self._along_channels(call, bias)
        if out.quantization is None:
            return lambda acc: _real(acc, factor, added)
        scale = out.quantization.along(out.quantization.scale, rank)
        zero_point = out.quantization.along(out.quantization.zero_point, rank)
        from zapdeploy.compile.kernels import Epilogue

        if added is None:
            factor, scale = factor / scale, np.ones_like(scale)
        low, high = out.quantization.low, out.quantization.high
        finish = Epilogue(factor, added, scale, zero_point, low, high, out.element.numpy)
        return lambda acc: finish(acc)

    def _input_scale(self, call: Call) -> Array:
        """s_x, shaped to broadcast against the output."""
        meaning, shape = call.input(0).quantization, [1] * len(call.output.shape)
        if meaning is None or meaning.is_uniform:
            return _scale(call.input(0)).reshape(shape)
        assert meaning.axis is not None
        kept = self.kept_axis(call, meaning.axis)
        assert kept is not None
        shape[kept] = -1
        return meaning.scale.reshape(shape)

    def _along_channels(self, call: Call, vector: Array) -> Array:
        """A scalar or a vector over output channels, shaped to broadcast against the output."""
        shape = [1] * len(call.output.shape)
        shape[self.channel_axis(call)] = vector.size
        return vector.reshape(shape)

    def _scaled_axes(self, call: Call) -> Scaled:
        """Along which dimensions of the output the scales of x, w and y run."""
        x, w, y = (v.quantization for v in (call.input(0), call.input(1), call.output))
        kept = None if x is None or x.axis is None else self.kept_axis(call, x.axis)
        channel = None if w is None or w.axis is None else self.channel_axis(call)
        return Scaled(kept, channel, None if y is None else y.axis)


def _real(acc: Array, factor: Array, bias: Array | None) -> Array:
    reals = acc.astype(np.float32) * factor
    return reals if bias is None else reals + bias


def _scale(value: Value) -> Array:
    """The scale of an operand: [1] or one per index; 1 where it has none."""
    return np.ones(1, np.float32) if value.quantization is None else value.quantization.scale


def _zero_point(value: Value, runtime: Array | None) -> Array:
    """The zero point of an operand, [1] or one per index, from its type or computed at run time."""
    if runtime is not None:
        return runtime.reshape(-1).astype(np.int32)
    return np.zeros(1, np.int32) if value.quantization is None else value.quantization.zero_point


def matrix_tile(*counts: IntArray) -> MatrixTile:
    """A tile from its counts, in order, over broadcast leading axes."""
    return MatrixTile(*np.broadcast_arrays(*counts))
