"""One file for each format. `FORMATS` is asked in order: the first that claims a place reads it.

A format has a NAME, `claims(place)`, quick and without reading much, and `read(place, options)`,
which raises DataError with one line when the place is not what it seems.
"""

from __future__ import annotations

from typing import Protocol

from zapdeploy.errors import DataError, ZapdeployError
from zapdeploy.recordings.options import ReadOptions
from zapdeploy.recordings.places import Place
from zapdeploy.recordings.readers import (
    caiman,
    hdf5,
    matlab,
    npy,
    npz,
    nwb,
    suite2p,
    table,
    zapbench,
    zarr,
)
from zapdeploy.recordings.source import Source
from zapdeploy.text import one_line


class Format(Protocol):
    """What a reader's module has."""

    NAME: str

    def claims(self, place: Place) -> bool: ...

    def read(self, place: Place, options: ReadOptions) -> Source: ...


FORMATS: tuple[Format, ...] = (
    zapbench,
    suite2p,
    nwb,
    caiman,
    matlab,
    zarr,
    hdf5,
    npy,
    npz,
    table,
)
KNOWN = (
    "ZAPBench's arrays, suite2p, NWB (.nwb), CaImAn (.hdf5), zarr, HDF5 (.h5), MATLAB (.mat), "
    ".npy, .npz, .csv, .parquet"
)


def read_source(location: str, options: ReadOptions) -> Source:
    """What a path or URL holds. Raises DataError when no reader knows it."""
    place = Place(location)
    place.check()
    for form in FORMATS:
        found = _read(form, place, options)
        if found is not None:
            return found
    raise DataError(f"data must be of a known format, not {place.holds} ({location}); give {KNOWN}")


def _read(form: Format, place: Place, options: ReadOptions) -> Source | None:
    """What the place holds; None where it is of another format."""
    try:
        return form.read(place, options) if form.claims(place) else None
    except (ZapdeployError, MemoryError):
        raise
    except Exception as error:  # damage has no type of its own in the libraries that read a format
        reason = one_line(str(error) or type(error).__name__, 200)
        raise DataError(
            f"recording must be a sound file of its format ({form.NAME}), not unreadable: {reason} "
            f"({place.location}); copy or save it again"
        ) from error
