"""Traces from where they are into memory, once: block by block, with nothing else held.

What is in a form that can be used as it is (a .npy file of float32, time first) is mapped, and
what is larger than half of the memory that is free goes to a file in the cache folder, mapped too,
and gone when the process ends: a recording of any size is trained on from disk.
"""

from __future__ import annotations

import tempfile

import numpy as np
from numpy.typing import NDArray

from zapdeploy import platforms
from zapdeploy.errors import DataError, UsageError
from zapdeploy.recordings.source import Progress, Source

BLOCK_BYTES = 64 * 2**20
MEMORY_SHARE = 0.5
READING = "reading neurons"
Traces = NDArray[np.float32]


def load_traces(
    source: Source, columns: NDArray[np.int64], progress: Progress, *, writable: bool
) -> Traces:
    """The columns as float32 [frames, neurons], in the order given. writable: a copy of their own
    that may be changed.
    """
    values = source.values
    is_all = np.array_equal(columns, np.arange(source.neurons))
    usable = isinstance(values, np.ndarray) and not source.neurons_first
    if usable and is_all and not writable and values.dtype == np.float32:  # type: ignore[attr-defined]
        return np.asarray(values)
    traces = new_array((source.frames, columns.size))
    if source.read_into is not None:
        source.read_into(traces, columns, progress)
    elif source.neurons_first:
        _by_neurons(source, columns, traces, progress)
    else:
        _by_frames(source, columns, traces, progress)
    return traces


def new_array(shape: tuple[int, int]) -> Traces:
    """float32, in memory if it is less than half of what is free, else in a file that goes with
    the process.
    """
    size = 4 * shape[0] * shape[1]
    if size <= MEMORY_SHARE * free_memory_bytes():
        return np.empty(shape, np.float32)
    from zapdeploy.recordings.cache import cache_folder

    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".traces.") as file:
            platforms.reserve(file.fileno(), size)
            return np.memmap(file, np.float32, "r+", shape=shape)
    except OSError as error:
        raise UsageError(
            f"cache folder '{folder}' must have room for {size / 1e9:.1f} GB, which is more than "
            f"half of the free memory, not refuse it: {error.strerror}; set ZAPDEPLOY_CACHE, or "
            "take fewer neurons: --neurons N"
        ) from None


def free_memory_bytes() -> int:
    """What the machine could give to a process; 4 GiB where it does not say."""
    return platforms.available_memory_bytes() or 4 * 2**30


def _by_neurons(
    source: Source, columns: NDArray[np.int64], traces: Traces, progress: Progress
) -> None:
    """From [neurons, frames]: blocks of neurons, of which those asked for are kept."""
    step = max(1, BLOCK_BYTES // (8 * source.frames))
    for start in range(0, source.neurons, step):
        stop = min(start + step, source.neurons)
        wanted = np.flatnonzero((columns >= start) & (columns < stop))
        if wanted.size:
            block = _read(source, slice(start, stop), slice(0, source.frames))
            traces[:, wanted] = block[columns[wanted] - start].T
        progress(READING, stop, source.neurons)


def _by_frames(
    source: Source, columns: NDArray[np.int64], traces: Traces, progress: Progress
) -> None:
    """From [frames, neurons]: blocks of frames, of the range of neurons that is asked for."""
    low, high = int(columns.min()), int(columns.max()) + 1
    step = max(1, BLOCK_BYTES // (8 * (high - low)))
    straight = np.array_equal(columns, np.arange(low, high))
    for start in range(0, source.frames, step):
        stop = min(start + step, source.frames)
        block = _read(source, slice(start, stop), slice(low, high))
        traces[start:stop] = block if straight else block[:, columns - low]
        progress("reading frames", stop, source.frames)


def _read(source: Source, rows: slice, columns: slice) -> NDArray[np.float32]:
    try:
        block = np.asarray(source.values[rows, columns])
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        known = source.description
        what = f"array {known.array} " if known.array else "array "
        raise DataError(
            f"{what}must be readable, not damaged: {_line(error)} ({known.source}); copy it again, "
            "or install the package of its codec (HDF5: hdf5plugin)"
        ) from None
    if block.dtype.kind not in "fiub":
        raise DataError(
            f"traces must be numbers, not {block.dtype} ({source.description.source}); give the "
            "array of activity: --path"
        )
    return block.astype(np.float32, copy=False)


def _line(error: Exception) -> str:
    return " ".join((str(error).strip() or type(error).__name__).split())[:200]
