"""Sliding windows: the geometry that convolutions and pooling share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from zapdeploy.compile.graph import Array, Call, Shape
from zapdeploy.compile.ops.boxes import Span, span
from zapdeploy.compile.regions import IntArray, Region
from zapdeploy.errors import ModelError


@dataclass(frozen=True)
class Window:
    """A window over the spatial dimensions; `begins` and `ends` are the padding."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]

    @classmethod
    def of(cls, call: Call, kernel: tuple[int, ...]) -> Window:
        """The window of a node with attributes strides, dilations and pads."""
        rank = len(kernel)
        for name, wanted, smallest in (
            ("strides", rank, 1),
            ("dilations", rank, 1),
            ("pads", 2 * rank, 0),
        ):
            values = call.ints(name)
            if len(values) != wanted or min(values) < smallest:
                raise ModelError(
                    f"{name} must be {wanted} numbers of at least {smallest}, not {list(values)} "
                    f"(node '{call.node.name}')"
                )
        pads = call.ints("pads")
        return cls(kernel, call.ints("strides"), call.ints("dilations"), pads[:rank], pads[rank:])

    @property
    def reach(self) -> tuple[int, ...]:
        """Input positions from the first to the last kernel element, along each dimension."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def size(self) -> int:
        """Kernel elements."""
        return int(np.prod(self.kernel, dtype=np.int64))

    def output_shape(self, call: Call, spatial: Shape, ceil_mode: bool = False) -> Shape:
        """Positions of the window along each dimension, at least one."""
        found = tuple(self._positions(d, s, ceil_mode) for d, s in enumerate(spatial))
        if min(found) < 1:
            raise ModelError(
                f"the padded input must be at least as large as the window {list(self.reach)}, "
                f"not {list(self._padded(spatial))} (node '{call.node.name}')"
            )
        return found

    def _padded(self, spatial: Shape) -> Shape:
        return tuple(s + b + e for s, b, e in zip(spatial, self.begins, self.ends, strict=True))

    def _positions(self, dimension: int, length: int, ceil_mode: bool) -> int:
        begin, end = self.begins[dimension], self.ends[dimension]
        stride = self.strides[dimension]
        room = length + begin + end - self.reach[dimension]
        if room < 0:
            return 0
        if not ceil_mode:
            return room // stride + 1
        positions = -(-room // stride) + 1
        # A last window that would start in the padding at the end is dropped.
        return positions - 1 if (positions - 1) * stride >= length + begin else positions

    def spans(self, out: Region, spatial: Shape) -> list[Span]:
        """The input positions under the windows of boxes of the output, inside the input."""
        found = []
        for d, length in enumerate(spatial):
            low, high = span(out, 2 + d)
            start = low * self.strides[d] - self.begins[d]
            stop = (high - 1) * self.strides[d] - self.begins[d] + self.reach[d]
            found.append((np.clip(start, 0, length), np.clip(stop, 0, length)))
        return found

    def spans_under(self, out: Region, spatial: Shape, elements: Sequence[Span]) -> list[Span]:
        """As `spans`, under the kernel elements [first, last] along each dimension alone."""
        found = []
        for d, (length, (first, last)) in enumerate(zip(spatial, elements, strict=True)):
            low, high = span(out, 2 + d)
            start = low * self.strides[d] - self.begins[d] + first * self.dilations[d]
            stop = (high - 1) * self.strides[d] - self.begins[d] + last * self.dilations[d] + 1
            found.append((np.clip(start, 0, length), np.clip(stop, 0, length)))
        return found

    def tile_pads(self, out: Region, x: Region | None, spatial: Shape) -> IntArray:
        """The padding around boxes of the input, x, that windows at boxes of the output meet.

        int [boxes, begins and then ends]. Positions beyond the padding itself, which a last window
        may cover, are left out.
        """
        assert x is not None
        begins, ends = [], []
        for d, length in enumerate(spatial):
            (low, high), (first, last) = span(out, 2 + d), span(x, 2 + d)
            start = low * self.strides[d] - self.begins[d]
            stop = (high - 1) * self.strides[d] - self.begins[d] + self.reach[d]
            begin = np.clip(first - start, 0, np.maximum(stop - start, 0))
            rest = np.minimum(stop, length + self.ends[d]) - start - begin - (last - first)
            begins.append(begin)
            ends.append(np.maximum(rest, 0))
        return np.stack([*begins, *ends], axis=-1)

    def pad(self, x: Array, positions: Shape, fill: float) -> Array:
        """x [N, C, *S] with all that the windows at these positions cover."""
        ends = self.covered_ends(x.shape[2:], positions)
        if not any((*self.begins, *ends)):
            return x
        widths = [(0, 0), (0, 0), *zip(self.begins, ends, strict=True)]
        return np.pad(x, widths, constant_values=fill)

    def covered_ends(self, spatial: Shape, positions: Shape) -> Shape:
        """How much padding the windows at these positions cover at the end of each dimension."""
        covered = [
            (count - 1) * stride + reach
            for count, stride, reach in zip(positions, self.strides, self.reach, strict=True)
        ]
        lengths = [begin + length for begin, length in zip(self.begins, spatial, strict=True)]
        return tuple(max(c - length, 0) for c, length in zip(covered, lengths, strict=True))

    def elements(self, padded: Array, positions: Shape) -> Iterator[Array]:
        """For each kernel element, the value under it at every position: [N, C, *positions]."""
        for offset in product(*map(range, self.kernel)):
            index = tuple(
                slice(o * d, o * d + (count - 1) * s + 1, s)
                for o, d, s, count in zip(
                    offset, self.dilations, self.strides, positions, strict=True
                )
            )
            yield padded[(slice(None), slice(None), *index)]

    def windows(self, padded: Array, positions: Shape) -> Array:
        """What lies under the window at every position: a view [N, C, *positions, *kernel]."""
        axes = tuple(range(2, padded.ndim))
        found = np.lib.stride_tricks.sliding_window_view(padded, self.reach, axes)
        steps = [
            slice(0, (count - 1) * s + 1, s)
            for count, s in zip(positions, self.strides, strict=True)
        ]
        return found[:, :, *steps, *(slice(None, None, d) for d in self.dilations)]

    def unpadded(self) -> Window:
        """The same window over an input that already holds its padding."""
        none = (0,) * len(self.kernel)
        return replace(self, begins=none, ends=none)
