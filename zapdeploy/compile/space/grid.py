"""Cards along each spatial dimension, and where they cut a dimension of any length."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from zapdeploy.compile.regions import IntArray
from zapdeploy.errors import UsageError


@dataclass(frozen=True)
class Grid:
    """How many cards stand side by side along each spatial dimension, the outermost first."""

    parts: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.parts or min(self.parts) < 1:
            raise UsageError(f"--chip-grid must be numbers of at least 1, not {self}")

    def __str__(self) -> str:
        return "x".join(map(str, self.parts))

    @property
    def cards(self) -> int:
        return prod(self.parts)

    @property
    def places(self) -> IntArray:
        """Where each card stands [cards, dimensions]; the last dimension runs fastest."""
        indices = np.indices(self.parts).reshape(len(self.parts), -1)
        return indices.T.astype(np.int64)


def parse_grid(text: str) -> Grid:
    """A grid as people write it: 1x4x4."""
    parts = text.lower().split("x")
    if not all(part.strip().isdecimal() for part in parts):
        raise UsageError(f"--chip-grid must be like 1x4x4 or 2x2, not '{text}'")
    return Grid(tuple(map(int, parts)))


def borders(length: int, parts: int, coarsest: int) -> IntArray:
    """Where a dimension is cut into parts [parts + 1].

    All lengths are cut at the same fractions, those that the coarsest one's whole numbers give, so
    that where every second position is taken, both sides are cut at the same place.
    """
    steps = np.arange(parts + 1, dtype=np.int64) * coarsest // parts
    return steps * length // coarsest
