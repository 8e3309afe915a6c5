"""QONNX: quantizers that give real numbers back, with any number of bits.

`Quant` is a quantizer and a dequantizer in one. Rounding is half to even on x / scale, before the
zero point is added (QONNX adds it first; with an odd zero point, exact ties differ by one step).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from zapdeploy.compile.frontend.draft import Draft
from zapdeploy.compile.frontend.errors import RefusedError
from zapdeploy.compile.frontend.onnx_node import OnnxNode
from zapdeploy.compile.frontend.parameters import scale_of
from zapdeploy.compile.frontend.registry import translates
from zapdeploy.compile.graph import INT32, Array, ElementType, Quantization, Value
from zapdeploy.errors import ModelError

MOST_BITS = 32
QONNX = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")


@translates("Quant", "IntQuant", domains=QONNX)
def quant(draft: Draft, node: OnnxNode) -> None:
    """x, scale, zero point, bit width; attributes signed, narrow, rounding_mode."""
    x = draft.real(node.required(0))
    mode = node.text("rounding_mode", "ROUND").upper()
    if mode not in ("ROUND", "HALF_EVEN"):
        raise RefusedError(f"rounding_mode must be ROUND, not {mode}")
    bits = _bit_width(draft, node, 3)
    signed, narrow = bool(node.integer("signed", 1)), bool(node.integer("narrow", 0))
    low, high = _limits(bits, signed, narrow)
    element = _element(bits, signed, x.is_constant)
    _emit_pair(draft, node, x, element, _quantization(draft, node, x, low, high))


@translates("BipolarQuant", domains=QONNX)
def bipolar_quant(draft: Draft, node: OnnxNode) -> None:
    """Constants of -1 and +1 times a scale, as 2-bit integers."""
    x = draft.real(node.required(0))
    if x.data is None:
        raise RefusedError(
            "BipolarQuant must quantize a constant: -1 and +1 have no zero point between"
        )
    quantization = _quantization(draft, node, x, -1, 1)
    codes = np.where(x.data >= 0, np.int8(1), np.int8(-1))
    name = draft.fresh(f"{node.output}_codes")
    draft.define(Value(name, x.shape, ElementType("int", 2), quantization, codes))
    draft.emit(node, "Dequantize", (name,))


@translates("Trunc", domains=QONNX)
def trunc(draft: Draft, node: OnnxNode) -> None:
    """Keep the upper bits of a sum: y = rounded(x / scale / 2^t) * scale with t bits dropped.

    Written with a quantizer. Flooring is rounding half to even of what is less by half a step,
    and a little more: x / scale is a whole number, so its 2^t-th has t binary places.
    """
    x = draft.real(node.required(0))
    before, after = _bit_width(draft, node, 3), _bit_width(draft, node, 4)
    mode = node.text("rounding_mode", "FLOOR").upper()
    if mode not in ("FLOOR", "ROUND", "HALF_EVEN") or before < after or node.input(5):
        raise RefusedError(
            "rounding_mode must be FLOOR or ROUND and the output narrower, "
            f"not {mode} from {before} to {after} bits"
        )
    signed, narrow = bool(node.integer("signed", 1)), bool(node.integer("narrow", 0))
    quantization = _quantization(draft, node, x, *_limits(after, signed, narrow))
    if quantization.zero_point.any() or quantization.axis is not None:
        raise RefusedError("scale must be one for the tensor and the zero point 0")
    dropped = before - after
    factor = draft.constant(f"{node.name}_factor", 2.0**-dropped)
    value = draft.emit(node, "Mul", (x.name, factor), output=draft.fresh(f"{node.output}_scaled"))
    if mode == "FLOOR" and dropped:
        shift = float(quantization.scale[0]) * (2.0 ** -(dropped + 1) - 0.5)
        offset = draft.constant(f"{node.name}_offset", shift)
        output = draft.fresh(f"{node.output}_floored")
        value = draft.emit(node, "Add", (value, offset), output=output)
    _emit_pair(draft, node, draft.value(value), _element(after, signed, False), quantization)


def _emit_pair(
    draft: Draft, node: OnnxNode, x: Value, element: ElementType, quantization: Quantization
) -> None:
    codes = draft.emit(
        node,
        "Quantize",
        (x.name,),
        output=draft.fresh(f"{node.output}_codes"),
        element=element,
        quantization=quantization,
    )
    draft.emit(node, "Dequantize", (codes,))


def _bit_width(draft: Draft, node: OnnxNode, index: int) -> int:
    widths = np.unique(np.asarray(draft.array(node.required(index), "bit width")))
    if widths.size != 1 or widths[0] != np.rint(widths[0]):
        raise RefusedError(f"bit width must be one whole number, not {widths.tolist()}")
    if not 2 <= widths[0] <= MOST_BITS:
        raise RefusedError(f"bit width must be 2 to {MOST_BITS}, not {widths[0]:g}")
    return int(widths[0])


def _limits(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    if signed:
        return -(1 << (bits - 1)) + narrow, (1 << (bits - 1)) - 1
    return 0, (1 << bits) - 1 - narrow


def _element(bits: int, signed: bool, constant: bool) -> ElementType:
    if 2 <= bits <= 8:
        return ElementType("int" if signed else "uint", bits)
    if 9 <= bits <= 16:
        return ElementType("int" if signed else "uint", 16)
    if constant and signed and 17 <= bits <= 32:
        return INT32
    raise RefusedError(f"bit width must be 2 to 16 (up to 32 for a constant), not {bits}")


def _quantization(draft: Draft, node: OnnxNode, x: Value, low: int, high: int) -> Quantization:
    """From scale and zero point (inputs 1, 2), each one number or broadcast along one axis."""
    scale = scale_of(draft, node, 1)
    zero_point = np.zeros(1, np.float32)
    if node.input(2):
        zero_point = np.asarray(draft.array(node.input(2), "zero point"))
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
