"""CaImAn's results in HDF5 (`cnmf.save`): estimates/F_dff, else estimates/C, [neurons, frames].

Accepted components alone are read where CaImAn has judged them (`estimates/idx_components`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import DataError
from zapdeploy.recordings.options import ReadOptions
from zapdeploy.recordings.places import Place
from zapdeploy.recordings.readers.hdf5 import check_stored, open_hdf5
from zapdeploy.recordings.source import Computed, Source, described, with_description

NAME = "CaImAn"
GROUP = "estimates"
SERIES = (("F_dff", "dF/F"), ("C", "a.u."))


def claims(place: Place) -> bool:
    if not place.is_hdf5:
        return False
    with open_hdf5(place) as file:
        return GROUP in file and any(name in file[GROUP] for name, _ in SERIES)


def read(place: Place, options: ReadOptions) -> Source:
    file = open_hdf5(place)
    group = file[GROUP]
    name, unit = _series(group, options, place.location)
    data = group[name]
    check_stored(data, f"{place.location}, {GROUP}/{name}")
    kept = _accepted(group, data.shape[0], options)

    def values(rows: slice, columns: slice) -> NDArray[Any]:
        chosen = kept[rows]
        low = int(chosen.min())
        block = np.asarray(data[low : int(chosen.max()) + 1, columns])
        return block[chosen - low]

    source = described(
        Computed((kept.size, data.shape[1]), values, data.chunks),
        place.location,
        NAME,
        options,
        neurons_first=True,
        array=f"{GROUP}/{name}",
        unit=unit,
        frame_rate_hz=_rate(file),
    )
    part = kept.size < data.shape[0]
    steps = (f"{kept.size} of {data.shape[0]} components that were accepted",) if part else ()
    return with_description(source, processing=steps, neuron_ids=tuple(map(str, kept.tolist())))


def _series(group: Any, options: ReadOptions, where: str) -> tuple[str, str]:
    wanted = None if options.path is None else options.path.strip("/").removeprefix(f"{GROUP}/")
    for name, unit in SERIES if wanted is None else ((wanted, dict(SERIES).get(wanted, "a.u.")),):
        found = group.get(name)
        if found is not None and len(getattr(found, "shape", ())) == 2 and min(found.shape) > 0:
            return name, unit
    there = ", ".join(n for n in group if len(getattr(group[n], "shape", ())) == 2) or "nothing"
    raise DataError(
        f"estimates must hold {wanted or 'F_dff or C'} [neurons, frames], not only {there} "
        f"({where}); run detrend_df_f and save again, or choose: --path NAME"
    )


def _accepted(group: Any, count: int, options: ReadOptions) -> NDArray[np.int64]:
    found = group.get("idx_components")
    if options.all_rois or found is None or found.shape == () or found.dtype.kind not in "iu":
        return np.arange(count)
    chosen = np.sort(np.asarray(found).ravel().astype(np.int64))
    return chosen if chosen.size and chosen.max() < count else np.arange(count)


def _rate(file: Any) -> float | None:
    found = file.get("params/data/fr")
    try:
        return None if found is None else float(np.asarray(found))
    except (TypeError, ValueError):
        return None
