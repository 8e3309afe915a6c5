"""Orbax checkpoints (Flax), read through TensorStore: neither JAX nor Orbax is needed.

Orbax keeps every array as a zarr array under its path in the tree, joined by dots
("params.block0.FeatureMix_0.Dense_0.kernel"), either in one OCDBT store for the whole checkpoint or
in a folder for each array.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import DataError
from zapdeploy.recordings.stores import brief, tensorstore_and_context

OCDBT = "manifest.ocdbt"
SIGNS = (OCDBT, "_METADATA", "_CHECKPOINT_METADATA")
_DRIVERS = {".zarray": "zarr", "zarr.json": "zarr3"}


def find_orbax(folder: Path) -> Path | None:
    """The folder that holds a checkpoint's arrays: this one, or the one it has below it.

    A checkpoint manager writes STEP/default; of several steps the last is taken.
    """
    if not folder.is_dir():
        return None
    if (folder / OCDBT).is_file() or any(folder.glob("*/.zarray")):
        return folder
    steps = [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]
    numbered = sorted((p for p in steps if p.name.isdigit()), key=lambda p: int(p.name))
    named = [p for p in steps if p.name in ("default", "state", "params", "checkpoint")]
    for below in (*reversed(numbered), *named):
        found = find_orbax(below)
        if found is not None:
            return found
    return None


def read_orbax(folder: Path) -> dict[str, NDArray[Any]]:
    """The checkpoint's arrays by their path in the tree, joined by slashes; scalars left out."""
    base = {"driver": "file", "path": f"{folder.absolute()}/"}
    store = {"driver": "ocdbt", "base": base} if (folder / OCDBT).is_file() else base
    tensorstore, context = tensorstore_and_context()
    try:
        keys = tensorstore.KvStore.open(store, context=context).result().list().result()
        arrays = {}
        for key in sorted(key.decode() for key in keys):
            path, _, last = key.rpartition("/")
            if path and last in _DRIVERS:
                spec = {"driver": _DRIVERS[last], "kvstore": {**store, "path": f"{path}/"}}
                if store is base:
                    spec["kvstore"] = {**base, "path": f"{folder.absolute()}/{path}/"}
                opened = tensorstore.open(spec, context=context, open=True, read=True).result()
                arrays[path.replace(".", "/")] = np.asarray(opened.read().result())
    except (ValueError, OSError) as error:
        raise DataError(
            f"checkpoint must be a whole Orbax checkpoint, not unreadable: {brief(str(error))} "
            f"({folder}); copy it again"
        ) from error
    if not arrays:
        raise DataError(
            f"checkpoint must hold arrays, not none ({folder}); give the folder that Orbax wrote"
        )
    return {name: value for name, value in arrays.items() if value.ndim}
