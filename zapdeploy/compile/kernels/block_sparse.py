"""Exact integer products with a matrix of which only some blocks are there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zapdeploy.arrays import Array, IntArray
from zapdeploy.compile.kernels.jit import compiled
from zapdeploy.compile.kernels.prepare import require_integers
from zapdeploy.compile.kernels.requantization import Requantization, requantize_columns


@dataclass(frozen=True, eq=False)
class BlockSparse:
    """A product with its weights prepared; call it with x [M, blocks, B] for [M, O, 1]."""

    weights: Array
    first: IntArray
    blocks: IntArray
    x_zero_point: int
    bias: npt.NDArray[np.int32] | None
    requantization: Requantization | None

    def __call__(self, x: Array) -> Array:
        """int32 sums, or codes if prepared with a requantization."""
        rows = self.weights.shape[1]
        sums = np.zeros((len(x), (len(self.first) - 1) * rows), np.int32)
        if self.bias is not None:
            sums += self.bias
        centred = np.ascontiguousarray(x, np.int32) - np.int32(self.x_zero_point)
        add_products(centred, self.weights, self.first, self.blocks, sums)
        if self.requantization is None:
            return sums[..., None]
        multipliers = self.requantization.multipliers(sums.shape[1])
        return requantize_columns(sums, multipliers, self.requantization)[..., None]


def prepare_block_sparse(
    w: Array,
    first: IntArray,
    blocks: IntArray,
    *,
    x_dtype: npt.DTypeLike,
    x_zero_point: int = 0,
    bias: npt.ArrayLike | None = None,
    requantization: Requantization | None = None,
) -> BlockSparse:
    """w: integers [T, R, B] with zero point 0; blocks [T] of x that they meet; group g has those
    from first[g] to first[g + 1]."""
    require_integers(w, x_dtype, x_zero_point)
    held = None if bias is None else np.asarray(bias, np.int32).reshape(-1)
    return BlockSparse(np.ascontiguousarray(w), first, blocks, int(x_zero_point), held,
                       requantization)  # fmt: skip


@compiled
def add_products(x: Array, w: Array, first: Array, blocks: Array, sums: Array) -> None:
    """sums[m, g R + r] += sum over the group's blocks t of x[m, blocks[t]] . w[t, r]."""
    rows, inputs = w.shape[1], w.shape[2]
    for g in range(len(first) - 1):
        for t in range(first[g], first[g + 1]):
            for m in range(len(x)):
                for r in range(rows):
                    total = np.int32(0)
                    for k in range(inputs):
                        total += x[m, blocks[t], k] * np.int32(w[t, r, k])
                    sums[m, g * rows + r] += total
