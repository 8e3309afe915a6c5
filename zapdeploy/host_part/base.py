"""What the host does with a window before the network has it, and with the forecast after."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from zapdeploy.arrays import Floats

Notes = Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Workspace:
    """What a window's forecast needs again: offset and factor, float32 [batch, 1, neurons].

    room: [batch, context, neurons], for what is computed in between.
    """

    offset: Floats
    factor: Floats
    room: Floats


@dataclass(frozen=True, eq=False)
class HostNormalisation(ABC):
    """scale, bias: float32 [neurons]; what they mean is the subclass's."""

    scale: Floats
    bias: Floats

    def normalise(self, x: Floats) -> tuple[Floats, Floats, Floats]:
        """Windows [batch, context, neurons] -> normalised, offset, factor [batch, 1, neurons]."""
        work, found = self.workspace(x.shape[1], len(x)), np.empty_like(x)
        self.normalise_into(x, found, work)
        return found, work.offset, work.factor

    def restore(self, y: Floats, offset: Floats, factor: Floats) -> Floats:
        """The inverse of `normalise`, for a forecast y [batch, horizon, neurons]."""
        restored = np.array(y)
        self.restore_in_place(restored, Workspace(offset, factor, offset))
        return restored

    def workspace(self, context: int, batch: int = 1) -> Workspace:
        """Room for windows [batch, context, neurons]."""
        neurons = self.scale.size
        offset, factor = np.zeros((2, batch, 1, neurons), np.float32)
        return Workspace(offset, factor, np.zeros((batch, context, neurons), np.float32))

    @abstractmethod
    def normalise_into(self, x: Floats, found: Floats, work: Workspace) -> None:
        """As `normalise`, into arrays that are there: no memory is taken for each window."""

    @abstractmethod
    def restore_in_place(self, y: Floats, work: Workspace) -> None:
        """As `restore`, of the windows that `work` was last used for."""

    @abstractmethod
    def notes(self) -> dict[str, str]:
        """What an ONNX file's metadata says of it."""
