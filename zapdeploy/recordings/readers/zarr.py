"""Zarr, versions 2 and 3, through TensorStore: an array, or one in a group, by --path.

Zarr leaves chunks out that hold nothing but the fill value, so a chunk that is not stored is read
as such.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from zapdeploy.errors import DataError
from zapdeploy.recordings import stores
from zapdeploy.recordings.options import ReadOptions
from zapdeploy.recordings.places import Place
from zapdeploy.recordings.readers.arrays import choose_array
from zapdeploy.recordings.source import Computed, Source, described

NAME = "zarr"
METADATA = ("zarr.json", ".zarray", ".zgroup")
RATES = ("frame_rate", "fs", "rate", "sampling_rate", "fps")


def claims(place: Place) -> bool:
    if place.is_folder:
        return any((place.local / name).is_file() for name in METADATA) or bool(
            _inside(place.local)
        )
    return place.path is None and not place.ends_with(".nwb", ".h5", ".hdf5", ".mat")


def read(place: Place, options: ReadOptions) -> Source:
    name = _chosen(place, options)
    stores.check_reachable(place.location)
    store = stores.open_store(place.location, name, fill_missing=True)
    stores.check_stored(store, place.location, name)
    where = f"{place.location}{name and ', '}{name}"

    def values(rows: slice, columns: slice) -> NDArray[Any]:
        return stores.read_store(store[rows, columns], where)

    rate = _rate(place.local / name) if place.path is not None else None
    return described(
        Computed(tuple(store.shape), values, stores.chunks_of(store)),
        place.location,
        NAME,
        options,
        neurons_first=_named_axes(store),
        array=name,
        frame_rate_hz=rate,
    )


def _chosen(place: Place, options: ReadOptions) -> str:
    """The array's path in a group; empty where the place is the array itself."""
    if not place.is_folder:
        return (options.path or "").strip("/")
    if _is_array(place.local):
        if options.path is not None:
            raise DataError(
                f"--path must be left out, not '{options.path}': {place.location} is an array"
            )
        return ""
    return choose_array(_inside(place.local), options.path, place.location, "zarr group")


def _is_array(folder: Path) -> bool:
    return (folder / ".zarray").is_file() or _document(folder / "zarr.json").get(
        "node_type"
    ) == "array"


def _inside(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays of a group, by path, at most three folders deep."""
    found = {}
    for pattern in ("*", "*/*", "*/*/*"):
        for name in (".zarray", "zarr.json"):
            for file in sorted(folder.glob(f"{pattern}/{name}")):
                document = _document(file)
                if name == ".zarray" or document.get("node_type") == "array":
                    path = file.parent.relative_to(folder).as_posix()
                    found[path] = tuple(document.get("shape", ()))
    return found


def _document(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _named_axes(store: Any) -> bool | None:
    """Whether neurons come first by the names that version 3 gives to axes."""
    labels = [label.lower() for label in store.domain.labels]
    times = {"t", "time", "frame", "frames"}
    if len(labels) == 2 and (labels[0] in times) != (labels[1] in times):
        return labels[1] in times
    return None


def _rate(folder: Path) -> float | None:
    attributes = _document(folder / ".zattrs")
    attributes |= _document(folder / "zarr.json").get("attributes", {})
    found = next((attributes[name] for name in RATES if name in attributes), None)
    return float(found) if isinstance(found, int | float) else None
