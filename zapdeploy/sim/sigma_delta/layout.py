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

    `shape`: the tensor's when it was made; `now`: its shape under views since then. `first`: only
    so many along x are the tensor's; None for all.
    """

    shape: Shape
    now: Shape
    first: int | None = None

    @property
    def box(self) -> tuple[int, int, int]:
        channels, spatial = self.shape[1], (*self.shape[2:], 1, 1)
        return (spatial[0], spatial[1], channels)

    def viewed(self, value: Value) -> Layout:
        return replace(self, now=value.shape)

    def cut(self, value: Value) -> Layout:
        """The first of its elements along x, those of a tensor [1, channels, x]."""
        return replace(self, now=value.shape, first=value.shape[2])

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
        return np.moveaxis(flat, 2, 0)[:, : self.first].reshape(-1)

    def to_tensor(self, codes: NDArray[T]) -> NDArray[T]:
        """Values [frames, x, y, channel] as [frames, *tensor without its batch]."""
        moved = np.moveaxis(codes, 3, 1)[:, :, : self.first]
        return moved.reshape(len(codes), *self.now[1:])

    def to_box(self, codes: NDArray[T]) -> NDArray[T]:
        """Values [frames, *tensor without its batch] as [frames, x, y, channel]; 0 where the tensor
        is shorter than the box along x."""
        x, y, channels = self.box
        shaped = codes.reshape(len(codes), channels, -1, y)
        padded = np.pad(shaped, ((0, 0), (0, 0), (0, x - shaped.shape[2]), (0, 0)))
        return np.moveaxis(padded, 1, 3)


def box_of(value: Value) -> Layout:
    """The layout of a tensor that a population is made for. Raises ModelError for other shapes."""
    shape = value.shape
    if not 2 <= len(shape) <= 4 or shape[0] != 1:
        raise ModelError(
            "tensors must be [1, channels], [1, channels, x] or [1, channels, x, y] for an "
            f"event-driven chip, not {list(shape)} ('{value.name}'); compile for batch 1"
        )
    return Layout(shape, shape)
