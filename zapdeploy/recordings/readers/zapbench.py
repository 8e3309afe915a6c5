"""ZAPBench's layout: `traces`, `stimuli_features`, and the benchmark's own conditions.

The public bucket, a copy of it, or the synthetic recording, which has the same arrays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import DataError
from zapdeploy.recordings import stores
from zapdeploy.recordings.conditions import Condition
from zapdeploy.recordings.description import Description
from zapdeploy.recordings.options import ReadOptions
from zapdeploy.recordings.places import Place
from zapdeploy.recordings.source import Computed, Covariates, Source
from zapdeploy.recordings.zapbench import (
    CONDITIONS,
    FRAME_PERIOD_S,
    STIMULI,
    STIMULI_FEATURES,
    TRACES,
)

NAME = "ZAPBench"


def claims(place: Place) -> bool:
    if place.path is not None:
        return place.has(TRACES, STIMULI_FEATURES)
    if not place.location.startswith(("gs://", "memory://", "http://", "https://")):
        return False
    if place.ends_with(".nwb", ".h5", ".hdf5", ".mat", ".zarr"):
        return False
    stores.check_reachable(place.location)
    return stores.has_store(place.location, TRACES)


def read(
    place: Place, options: ReadOptions, conditions: tuple[Condition, ...] = CONDITIONS
) -> Source:
    location = place.location
    stores.check_reachable(location)
    store = stores.open_store(location, TRACES)
    where = f"{location}, {TRACES}"
    features = stores.read_store(
        stores.open_store(location, STIMULI_FEATURES), f"{location}, {STIMULI_FEATURES}"
    )
    check_shapes(tuple(store.shape), features.shape, conditions, location)
    stimuli = np.nan_to_num(features.astype(np.float32))

    def values(rows: slice, columns: slice) -> NDArray[np.float32]:
        return stores.read_store(store[rows, columns], where)

    frames, neurons = store.shape
    names = tuple(f"stimulus {index}" for index in range(stimuli.shape[1]))
    return Source(
        Computed((frames, neurons), values, stores.chunks_of(store)),
        neurons_first=False,
        description=Description(
            source=location,
            format=NAME,
            frames=frames,
            neurons=neurons,
            array=TRACES,
            frame_rate_hz=options.frame_rate_hz or 1 / FRAME_PERIOD_S,
            unit=options.unit or "dF/F",
            processing=("dF/F with the running 8th percentile, clipped to [-0.25, 1.5]",),
        ),
        covariates=Covariates(stimuli, names, (True,) * len(names)),
        conditions=conditions,
    )


def check_shapes(
    traces: tuple[int, ...],
    stimuli: tuple[int, ...],
    conditions: tuple[Condition, ...],
    where: str,
) -> None:
    """Raise DataError unless traces and stimuli are as long as the conditions."""
    frames = conditions[-1].blocks[-1][1]
    if len(traces) == 2 and traces[0] != frames and traces[1] == frames:
        raise DataError(
            f"traces must be [{frames} frames, neurons], not {list(traces)} ({where}); "
            "neurons come first there: transpose the array"
        )
    if len(traces) != 2 or traces[0] != frames or traces[1] < 1:
        raise DataError(
            f"traces must be [{frames} frames, neurons], not {list(traces)} ({where}); "
            f"the conditions end at frame {frames}"
        )
    if stimuli != (frames, STIMULI):
        raise DataError(
            f"stimulus features must be [{frames} frames, {STIMULI}], not {list(stimuli)} "
            f"({where}); give those of the same recording"
        )
