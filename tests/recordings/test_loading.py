"""Recordings are read in tiles: everything once, and no chunk of a file twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapdeploy.errors import DataError
from zapdeploy.recordings import loading, open_recording
from zapdeploy.recordings.description import Description
from zapdeploy.recordings.loading import load_traces, tiles
from zapdeploy.recordings.source import Computed, Source

sizes = st.integers(1, 40)


@given(
    shape=st.tuples(sizes, sizes),
    chunks=st.none() | st.tuples(sizes, sizes),
    start=sizes,
    kilobytes=st.sampled_from([0.1, 0.5, 4]),
)
def test_tiles_cover_everything_once_and_no_chunk_twice(
    shape: tuple[int, int], chunks: tuple[int, int] | None, start: int, kilobytes: float
) -> None:
    span = (min(start, shape[1]) - 1, shape[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "BLOCK_BYTES", int(1024 * kilobytes))
        found = tiles([(0, shape[0]), span], chunks)
    counted = np.zeros(shape, int)
    readers: dict[tuple[int, int], int] = {}
    height, width = chunks or (1, shape[1])
    for rows, columns in found:
        counted[rows, columns] += 1
        for row in range(rows.start // height, -(-rows.stop // height)):
            for column in range(columns.start // width, -(-columns.stop // width)):
                readers[row, column] = readers.get((row, column), 0) + 1
    assert (counted[:, : span[0]] == 0).all()
    assert (counted[:, span[0] :] == 1).all()
    assert max(readers.values()) == 1


@pytest.mark.parametrize("neurons_first", [False, True])
@pytest.mark.parametrize("chunks", [None, (7, 5), (64, 3), (100, 100)])
@pytest.mark.parametrize("columns", [range(30), range(4, 19), [29, 3, 3, 11]])
def test_columns_come_in_the_order_given(
    monkeypatch: pytest.MonkeyPatch,
    neurons_first: bool,
    chunks: tuple[int, int] | None,
    columns: object,
) -> None:
    monkeypatch.setattr(loading, "BLOCK_BYTES", 2_000)
    traces = np.random.default_rng(0).standard_normal((50, 30)).astype(np.float32)
    stored = traces.T if neurons_first else traces
    values = Computed(stored.shape, lambda rows, part: stored[rows, part], chunks)
    source = Source(values, neurons_first, Description("here", "made", 50, 30))
    chosen = np.array(columns)
    calls: list[tuple[int, int]] = []
    found = load_traces(source, chosen, lambda what, n, of: calls.append((n, of)), writable=False)
    np.testing.assert_array_equal(found, traces[:, chosen])
    assert calls[-1][0] == calls[-1][1] == len(calls)


def test_wide_chunks_of_hdf5_are_unpacked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """h5py unpacks a whole chunk for every part of it that is asked for."""
    h5py = pytest.importorskip("h5py")
    traces = np.random.default_rng(0).standard_normal((400, 60)).astype(np.float32)
    path = tmp_path / "r.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("dff", data=traces, chunks=(200, 20), compression="gzip")
    monkeypatch.setattr(loading, "BLOCK_BYTES", 1_000)  # far less than a chunk
    asked: list[tuple[slice, slice]] = []
    inner = loading._read
    monkeypatch.setattr(
        loading, "_read", lambda source, *part: asked.append(part) or inner(source, *part)
    )
    found = open_recording(str(path))
    np.testing.assert_array_equal(found.traces, traces)
    assert len(asked) == 2 * 3


def test_large_arrays_that_are_not_there_are_refused(tmp_path: Path) -> None:
    """Shapes that would fill the memory with a fill value: 2.4 GB in one stored chunk."""
    h5py = pytest.importorskip("h5py")
    zarr = pytest.importorskip("zarr")
    shape, chunks = (2000, 300_000), (100, 1000)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("dff", shape, np.float32, chunks=chunks)[:100, :1000] = 1
    made = zarr.open_array(
        str(tmp_path / "a.zarr"), mode="w", shape=shape, chunks=chunks, dtype="float32"
    )
    made[:100, :1000] = 1
    for name in ("a.h5", "a.zarr"):
        with pytest.raises(DataError, match=r"array must be stored, not 1 of the 6,000 chunks"):
            open_recording(str(tmp_path / name))
