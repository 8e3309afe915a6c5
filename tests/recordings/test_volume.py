"""Voxels and whose they are: means against a loop, axes, and the made volume's one promise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("tensorstore")
pytest.importorskip("scipy")

from zapdeploy.errors import DataError, UsageError
from zapdeploy.recordings import stores
from zapdeploy.recordings.synthetic_volume import spread, synthetic_segments
from zapdeploy.recordings.volume import DF_OVER_F, SEGMENTATION, Volume, has_volume, open_volume


def _write(where: Path, voxels: np.ndarray, segments: np.ndarray) -> None:
    """voxels [t, z, y, x], segments [z, y, x], in the published order of axes."""
    for name, array, kind in (
        (DF_OVER_F, voxels.T.transpose(0, 1, 2, 3), "float32"),
        (SEGMENTATION, segments.T, "int32"),
    ):
        store = stores.create_store(
            str(where), name, array.shape, array.shape, "zarr3", kind=kind,
            axes=("x", "y", "z", "t")[: array.ndim],
        )  # fmt: skip
        store.write(np.ascontiguousarray(array.astype(kind))).result()


@given(
    seed=st.integers(0, 2**32 - 1),
    neurons=st.integers(1, 6),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)),
)
def test_means_are_those_of_a_loop(seed: int, neurons: int, shape: tuple[int, int, int]) -> None:
    random = np.random.default_rng(seed)
    segments = random.integers(0, neurons + 1, shape)
    segments.flat[0] = neurons
    volume = Volume("here", None, segments)
    voxels = random.normal(size=(2, *shape)).astype(np.float32)
    found = volume.segment_means(voxels)
    for neuron in range(neurons):
        own = voxels[:, segments == neuron + 1]
        wanted = own.mean(axis=1, dtype=np.float64) if own.size else np.zeros(2)
        np.testing.assert_allclose(found[:, neuron], wanted, rtol=1e-6, atol=1e-7)


@given(seed=st.integers(0, 99), neurons=st.integers(1, 24))
def test_the_mean_of_a_made_segment_is_its_trace(seed: int, neurons: int) -> None:
    random = np.random.default_rng(seed)
    segments = synthetic_segments(neurons, (2, 3, 4), seed)
    assert set(range(1, neurons + 1)) <= set(segments.flat)
    volume = Volume("here", None, segments)
    traces = random.normal(size=(3, neurons)).astype(np.float32)
    voxels = spread(volume, traces, random)
    np.testing.assert_allclose(volume.segment_means(voxels), traces, atol=1e-6)
    assert not neurons < 24 or np.ptp(voxels - np.round(voxels, 1)) > 0  # noise is there


def test_axes_and_boxes(tmp_path: Path) -> None:
    voxels = np.arange(3 * 2 * 4 * 5, dtype=np.float32).reshape(3, 2, 4, 5)
    voxels[0, 0, 0, 0] = np.nan
    segments = np.arange(2 * 4 * 5).reshape(2, 4, 5) % 4
    _write(tmp_path, voxels, segments)
    volume = open_volume(str(tmp_path))
    assert (volume.shape, volume.neurons) == ((2, 4, 5), 3)
    np.testing.assert_array_equal(volume.segments, segments)
    np.testing.assert_array_equal(volume.frames(0, 3), np.nan_to_num(voxels))
    box = volume.frames(1, 3, (1, 1, 2), (1, 2, 3))
    np.testing.assert_array_equal(box, voxels[1:3, 1:2, 1:3, 2:5])


def test_refusals(tmp_path: Path) -> None:
    voxels, segments = np.zeros((2, 1, 2, 2), np.float32), np.ones((1, 2, 2), int)
    assert not has_volume(str(tmp_path))
    _write(tmp_path / "a", voxels, segments[:, :1])
    with pytest.raises(DataError, match=r"must be \[x, y, z, t\] and segmentation its"):
        open_volume(str(tmp_path / "a"))
    _write(tmp_path / "b", voxels, 0 * segments)
    with pytest.raises(DataError, match="a neuron's from 1"):
        open_volume(str(tmp_path / "b"))
    with pytest.raises(UsageError, match="a voxel for each of 5 neurons, not 4"):
        synthetic_segments(5, (1, 2, 2))
