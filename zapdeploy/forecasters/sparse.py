"""A sparse matrix times a dense one in torch, with gradients for both."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Pattern:
    """Where a square matrix [rows, columns] has entries, as CSR, and as CSR of its transpose.

    order: the place of each entry of the transpose among those of the matrix. All int32.
    """

    first: Tensor
    column: Tensor
    first_transposed: Tensor
    row: Tensor
    order: Tensor

    @classmethod
    def of(cls, first: Tensor, column: Tensor) -> Pattern:
        """From row pointers [rows + 1] and columns [entries]."""
        rows = first.numel() - 1
        counts = torch.diff(first).long()
        row = torch.repeat_interleave(torch.arange(rows, dtype=torch.int32), counts)
        order = torch.argsort(column, stable=True)
        ends = torch.cumsum(torch.bincount(column, minlength=rows), 0)
        start = torch.cat([torch.zeros(1, dtype=ends.dtype), ends]).to(torch.int32)
        return cls(first, column, start, row[order].contiguous(), order)

    def times(self, values: Tensor, dense: Tensor) -> Tensor:
        """The matrix with these values [entries] times dense [columns, any] -> [rows, any]."""
        found: Tensor = _Product.apply(values, dense, self)  # type: ignore[no-untyped-call]
        return found

    def matrix(self, values: Tensor) -> Tensor:
        """As torch's sparse CSR tensor."""
        return _csr(self.first, self.column, values)


def _csr(first: Tensor, column: Tensor, values: Tensor) -> Tensor:
    size = first.numel() - 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch calls all of its CSR "in beta"
        return torch.sparse_csr_tensor(first, column, values, (size, size), check_invariants=False)


class _Product(torch.autograd.Function):
    """y = W x; dx = W' dy, and of each entry (i, j) of W: sum over k of dy[i, k] x[j, k]."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, dense: Tensor, pattern: Pattern) -> Tensor:
        ctx.save_for_backward(values, dense)
        ctx.pattern = pattern
        return pattern.matrix(values) @ dense

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        values, dense = ctx.saved_tensors
        pattern: Pattern = ctx.pattern
        gradient = gradient.contiguous()
        of_values = of_dense = None
        if ctx.needs_input_grad[0]:
            nothing = pattern.matrix(torch.zeros_like(values))
            sampled = torch.sparse.sampled_addmm(nothing, gradient, dense.t(), beta=0.0)
            of_values = sampled.values()
        if ctx.needs_input_grad[1]:
            turned = _csr(pattern.first_transposed, pattern.row, values[pattern.order])
            of_dense = turned @ gradient
        return of_values, of_dense, None
