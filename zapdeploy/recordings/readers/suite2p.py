"""suite2p's folder: F.npy, Fneu.npy, iscell.npy, ops.npy (or stat.npy), of one plane.

Read are the ROIs that are cells, F - 0.7 Fneu as suite2p's own defaults have it (Pachitariu et al.
2017, "neucoeff"). A folder above, with plane0 in it, is read as that plane, or as `combined`.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import DataError
from zapdeploy.recordings.options import ReadOptions
from zapdeploy.recordings.places import Place
from zapdeploy.recordings.source import Computed, Source, described, with_description

NAME = "suite2p"
NEUROPIL = 0.7
FILES = ("F.npy", "iscell.npy")


def claims(place: Place) -> bool:
    return _plane(place) is not None or place.has("ops.npy") or place.has("stat.npy")


def read(place: Place, options: ReadOptions) -> Source:
    folder = _plane(place)
    if folder is None or not (folder / "F.npy").is_file():
        raise DataError(
            f"folder of suite2p must hold F.npy, not {place.holds} ({place.location}); give the "
            "folder of a plane, such as suite2p/plane0"
        )
    traces = _load(folder, "F.npy")
    count, frames = traces.shape
    cells = _cells(folder, count, options)
    if not cells.size:
        raise DataError(
            f"iscell.npy must mark at least one cell, not none of {count} ({folder}); curate it, "
            "or take all: --all-rois"
        )
    share = NEUROPIL if options.neuropil is None else options.neuropil
    neuropil = _load(folder, "Fneu.npy") if share and (folder / "Fneu.npy").is_file() else None
    if neuropil is not None and neuropil.shape != traces.shape:
        raise DataError(
            f"Fneu.npy must be {list(traces.shape)} as F.npy is, not {list(neuropil.shape)} "
            f"({folder}); run suite2p's extraction again"
        )

    def values(rows: slice, columns: slice) -> NDArray[np.float32]:
        chosen = cells[rows]
        block = np.asarray(traces[chosen, columns], np.float32)
        if neuropil is not None:
            block = block - np.float32(share) * np.asarray(neuropil[chosen, columns], np.float32)
        return block

    source = described(
        Computed((cells.size, frames), values),
        place.location,
        NAME,
        options,
        neurons_first=True,
        array="F",
        unit="fluorescence",
        frame_rate_hz=_rate(folder),
    )
    steps = [
        "all ROIs" if options.all_rois else f"{cells.size} of {count} ROIs that are cells (iscell)",
        f"neuropil subtracted: F - {share:g} Fneu" if neuropil is not None else "",
    ]
    return with_description(
        source,
        processing=(*source.description.processing, *filter(None, steps)),
        neuron_ids=tuple(map(str, cells.tolist())),
        **_positions(folder, cells, count),
    )


def _plane(place: Place) -> Path | None:
    """The folder that has the traces: this one, or the plane in it."""
    if place.has("F.npy"):
        return place.local
    if not place.is_folder:
        return None
    tried = [place.local / part for part in ("combined", "plane0", "suite2p/combined",
                                             "suite2p/plane0")]  # fmt: skip
    return next((folder for folder in tried if (folder / "F.npy").is_file()), None)


def _load(folder: Path, name: str) -> NDArray[Any]:
    try:
        found = np.load(folder / name, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(
            f"{name} must be an array of numbers, not unreadable: {error} ({folder}); run suite2p "
            "again"
        ) from None
    if name != "iscell.npy" and found.ndim != 2:
        raise DataError(f"{name} must be [ROIs, frames], not {list(found.shape)} ({folder})")
    return found


def _cells(folder: Path, count: int, options: ReadOptions) -> NDArray[np.int64]:
    """Numbers of the ROIs that are read."""
    if options.all_rois or not (folder / "iscell.npy").is_file():
        return np.arange(count)
    marks = np.asarray(_load(folder, "iscell.npy"))
    if len(marks) != count:
        raise DataError(
            f"iscell.npy must have a row for each of F.npy's {count} ROIs, not {len(marks)} "
            f"({folder}); give files of one run"
        )
    return np.flatnonzero((marks[:, 0] if marks.ndim == 2 else marks) > 0)


class _Plain(pickle.Unpickler):
    """Reads suite2p's pickled dictionaries of numbers and arrays, and nothing that could run."""

    allowed = frozenset(
        {
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy.core.multiarray", "scalar"),
            ("numpy._core.multiarray", "scalar"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self.allowed:
            return super().find_class(module, name)
        if module.startswith("numpy") and name in ("_frombuffer",):
            return super().find_class(module, name)
        return _Opaque


class _Opaque:
    """In the place of an object that is not read, such as a path or a date."""

    def __new__(cls, *_: Any, **__: Any) -> _Opaque:
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Nothing is kept."""


def read_pickled(path: Path) -> Any:
    """An .npy file of pickled dictionaries, read without executing anything; None if it is none."""
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
            return _Plain(file).load()
    except Exception:  # whatever is wrong with it, it says nothing that is needed
        return None


def _rate(folder: Path) -> float | None:
    """The volume rate that ops.npy (a pickled dictionary) or settings.npy states."""
    for name in ("ops.npy", "settings.npy"):
        found = _item(read_pickled(folder / name))
        if isinstance(found, dict) and isinstance(found.get("fs"), int | float):
            rate = float(found["fs"])
            return rate if rate > 0 else None
    return None


def _positions(folder: Path, cells: NDArray[np.int64], count: int) -> dict[str, Any]:
    """Centres of the ROIs in pixels, from stat.npy (pickled dictionaries with "med": y, x)."""
    stat = read_pickled(folder / "stat.npy")
    items = list(np.ravel(stat)) if isinstance(stat, np.ndarray) else stat
    if not isinstance(items, list) or len(items) != count:
        return {}
    try:
        centres = [items[cell]["med"] for cell in cells]
        found = tuple((float(x), float(y)) for y, x in centres)
    except (KeyError, TypeError, ValueError):
        return {}
    return {"positions": found, "position_unit": "pixel"}


def _item(found: Any) -> Any:
    """The dictionary in an array of no axes."""
    return found.item() if isinstance(found, np.ndarray) and found.ndim == 0 else found
