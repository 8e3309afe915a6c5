"""The imaged volume that a recording's traces were taken from: voxels, and whose they are.

`df_over_f` [x, y, z, t] holds the voxels, `segmentation` [x, y, z] for each voxel the number of its
neuron counted from 1, or 0. A neuron's trace is the mean over the voxels of its segment.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import DataError
from zapdeploy.recordings import stores

DF_OVER_F, SEGMENTATION = "df_over_f", "segmentation"
Voxels = NDArray[np.float32]
Shape = tuple[int, int, int]  # depth, height, width in voxels
Corner = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels are read as they are asked for. segments: int64 [depth, height, width], 0: nobody's,
    n: those of neuron n - 1.
    """

    source: str
    store: Any
    segments: NDArray[np.int64]

    @property
    def shape(self) -> Shape:
        depth, height, width = self.segments.shape
        return depth, height, width

    @property
    def neurons(self) -> int:
        return int(self.segments.max())

    def frames(
        self, start: int, stop: int, corner: Corner = (0, 0, 0), size: Shape | None = None
    ) -> Voxels:
        """Frames [start, stop) of a box, of the whole where no size is given: float32
        [frames, depth, height, width]. NaN counts as 0.
        """
        z, y, x = (
            slice(low, low + length) for low, length in zip(corner, size or self.shape, strict=True)
        )
        part = self.store[x, y, z, start:stop]
        block = stores.read_store(part, f"{self.source}, {DF_OVER_F}").astype(np.float32)
        return np.nan_to_num(np.ascontiguousarray(block.transpose(3, 2, 1, 0)))

    def segment_means(self, voxels: Voxels) -> Voxels:
        """The mean over each neuron's voxels: float32 [..., *volume] -> [..., neurons].

        A neuron without voxels is 0.
        """
        order, starts, counts = self._by_neuron
        found = np.zeros((*voxels.shape[:-3], self.neurons), np.float32)
        flat = voxels.reshape(*voxels.shape[:-3], -1)[..., order]
        there = counts > 0
        sums = np.add.reduceat(flat, starts[there], axis=-1, dtype=np.float64)
        found[..., there] = sums / counts[there]
        return found

    @cached_property
    def _by_neuron(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Voxels in the order of their neurons, where each neuron's start, and how many it has."""
        flat = self.segments.ravel()
        counts = np.bincount(flat, minlength=self.neurons + 1)
        order = np.argsort(flat, kind="stable")[counts[0] :]
        return order, np.cumsum(counts[1:]) - counts[1:], counts[1:]


def open_volume(location: str) -> Volume:
    """The volume of a folder or URL. Raises DataError where it has none, or one that is no use."""
    store = stores.open_store(location, DF_OVER_F)
    segments = stores.read_store(
        stores.open_store(location, SEGMENTATION), f"{location}, {SEGMENTATION}"
    )
    if len(store.shape) != 4 or segments.shape != tuple(store.shape[:3]):
        raise DataError(
            f"{DF_OVER_F} must be [x, y, z, t] and {SEGMENTATION} its [x, y, z], not "
            f"{list(store.shape)} and {list(segments.shape)} ({location})"
        )
    if segments.dtype.kind not in "iu" or not segments.size or segments.max() < 1:
        raise DataError(
            f"{SEGMENTATION} must be whole numbers, a neuron's from 1, not {segments.dtype} without"
            f" a neuron ({location})"
        )
    return Volume(location, store, np.ascontiguousarray(segments.T.astype(np.int64)))


def has_volume(location: str) -> bool:
    """Whether a recording brings its voxels."""
    return stores.has_store(location, DF_OVER_F) and stores.has_store(location, SEGMENTATION)
