"""NumPy's .npy: one array, mapped, not read."""

from __future__ import annotations

import numpy as np

from zapdeploy.errors import DataError
from zapdeploy.recordings.options import ReadOptions
from zapdeploy.recordings.places import Place
from zapdeploy.recordings.source import Source, described

NAME = "npy"


def claims(place: Place) -> bool:
    return place.is_file and place.ends_with(".npy")


def read(place: Place, options: ReadOptions) -> Source:
    return described(map_array(place), place.location, NAME, options)


def map_array(place: Place) -> np.ndarray:
    """The array as a memory map, of numbers only."""
    try:
        return np.load(place.local, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(
            f".npy file must hold one array of numbers, not be unreadable: {error} "
            f"({place.location}); save it again with numpy.save"
        ) from None
