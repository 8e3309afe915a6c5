"""MATLAB's .mat: version 5 through SciPy, 7.3 as the HDF5 that it is. suite2p's Fall.mat too."""

from __future__ import annotations

from typing import Any

import numpy as np

from zapdeploy.errors import DataError
from zapdeploy.recordings.options import ReadOptions
from zapdeploy.recordings.places import Place
from zapdeploy.recordings.readers.arrays import choose_array
from zapdeploy.recordings.readers.hdf5 import check_stored, data_sets, open_hdf5
from zapdeploy.recordings.source import Computed, Source, described

NAME = "MATLAB"
RATES = ("frame_rate", "fs", "framerate", "frameRate", "fps", "Fs", "sampling_rate")


def claims(place: Place) -> bool:
    return place.is_file and place.ends_with(".mat")


def read(place: Place, options: ReadOptions) -> Source:
    if place.is_hdf5:
        return _version_73(place, options)
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        found = loadmat(place.local, squeeze_me=False)
    except (MatReadError, ValueError, TypeError, OSError, NotImplementedError) as error:
        line = " ".join(str(error).split())[:160]
        raise DataError(
            f".mat file must be one that MATLAB saved, not unreadable: {line} ({place.location})"
        ) from None
    arrays = {
        name: value
        for name, value in found.items()
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub"
    }
    shapes = {name: a.shape for name, a in arrays.items() if a.size > 1 and 1 not in a.shape}
    chosen = choose_array(shapes, options.path, place.location, ".mat file")
    rate = next((float(arrays[n].ravel()[0]) for n in RATES if n in arrays), None)
    return described(
        arrays[chosen], place.location, NAME, options, array=chosen, frame_rate_hz=rate
    )


def _version_73(place: Place, options: ReadOptions) -> Source:
    """HDF5 holds MATLAB's arrays with their axes the other way round."""
    file = open_hdf5(place)
    shapes = {
        name: shape[::-1]
        for name, shape in data_sets(file).items()
        if not name.startswith("#refs#") and 1 not in shape
    }
    chosen = choose_array(shapes, options.path, place.location, ".mat file")
    data = file[chosen]
    check_stored(data, f"{place.location}, {chosen}")

    def values(rows: slice, columns: slice) -> Any:
        return np.asarray(data[columns, rows]).T

    rate = next((float(np.ravel(file[n])[0]) for n in RATES if n in file), None)
    return described(
        Computed(shapes[chosen], values, data.chunks and data.chunks[::-1]),
        place.location,
        NAME,
        options,
        array=chosen,
        frame_rate_hz=rate,
    )
