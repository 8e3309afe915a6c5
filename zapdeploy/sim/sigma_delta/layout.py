"""Where the elements of a tensor lie in a population's box [x, y, channel]."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from zapdeploy.compile.graph import Call, Shape, Value
from zapdeploy.compile.regions import IntArray
from zapdeploy.errors import ModelError

T = TypeVar("T", np.int64, np.float32)


@dataclass(frozen=True)
class Layout:
    """A tensor [1, channels, *spatial] or [1, features] in a box: its channels are innermost.

    `shape`: the tensor's when it was made; `now`: its shape under views since then.
    """

    shape: Shape
    now: Shape

    @property
    def box(self) -> tuple[int, int, int]:
        channels, spatial = self.shape[1], (*self.shape[2:], 1, 1)
        return (spatial[0], spatial[1], channels)

    def viewed(self, value: Value) -> Layout:
        return replace(self, now=value.shape)

    def require_channels(self, call: Call) -> None:
        """Raise ModelError when a view has moved the channels elsewhere."""
        if self.now != self.shape:
            raise ModelError(
                f"convolution must read a tensor as it was computed, {list(self.shape)}, not as "
                f"{list(self.now)} for an event-driven chip (node '{call.node.name}')"
            )

    def positions(self) -> IntArray:
        """Place in the row-major box of every element of the row-major tensor."""
        x, y, channels = self.box
        flat = np.arange(x * y * channels).reshape(self.box)
        return np.moveaxis(flat, 2, 0).reshape(-1)

    def to_tensor(self, codes: NDArray[T]) -> NDArray[T]:
        """Values [frames, x, y, channel] as [frames, *tensor without its batch]."""
        moved = np.moveaxis(codes, 3, 1)
        return moved.reshape(len(codes), *self.now[1:])

    def to_box(self, codes: NDArray[T]) -> NDArray[T]:
        """Values [frames, *tensor without its batch] as [frames, x, y, channel]."""
        x, y, channels = self.box
        return np.moveaxis(codes.reshape(len(codes), channels, x, y), 1, 3)


def box_of(value: Value) -> Layout:
    """The layout of a tensor that a population is made for. Raises ModelError for other shapes."""
    shape = value.shape
    if not 2 <= len(shape) <= 4 or shape[0] != 1:
        raise ModelError(
            "tensors must be [1, channels], [1, channels, x] or [1, channels, x, y] for an "
            f"event-driven chip, not {list(shape)} ('{value.name}'); compile for batch 1"
        )
    return Layout(shape, shape)
