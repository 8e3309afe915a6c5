"""The vector unit's operations on 8-bit tensors, in the float32 formulas of ONNX Runtime on x86.

Found by experiment against ONNX Runtime 1.32 (AVX2 and later), and equal to it in every bit: no
result depends on the place of a value in the tensor. On other processors ONNX Runtime computes
`add` in fixed point and may differ from this in the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from zapdeploy.arrays import Array
from zapdeploy.compile.kernels.jit import compiled, fma, round_half_even
from zapdeploy.compile.kernels.layout import dense, flat, like
from zapdeploy.errors import DataError


@dataclass(frozen=True)
class Quantization:
    """real value = scale * (q - zero_point); scale is used as float32."""

    scale: float
    zero_point: int = 0


@compiled
def _add(
    a: Array, b: Array, ratio_a: np.float32, ratio_b: np.float32,
    zero_a: np.float32, zero_b: np.float32, zero_c: np.float32,
    low: np.float32, high: np.float32, out: Array,
) -> None:  # fmt: skip
    fixed = zero_c - fma(ratio_a, zero_a, ratio_b * zero_b)
    for i in range(out.size):
        value = fma(np.float32(b[i]), ratio_b, fixed)
        value = round_half_even(fma(np.float32(a[i]), ratio_a, value))
        out[i] = np.int32(min(max(value, low), high))


@compiled
def _multiply(
    a: Array, b: Array, zero_a: np.int32, zero_b: np.int32, ratio: np.float32, zero_c: np.float32,
    low: np.float32, high: np.float32, out: Array,
) -> None:  # fmt: skip
    for i in range(out.size):
        product = (np.int32(a[i]) - zero_a) * (np.int32(b[i]) - zero_b)
        value: np.float32 = round_half_even(np.float32(product) * ratio + zero_c)
        out[i] = np.int32(min(max(value, low), high))


def add(a: Array, b: Array, a_is: Quantization, b_is: Quantization, out_is: Quantization) -> Array:
    """QLinearAdd: a + b for uint8 or int8 tensors that broadcast, in the layout of the larger.

        r_a = s_a / s_c,   r_b = s_b / s_c,   fixed = z_c - fma(r_a, z_a, r_b z_b)
        c = clamp(round_half_even(fma(a, r_a, fma(b, r_b, fixed))))

    in float32, fma(x, y, z) being x y + z rounded once. The formula is not symmetric: where a is
    repeated along the innermost axis and b is not, the two change places.
    """
    _require_same_bytes(a, b)
    if _repeats_innermost(a.shape, b.shape):
        a, b, a_is, b_is = b, a, b_is, a_is
    scale = np.float32(out_is.scale)
    ratio_a, ratio_b = np.float32(a_is.scale) / scale, np.float32(b_is.scale) / scale
    zero_a, zero_b, zero_c = (np.float32(each.zero_point) for each in (a_is, b_is, out_is))

    def kernel(x: Array, y: Array, out: Array) -> None:
        _add(x, y, ratio_a, ratio_b, zero_a, zero_b, zero_c, *_limits(out), out)

    return _apply(a, b, kernel)


def multiply(
    a: Array, b: Array, a_is: Quantization, b_is: Quantization, out_is: Quantization
) -> Array:
    """QLinearMul: a * b for uint8 or int8 tensors that broadcast, in the layout of the larger.

        c = clamp(round_half_even(float32((a - z_a) (b - z_b)) * (s_a s_b / s_c) + z_c))

    in float32; the product and the sum are rounded one after the other.
    """
    _require_same_bytes(a, b)
    ratio = np.float32(a_is.scale) * np.float32(b_is.scale) / np.float32(out_is.scale)
    zero_a, zero_b = np.int32(a_is.zero_point), np.int32(b_is.zero_point)
    zero_c = np.float32(out_is.zero_point)

    def kernel(x: Array, y: Array, out: Array) -> None:
        _multiply(x, y, zero_a, zero_b, ratio, zero_c, *_limits(out), out)

    return _apply(a, b, kernel)


def _apply(a: Array, b: Array, kernel: Callable[[Array, Array, Array], None]) -> Array:
    """kernel(a, b, out) over flat arrays in one layout."""
    shape = np.broadcast_shapes(a.shape, b.shape)
    larger = a if a.shape == shape else b
    layout = dense(larger if larger.shape == shape else np.broadcast_to(larger, shape))
    out = np.empty_like(layout)
    kernel(flat(like(a, layout)), flat(like(b, layout)), flat(out))
    return out


def _limits(out: Array) -> tuple[np.float32, np.float32]:
    limits = np.iinfo(out.dtype)
    return np.float32(limits.min), np.float32(limits.max)


def _require_same_bytes(a: Array, b: Array) -> None:
    if a.dtype != b.dtype or a.dtype not in (np.uint8, np.int8):
        raise DataError(f"operands must both be uint8 or both int8, not {a.dtype} and {b.dtype}")


def _repeats_innermost(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether a is repeated, as a scalar, along the innermost axis that is not 1 in both."""
    rank = max(len(a), len(b))
    pairs = zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True)
    longer = [(m, n) for m, n in pairs if max(m, n) != 1]
    return not longer or (longer[-1][0] == 1)
