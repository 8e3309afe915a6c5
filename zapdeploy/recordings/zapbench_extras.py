"""Arrays that ZAPBench brings beside its traces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import DataError
from zapdeploy.recordings import stores
from zapdeploy.recordings.description import Description
from zapdeploy.recordings.loading import load_traces
from zapdeploy.recordings.readers.zapbench import NAME
from zapdeploy.recordings.source import Computed, Source
from zapdeploy.recordings.zapbench import POSITION_EMBEDDING, POSITIONS, STIMULUS_RESPONSE


def read_positions(data: str, columns: NDArray[np.int64]) -> NDArray[np.float32]:
    """The position embedding of these neurons: float32 [neurons, 192]."""
    where = f"{data}, {POSITION_EMBEDDING}"
    store = stores.open_store(data, POSITION_EMBEDDING)
    if store.rank != 2 or store.shape[1] != POSITIONS or store.shape[0] <= int(columns.max()):
        raise DataError(
            f"position embedding must be [neurons, {POSITIONS}], not {list(store.shape)} ({where})"
        )
    return stores.read_store(store[columns], where).astype(np.float32)


def read_response(data: str, columns: NDArray[np.int64]) -> NDArray[np.float32]:
    """The stimulus-evoked response that a recording brings: float32 [frames, neurons]."""
    store = stores.open_store(data, STIMULUS_RESPONSE)
    where = f"{data}, {STIMULUS_RESPONSE}"
    frames, neurons = (int(size) for size in store.shape)
    values = Computed(
        (frames, neurons),
        lambda rows, part: stores.read_store(store[rows, part], where),
        stores.chunks_of(store),
    )
    source = Source(values, False, Description(data, NAME, frames, neurons, STIMULUS_RESPONSE))
    return load_traces(source, columns, lambda what, done, total: None, writable=False)
