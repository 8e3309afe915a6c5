"""Traces from where they are into memory, once: tile by tile, with nothing else held.

What is in a form that can be used as it is (a .npy file of float32, time first) is mapped, and
what is larger than half of the memory that is free goes to a file in the cache folder, mapped too,
and gone when the process ends: a recording of any size is trained on from disk.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from zapdeploy import platforms
from zapdeploy.arrays import Floats
from zapdeploy.errors import DataError, UsageError
from zapdeploy.progress import Progress
from zapdeploy.recordings.source import Source

BLOCK_BYTES = 64 * 2**20
MEMORY_SHARE = 0.5
READING = "reading the recording, parts"


def load_traces(
    source: Source, columns: NDArray[np.int64], progress: Progress, *, writable: bool
) -> Floats:
    """The columns as float32 [frames, neurons], in the order given. writable: a copy of their own
    that may be changed.
    """
    values = source.values
    is_all = np.array_equal(columns, np.arange(source.neurons))
    usable = isinstance(values, np.ndarray) and not source.neurons_first
    if usable and is_all and not writable and values.dtype == np.float32:  # type: ignore[attr-defined]
        return np.asarray(values)
    traces = new_array((source.frames, columns.size))
    _in_tiles(source, columns, traces, progress)
    return traces


def new_array(shape: tuple[int, int]) -> Floats:
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


def _in_tiles(
    source: Source, columns: NDArray[np.int64], traces: Floats, progress: Progress
) -> None:
    """Tile by tile, so that no chunk of the file is read or unpacked twice."""
    first = source.neurons_first
    spans = [(0, source.frames), (int(columns.min()), int(columns.max()) + 1)]
    parts = tiles(spans[::-1] if first else spans, getattr(source.values, "chunks", None))
    for done, part in enumerate(parts):
        neurons, frames = part if first else part[::-1]
        wanted = np.flatnonzero((columns >= neurons.start) & (columns < neurons.stop))
        if wanted.size:
            block = _read(source, *part)
            chosen = _as_slice(columns[wanted] - neurons.start)
            traces[frames, _as_slice(wanted)] = (block.T if first else block)[:, chosen]
        progress(READING, done + 1, len(parts))


def tiles(
    spans: Sequence[tuple[int, int]], chunks: tuple[int, int] | None
) -> list[tuple[slice, slice]]:
    """Rectangles that cover two axes from start to stop, each of whole chunks and of about
    BLOCK_BYTES at 8 bytes a value; None: rows are stored one after another.
    """
    height, width = (1, max(1, spans[1][1])) if chunks is None else chunks
    most = BLOCK_BYTES // 8
    wide = width * max(1, most // (height * width))
    wide = min(wide, -(-spans[1][1] // width) * width)
    high = height * max(1, most // (height * wide))
    return [(rows, columns) for columns in _cut(*spans[1], wide) for rows in _cut(*spans[0], high)]


def _cut(start: int, stop: int, step: int) -> list[slice]:
    """From start to stop, cut at the multiples of step."""
    edges = [start, *range((start // step + 1) * step, stop, step), stop]
    return [slice(low, high) for low, high in pairwise(edges)]


def _as_slice(places: NDArray[np.int64]) -> slice | NDArray[np.int64]:
    """The same places; as a slice, which is read faster, where they follow one another."""
    start = int(places[0])
    straight = np.array_equal(places, np.arange(start, start + places.size))
    return slice(start, start + places.size) if straight else places


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
