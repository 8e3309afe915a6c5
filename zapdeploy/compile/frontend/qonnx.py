"""QONNX: quantizers that give real numbers back, with any number of bits.

`Quant` is a quantizer and a dequantizer in one. Rounding is half to even on x / scale, before the
zero point is added (QONNX adds it first; with an odd zero point, exact ties differ by one step).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from zapdeploy.compile.frontend.errors import RefusedError
from zapdeploy.compile.frontend.graph_builder import GraphBuilder
from zapdeploy.compile.frontend.onnx_node import OnnxNode
from zapdeploy.compile.frontend.parameters import scale_of
from zapdeploy.compile.frontend.registry import translates
from zapdeploy.compile.graph import BOOL, INT32, Array, ElementType, Quantization, Value
from zapdeploy.errors import ModelError

MOST_BITS = 32
_TWO_BITS = ElementType("int", 2)
QONNX = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")


@translates("Quant", "IntQuant", domains=QONNX)
def quant(builder: GraphBuilder, node: OnnxNode) -> None:
    """x, scale, zero point, bit width; attributes signed, narrow, rounding_mode.

    One bit with a sign is -1 and +1, as in BipolarQuant.
    """
    x = builder.real(node.required(0))
    mode = node.text("rounding_mode", "ROUND").upper()
    if mode not in ("ROUND", "HALF_EVEN"):
        raise RefusedError(f"rounding_mode must be ROUND, not {mode}")
    bits = _bit_width(builder, node, 3)
    signed, narrow = bool(node.integer("signed", 1)), bool(node.integer("narrow", 0))
    if bits == 1 and signed:
        _bipolar(builder, node, x)
        return
    low, high = _limits(bits, signed, narrow)
    element = _element(bits, signed, x.is_constant)
    _emit_pair(builder, node, x, element, _quantization(builder, node, x, low, high))


@translates("BipolarQuant", domains=QONNX)
def bipolar_quant(builder: GraphBuilder, node: OnnxNode) -> None:
    """x, scale."""
    _bipolar(builder, node, builder.real(node.required(0)))


def _bipolar(builder: GraphBuilder, node: OnnxNode, x: Value) -> None:
    """-1 below zero, else +1, times a scale, as 2-bit integers."""
    quantization = _quantization(builder, node, x, -1, 1)
    if quantization.zero_point.any():
        raise RefusedError("zero point of a quantizer to one bit must be 0")
    if x.data is not None:
        codes = np.where(x.data >= 0, np.int8(1), np.int8(-1))
        name = builder.fresh(f"{node.output}_codes")
        builder.define(Value(name, x.shape, _TWO_BITS, quantization, codes))
        builder.emit(node, "Dequantize", (name,))
        return
    scale = quantization.along(quantization.scale, len(x.shape))
    zero, up, down = (builder.constant(f"{node.name}_bound", of) for of in (0.0, scale, -scale))
    names = [builder.fresh(f"{node.output}{end}") for end in ("_positive", "_sign")]
    builder.emit(node, "GreaterOrEqual", (x.name, zero), output=names[0], element=BOOL)
    sign = builder.emit(node, "Where", (names[0], up, down), output=names[1])
    _emit_pair(builder, node, builder.value(sign), _TWO_BITS, quantization)


@translates("Trunc", domains=QONNX)
def trunc(builder: GraphBuilder, node: OnnxNode) -> None:
    """Keep the upper bits of a sum: y = rounded(x / scale / 2^t) * scale' with t bits dropped.

    The first version has the bit widths before and after as inputs 3 and 4, and leaves the scale as
    it is; the second the scale and the bit width after as inputs 4 and 5, and 2^t is the ratio of
    the scales. Written with a quantizer: rounding down is rounding half to even of what is less by
    half a step, and a little more, since x / scale is a whole number and its 2^t-th has t binary
    places.
    """
    x = builder.real(node.required(0))
    coarse, dropped, ratio = _truncation(builder, node, x)
    value = x.name
    if ratio != 2.0**dropped:
        factor = builder.constant(f"{node.name}_factor", ratio * 2.0**-dropped)
        output = builder.fresh(f"{node.output}_scaled")
        value = builder.emit(node, "Mul", (value, factor), output=output)
    if dropped and node.text("rounding_mode", "FLOOR").upper() == "FLOOR":
        shift = float(coarse.scale[0]) * (2.0 ** -(dropped + 1) - 0.5)
        offset = builder.constant(f"{node.name}_offset", shift)
        output = builder.fresh(f"{node.output}_floored")
        value = builder.emit(node, "Add", (value, offset), output=output)
    bits = (coarse.high - coarse.low).bit_length()
    element = _element(bits, bool(node.integer("signed", 1)), False)
    _emit_pair(builder, node, builder.value(value), element, coarse)


def _truncation(builder: GraphBuilder, node: OnnxNode, x: Value) -> tuple[Quantization, int, float]:
    """The result's quantization, how many bits are dropped, and its scale by that of x."""
    newer = bool(node.input(5))
    after = _bit_width(builder, node, 5 if newer else 4)
    signed, narrow = bool(node.integer("signed", 1)), bool(node.integer("narrow", 0))
    fine = _quantization(builder, node, x, *_limits(after, signed, narrow))
    coarse = replace(fine, scale=scale_of(builder, node, 4).ravel()) if newer else fine
    if fine.zero_point.any() or not (fine.is_uniform and coarse.is_uniform):
        raise RefusedError("scale must be one for the tensor and the zero point 0")
    ratio = float(coarse.scale[0]) / float(fine.scale[0])
    dropped = round(np.log2(ratio)) if newer else _bit_width(builder, node, 3) - after
    mode = node.text("rounding_mode", "FLOOR").upper()
    if mode not in ("FLOOR", "ROUND", "HALF_EVEN") or dropped < 0:
        raise RefusedError(
            "rounding_mode must be FLOOR or ROUND and the output narrower, "
            f"not {mode} from {after + dropped} to {after} bits"
        )
    return coarse, dropped, ratio


def _emit_pair(
    builder: GraphBuilder,
    node: OnnxNode,
    x: Value,
    element: ElementType,
    quantization: Quantization,
) -> None:
    codes = builder.emit(
        node,
        "Quantize",
        (x.name,),
        output=builder.fresh(f"{node.output}_codes"),
        element=element,
        quantization=quantization,
    )
    builder.emit(node, "Dequantize", (codes,))


def _bit_width(builder: GraphBuilder, node: OnnxNode, index: int) -> int:
    widths = np.unique(np.asarray(builder.array(node.required(index), "bit width")))
    if widths.size != 1 or widths[0] != np.rint(widths[0]):
        raise RefusedError(f"bit width must be one whole number, not {widths.tolist()}")
    if not 1 <= widths[0] <= MOST_BITS:
        raise RefusedError(f"bit width must be 1 to {MOST_BITS}, not {widths[0]:g}")
    return int(widths[0])


def _limits(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    if signed:
        return -(1 << (bits - 1)) + narrow, (1 << (bits - 1)) - 1
    return 0, (1 << bits) - 1 - narrow


def _element(bits: int, signed: bool, constant: bool) -> ElementType:
    if 1 <= bits <= 8:
        return ElementType("int" if signed else "uint", max(bits, 2))
    if 9 <= bits <= 16:
        return ElementType("int" if signed else "uint", 16)
    if constant and signed and 17 <= bits <= 32:
        return INT32
    raise RefusedError(f"bit width must be 1 to 16 (up to 32 for a constant), not {bits}")


def _quantization(
    builder: GraphBuilder, node: OnnxNode, x: Value, low: int, high: int
) -> Quantization:
    """From scale and zero point (inputs 1, 2), each one number or broadcast along one axis."""
    scale = scale_of(builder, node, 1)
    zero_point = np.zeros(1, np.float32)
    if node.input(2):
        zero_point = np.asarray(builder.array(node.input(2), "zero point"))
    if (zero_point != np.rint(zero_point)).any() or not (
        low <= zero_point.min() and zero_point.max() <= high
    ):
        raise ModelError(
            f"zero point must be a whole number in [{low}, {high}], "
            f"not {zero_point.ravel()[0]:g} (node '{node.name}')"
        )
    whole = zero_point.astype(np.int32).ravel()
    axis = None if scale.size == 1 else _axis(node, scale, x)
    if axis is None:
        return Quantization(scale.ravel(), whole, low, high)
    one = Quantization(scale.ravel(), np.broadcast_to(whole, (scale.size,)).copy(), low, high)
    return replace(one, axis=axis)


def _axis(node: OnnxNode, scale: Array, x: Value) -> int:
    """The one axis of x that scales of this shape run along when they are broadcast."""
    padded = (1,) * (len(x.shape) - scale.ndim) + scale.shape
    axes = [d for d, length in enumerate(padded) if length > 1]
    if len(axes) != 1 or len(padded) != len(x.shape):
        raise RefusedError("scale must be one number or broadcast along one axis")
    if padded[axes[0]] != x.shape[axes[0]]:
        raise ModelError(
            f"scales along axis {axes[0]} must be as many as its length, {x.shape[axes[0]]}, "
            f"not {scale.size} (node '{node.name}'); export the model again"
        )
    return axes[0]
