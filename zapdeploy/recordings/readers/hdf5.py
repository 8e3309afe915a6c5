"""HDF5 files: any data set of two axes, by --path. Over HTTPS too, read in parts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from zapdeploy.errors import DataError
from zapdeploy.recordings.extras import need
from zapdeploy.recordings.options import ReadOptions
from zapdeploy.recordings.places import Place
from zapdeploy.recordings.readers.arrays import choose_array
from zapdeploy.recordings.source import Source, described

NAME = "HDF5"
ENDINGS = (".h5", ".hdf5", ".hdf", ".he5")


def claims(place: Place) -> bool:
    return place.is_hdf5 or place.ends_with(*ENDINGS)


def read(place: Place, options: ReadOptions) -> Source:
    file = open_hdf5(place)
    shapes = data_sets(file)
    chosen = choose_array(shapes, options.path, place.location, "HDF5 file")
    check_stored(file[chosen], f"{place.location}, {chosen}")
    rate = _rate(file, file[chosen])
    return described(file[chosen], place.location, NAME, options, array=chosen, frame_rate_hz=rate)


def open_hdf5(place: Place) -> Any:
    """The file, for reading; it stays open as long as something of it is held."""
    need("h5py", place.location)
    import h5py

    _codecs()
    try:
        if place.path is not None:
            return h5py.File(place.path, "r")
        return h5py.File(_remote(place.location), "r")
    except OSError as error:
        line = " ".join(str(error).split())[:160]
        raise DataError(
            f"file must be HDF5, not refused: {line} ({place.location}); check that it is whole"
        ) from None


def data_sets(file: Any) -> Mapping[str, tuple[int, ...]]:
    """Shapes of all data sets of numbers, by path."""
    import h5py

    found: dict[str, tuple[int, ...]] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiub":
            found[name] = item.shape

    file.visititems(note)
    return found


def check_stored(values: Any, where: str) -> None:
    """Raise DataError where a large data set is as good as empty; other values are left alone."""
    from zapdeploy.recordings.stores import LARGE_BYTES, refuse_hollow

    if getattr(values, "chunks", None) is None or not hasattr(values, "id"):
        return
    if values.size * values.dtype.itemsize >= LARGE_BYTES:
        count = math.prod(-(-n // c) for n, c in zip(values.shape, values.chunks, strict=True))
        refuse_hollow(values.id.get_num_chunks(), count, values.shape, where)


def _codecs() -> None:
    """Make the usual codecs known, where their package is there."""
    try:
        import hdf5plugin  # noqa: F401
    except ModuleNotFoundError:
        return


def _remote(location: str) -> Any:
    """A file over HTTPS, read in blocks as they are asked for."""
    need("fsspec", location)
    need("aiohttp", location)
    import fsspec

    from zapdeploy.recordings.stores import check_reachable

    check_reachable(location)
    try:
        return fsspec.open(location, "rb", block_size=4 * 2**20).open()
    except (OSError, ValueError) as error:
        line = " ".join(str(error).split())[:160]
        raise DataError(
            f"file must be readable over the network, not refused: {line} ({location}); check the "
            "address, or give a copy"
        ) from None


def _rate(file: Any, data: Any) -> float | None:
    """What attributes of the file or of the data set say."""
    for holder in (data, data.parent, file):
        for name in ("frame_rate", "fs", "rate", "sampling_rate", "fps"):
            value = holder.attrs.get(name)
            if value is not None:
                try:
                    return float(value)
                except (TypeError, ValueError):
                    continue
    return None
