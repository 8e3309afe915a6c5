"""Exact integer matrix products, with or without requantization."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from zapdeploy.arrays import Array
from zapdeploy.compile.kernels.gather import matmul_gather
from zapdeploy.compile.kernels.operands import convert
from zapdeploy.compile.kernels.prepare import (
    bias_or_zero,
    choose_product,
    require_integers,
    subtract_zero_point,
)
from zapdeploy.compile.kernels.product import Layer, Product
from zapdeploy.compile.kernels.requantization import Requantization
from zapdeploy.errors import DataError


@dataclass(frozen=True, eq=False)
class MatrixProduct:
    """A matrix product with its right operand prepared: x [..., M, K] to [..., M, N]."""

    matrices: tuple[int, ...]  # the leading axes of the weights; () for one matrix
    inner: int
    columns: int
    x_dtype: np.dtype[Any]
    product: Product

    def __call__(self, x: Array) -> Array:
        """int32 accumulators, or 8-bit values if prepared with a requantization.

        x: of x_dtype; [..., K] for one matrix, else [..., M, K] with leading axes that broadcast
        to those of the weights
        """
        if x.dtype != self.x_dtype or x.ndim < 1 or x.shape[-1] != self.inner:
            raise DataError(
                f"input must be {self.x_dtype} [..., {self.inner}], not {x.dtype} {x.shape}"
            )
        if not self.matrices:
            rows = prod(x.shape[:-1])
            out = self.product(self._flat_input(x), matmul_gather(1, rows, self.inner))
            return out.reshape(*x.shape[:-1], self.columns)
        full = self._one_per_matrix(x)
        gather = matmul_gather(prod(self.matrices), x.shape[-2], self.inner)
        return self.product(self._flat_input(full), gather).reshape(*full.shape[:-1], self.columns)

    def _one_per_matrix(self, x: Array) -> Array:
        """x broadcast to [*matrices, M, K]."""
        try:
            return np.broadcast_to(x, (*self.matrices, *x.shape[-2:]))
        except ValueError:
            leading = x.shape[:-2]
            raise DataError(
                f"leading axes must broadcast to {self.matrices}, not {leading}"
            ) from None

    def _flat_input(self, x: Array) -> Array:
        """x flat, as the product wants it; x itself where that is possible."""
        step, operand = self.product.step, self.product.operand
        if x.flags.c_contiguous and self.inner % step == 0 and operand == x.dtype:
            return x.reshape(-1)
        buffer = np.empty(x.size + step, dtype=operand)
        convert(x, buffer[: x.size].reshape(x.shape))
        return buffer


def prepare_matmul(
    w: Array,
    *,
    x_dtype: npt.DTypeLike,
    x_zero_point: int = 0,
    w_zero_point: npt.ArrayLike = 0,
    bias: npt.ArrayLike | None = None,
    requantization: Requantization | None = None,
    backend: str | None = None,
) -> MatrixProduct:
    """Prepare a matrix product for repeated frames.

    w: integers [K, N], or [..., K, N] for one matrix per leading index
    x_dtype: of the inputs to come; uint8 is fastest, int8 costs one copy of the input
    w_zero_point: scalar or [N]. bias: int32 [N]
    requantization: None for int32 accumulators; else its multiplier is a scalar or [N]
    backend: None for the fastest
    Raises DataError when shapes, counts or types do not fit.
    """
    require_integers(w, x_dtype, x_zero_point)
    if w.ndim < 2:
        raise DataError(f"weights must be [..., K, N], not {w.shape}")
    matrices, inner, columns = w.shape[:-2], w.shape[-2], w.shape[-1]
    groups = prod(matrices)
    shifted = subtract_zero_point(w, w_zero_point, axis=w.ndim - 1)
    layer = Layer(
        weights=np.swapaxes(shifted, -1, -2).reshape(groups, columns, 1, inner),
        bias=np.tile(bias_or_zero(bias, columns), (groups, 1)),
        x_dtype=np.dtype(x_dtype),
        x_zero_point=int(x_zero_point),
        requantization=requantization,
    )
    return MatrixProduct(matrices, inner, columns, layer.x_dtype, choose_product(layer, backend))


def matmul(
    x: Array,
    w: Array,
    *,
    x_zero_point: int = 0,
    w_zero_point: npt.ArrayLike = 0,
    bias: npt.ArrayLike | None = None,
    requantization: Requantization | None = None,
    backend: str | None = None,
) -> Array:
    """`prepare_matmul` and one call: [..., M, N] for x [..., M, K]; the leading axes broadcast."""
    if w.ndim > 2:
        leading = np.broadcast_shapes(x.shape[:-2], w.shape[:-2])
        w = np.broadcast_to(w, (*leading, *w.shape[-2:]))
    prepared = prepare_matmul(
        w, x_dtype=x.dtype, x_zero_point=x_zero_point, w_zero_point=w_zero_point, bias=bias,
        requantization=requantization, backend=backend,
    )  # fmt: skip
    return prepared(x)
