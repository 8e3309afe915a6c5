"""A recording and a connectome brought together: matched by identity, neurons in one order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import Floats
from zapdeploy.connectomes.connectome import Connectome
from zapdeploy.connectomes.matching import Matched, match
from zapdeploy.connectomes.ordering import ordering
from zapdeploy.errors import DataError
from zapdeploy.forecasters.wiring import WiredOptions, Wiring
from zapdeploy.recordings.loading import BLOCK_BYTES, new_array
from zapdeploy.recordings.recording import Recording


def wire_recording(
    recording: Recording, connectome: Connectome, options: WiredOptions, method: str | None = None
) -> tuple[Recording, Wiring, Matched]:
    """The recording with its neurons in an order in which the edges gather in blocks, and the
    wiring in the same order. The columns that a forecaster is trained on say which neuron is which.

    method: of the ordering (`zapdeploy.connectomes.ordering`). Raises DataError where nothing of
    the connectome was recorded, or the axes are swapped.
    """
    frames, wanted = len(recording.traces), connectome.neurons
    if recording.neurons != wanted == frames and recording.columns is None:
        raise DataError(
            f"recording must have the connectome's {wanted:,} neurons along its second axis, not "
            f"{recording.neurons:,} neurons and {frames:,} frames ({recording.source}); give --axes"
        )
    columns = np.arange(recording.neurons) if recording.columns is None else recording.columns
    names = recording.description.neuron_ids
    matched = match(connectome, names, columns.tolist(), recording.source)
    order = ordering(matched.wiring, method).order
    known = recording.description
    places = known.positions
    ordered = replace(
        recording,
        traces=_reordered(recording.traces, order),
        columns=columns[order],
        description=replace(
            known,
            neuron_ids=None if names is None else tuple(names[i] for i in order),
            positions=None if places is None else tuple(places[i] for i in order),
        ),
    )
    return ordered, Wiring(matched.wiring.chosen(order), options), matched


def _reordered(traces: Floats, order: NDArray[np.int64]) -> Floats:
    """Columns in another order, block by block, in memory or on disk."""
    if np.array_equal(order, np.arange(order.size)):
        return traces
    found = new_array((len(traces), order.size))
    step = max(1, BLOCK_BYTES // (4 * order.size))
    for start in range(0, len(traces), step):
        found[start : start + step] = traces[start : start + step, order]
    return found
