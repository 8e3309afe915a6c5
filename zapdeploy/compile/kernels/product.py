"""The sum of products that convolutions and matrix products share, and who computes it.

    acc[p, g, o] = bias[g, o] + sum over t, l of (x[...] - x_zero_point) * w[g, o, t, l]

with x[...] the element that gather.py names. Three implementations give the same integers:

    packed     8-bit operands: tiles of sums in registers, for each of `instruction_sets`
    blas       any operands, any machine: a float matrix product, cut so that it stays exact
    depthwise  one input and one output channel per group: a plain loop
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from zapdeploy.arrays import Array
from zapdeploy.compile.kernels.gather import Gather
from zapdeploy.compile.kernels.requantization import Requantization


@dataclass(frozen=True, eq=False)
class Layer:
    """What is fixed before the first frame.

    weights: integers [G, O, T, L], their zero point already subtracted
    bias: int32 [G, O]
    x_dtype, x_zero_point: of the input
    requantization: None for int32 accumulators; else one multiplier, or G * O, or O for all groups
    """

    weights: Array
    bias: npt.NDArray[np.int32]
    x_dtype: np.dtype[Any]
    x_zero_point: int
    requantization: Requantization | None

    @property
    def columns(self) -> tuple[int, int]:
        """Groups, outputs per group."""
        return self.weights.shape[0], self.weights.shape[1]

    def multipliers(self) -> npt.NDArray[np.float32]:
        """float32 [G, O]."""
        assert self.requantization is not None
        groups, outputs = self.columns
        size = np.size(self.requantization.multiplier)
        if size == outputs:  # the columns of a batch of matrices share their multipliers
            return np.tile(self.requantization.multipliers(outputs), (groups, 1))
        return self.requantization.multipliers(groups * outputs).reshape(groups, outputs)

    def column_sums(self) -> npt.NDArray[np.int64]:
        """sum of the weights of each output, int64 [G, O]."""
        sums: npt.NDArray[np.int64] = self.weights.sum(axis=(2, 3), dtype=np.int64)
        return sums


class Product(Protocol):
    """A layer, prepared for repeated frames."""

    @property
    def step(self) -> int:
        """Runs are read in steps of so many elements; what the last reads too much is not used."""

    @property
    def operand(self) -> np.dtype[Any]:
        """The type to which `operands.convert` brings the input first."""

    def __call__(self, x: Array, gather: Gather) -> Array:
        """x: flat. int32 or 8-bit [P, G * O], or [G, P, O] if gather.groups_outermost."""
