"""NumPy's .npz: several arrays by name."""

from __future__ import annotations

from zapdeploy.arrays import load_arrays
from zapdeploy.recordings.options import ReadOptions
from zapdeploy.recordings.places import Place
from zapdeploy.recordings.readers.arrays import choose_array
from zapdeploy.recordings.source import Source, described

NAME = "npz"


def claims(place: Place) -> bool:
    return place.is_file and place.ends_with(".npz")


def read(place: Place, options: ReadOptions) -> Source:
    arrays = load_arrays(place.local)
    shapes = {name: value.shape for name, value in arrays.items()}
    chosen = choose_array(shapes, options.path, place.location)
    return described(arrays[chosen], place.location, NAME, options, array=chosen)
