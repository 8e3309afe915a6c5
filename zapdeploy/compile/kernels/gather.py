"""Which elements of the input each output of a convolution multiplies, as plain offsets.

The input is one flat channels-last array, already padded. Output row p (a position of the output in
some image of the batch) and group g read, for each tap t and each l below `run`,

    x[rows[p] + g * group_stride + taps[t] + l]

so that the kernels need to know neither the number of dimensions nor strides nor dilations. A
matrix product is the case with one tap.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod

import numpy as np
import numpy.typing as npt

from zapdeploy.errors import DataError


@dataclass(frozen=True, eq=False)
class Gather:
    """Offsets in elements. rows: int64 [P], P the product of row_shape. taps: int64 [T]."""

    row_shape: tuple[int, ...]
    rows: npt.NDArray[np.int64]
    taps: npt.NDArray[np.int64]
    run: int
    groups: int = 1
    group_stride: int = 0
    groups_outermost: bool = False  # output [G, P, O/G] instead of [P, O]

    def padded_rows(self, multiple: int) -> npt.NDArray[np.int64]:
        """rows, with the last one repeated up to a multiple of `multiple`."""
        if multiple not in self._padded_rows:
            count = -(-self.rows.size // multiple) * multiple
            self._padded_rows[multiple] = self.rows[
                np.minimum(np.arange(count), self.rows.size - 1)
            ]
        return self._padded_rows[multiple]

    @cached_property
    def _padded_rows(self) -> dict[int, npt.NDArray[np.int64]]:
        return {}


@dataclass(frozen=True)
class Window:
    """The attributes of a convolution: one entry per spatial axis, pads as ONNX orders them."""

    channels: int
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]  # all beginnings, then all ends
    groups: int

    @property
    def merges_last_axis(self) -> bool:
        """Whether the taps along the last axis are neighbours in memory, and so one longer run."""
        return self.groups == 1 and self.dilations[-1] == 1

    def padded(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        count = len(self.kernel)
        return tuple(size + self.pads[i] + self.pads[count + i] for i, size in enumerate(spatial))

    def output(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        """The output's spatial shape. Raises DataError when the kernel is larger than the input."""
        reach = [d * (k - 1) + 1 for d, k in zip(self.dilations, self.kernel, strict=True)]
        sizes = self.padded(spatial)
        if any(r > size for r, size in zip(reach, sizes, strict=True)):
            raise DataError(
                f"padded input must be at least {tuple(reach)} for this kernel, not {sizes}"
            )
        return tuple(
            (size - r) // s + 1 for size, r, s in zip(sizes, reach, self.strides, strict=True)
        )


def _offsets(counts: tuple[int, ...], steps: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """sum(index * step) for every index below `counts`, the last axis fastest."""
    total = np.zeros((), dtype=np.int64)
    for count, step in zip(counts, steps, strict=True):
        total = total[..., None] + np.arange(count, dtype=np.int64) * step
    return total.reshape(-1)


@lru_cache(maxsize=256)
def convolution_gather(window: Window, batch: int, spatial: tuple[int, ...]) -> Gather:
    """The offsets for a batch of images of one size; kept, because networks repeat their shapes."""
    padded = window.padded(spatial)
    steps = tuple(prod(padded[axis + 1 :]) * window.channels for axis in range(len(padded)))
    row_steps = tuple(s * step for s, step in zip(window.strides, steps, strict=True))
    tap_steps = tuple(d * step for d, step in zip(window.dilations, steps, strict=True))
    row_shape = (batch, *window.output(spatial))
    rows = _offsets(row_shape, (prod(padded) * window.channels, *row_steps))
    run = window.channels // window.groups
    if window.merges_last_axis:
        taps = _offsets(window.kernel[:-1], tap_steps[:-1])
        return Gather(row_shape, rows, taps, run * window.kernel[-1])
    return Gather(row_shape, rows, _offsets(window.kernel, tap_steps), run, window.groups, run)


@lru_cache(maxsize=256)
def matmul_gather(matrices: int, rows: int, inner: int) -> Gather:
    """The offsets for x [matrices, rows, inner] against as many matrices of weights."""
    starts, taps = np.arange(rows, dtype=np.int64) * inner, np.zeros(1, dtype=np.int64)
    return Gather((rows,), starts, taps, inner, matrices, rows * inner, matrices > 1)
