"""The geometry of transposed convolution: a stride-1 convolution for each output phase.

Along one dimension, output position o takes input position i through kernel element t where

    o + begin = i * stride + t * dilation

Positions with the same o mod stride form a phase: they use the same kernel elements, and their
inputs move on by one from each position to the next. So a phase is a convolution of stride 1 with
every (stride / gcd(stride, dilation))-th kernel element; no product with an inserted zero is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import gcd

import numpy as np

from zapdeploy.compile.graph import Call, Shape
from zapdeploy.compile.ops.boxes import Span
from zapdeploy.compile.regions import IntArray
from zapdeploy.errors import ModelError


@dataclass(frozen=True)
class Phase:
    """Output positions offset, offset + stride, ... along one dimension.

    Number n of them reads input positions n + start + j * dilation, for j below len(taps), with the
    kernel elements `taps`, the last one first. Without taps it reads nothing.
    """

    offset: int
    stride: int
    taps: range
    start: int
    dilation: int

    def positions(self, low: IntArray, high: IntArray) -> Span:
        """The first of the phase's positions in output positions [low, high), one past the last."""
        first, stop = (-((self.offset - edge) // self.stride) for edge in (low, high))
        return np.maximum(first, 0), np.maximum(stop, 0)

    def reads(self, low: IntArray, high: IntArray, length: int) -> Span:
        """Input positions behind output positions [low, high), inside the input."""
        first, stop = self.positions(low, high)
        reach = (len(self.taps) - 1) * self.dilation
        start = np.clip(first + self.start, 0, length)
        end = np.clip(stop + self.start + reach, 0, length)
        return start, np.where((stop > first) & bool(self.taps), end, start)


@dataclass(frozen=True)
class TransposedWindow:
    """Kernel, strides, dilations and padding over the spatial dimensions.

    Padding crops the output; a negative one at an end is ONNX's output_padding.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]

    @classmethod
    def of(cls, call: Call, kernel: tuple[int, ...]) -> TransposedWindow:
        """The window of a node with attributes strides, dilations and pads."""
        rank = len(kernel)
        for name in ("strides", "dilations"):
            values = call.ints(name)
            if len(values) != rank or min(values) < 1:
                raise ModelError(
                    f"{name} must be {rank} numbers of at least 1, not {list(values)} "
                    f"(node '{call.node.name}')"
                )
        pads = call.ints("pads")
        if len(pads) != 2 * rank:
            raise ModelError(
                f"pads must be {2 * rank} numbers, not {list(pads)} (node '{call.node.name}')"
            )
        return cls(kernel, call.ints("strides"), call.ints("dilations"), pads[:rank], pads[rank:])

    @property
    def reach(self) -> tuple[int, ...]:
        """Output positions from the first to the last kernel element, along each dimension."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def output_shape(self, call: Call, spatial: Shape) -> Shape:
        """Output positions along each dimension, at least one."""
        found = tuple(
            (length - 1) * stride + reach - begin - end
            for length, reach, stride, begin, end in zip(
                spatial, self.reach, self.strides, self.begins, self.ends, strict=True
            )
        )
        if min(found) < 1:
            raise ModelError(
                f"pads must leave some of the output, not {list(self.begins + self.ends)} "
                f"(node '{call.node.name}')"
            )
        return found

    def along(self, d: int) -> list[Phase]:
        """The phases along one spatial dimension."""
        stride, dilation, kernel = self.strides[d], self.dilations[d], self.kernel[d]
        common = gcd(stride, dilation)
        found = []
        for offset in range(stride):
            place = offset + self.begins[d]
            first = (t for t in range(kernel) if (place - t * dilation) % stride == 0)
            taps = range(next(first, kernel), kernel, stride // common)
            step = dilation // common
            start = (place - taps.start * dilation) // stride - (len(taps) - 1) * step
            found.append(Phase(offset, stride, taps, start, step))
        return found

    def phases(self) -> Iterator[tuple[Phase, ...]]:
        """All combinations of phases, one along each dimension."""
        yield from product(*map(self.along, range(len(self.kernel))))

    def reads(self, d: int, span: Span, length: int) -> Span:
        """The input positions behind output positions along one dimension; empty if none."""
        spans = [phase.reads(*span, length) for phase in self.along(d)]
        low = np.min([np.where(b > a, a, length) for a, b in spans], axis=0)
        high = np.max([np.where(b > a, b, 0) for a, b in spans], axis=0)
        return np.minimum(low, high), high
