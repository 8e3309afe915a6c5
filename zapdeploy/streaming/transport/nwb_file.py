"""Forecasts in an NWB file, for the experiment's archive.

HDF5 that is being written does not survive a killed process, so the forecasts go into a zarr group
beside it first (`NAME.nwb.zarr`), which is turned into the NWB file when the stream ends and then
removed. A killed stream leaves the group.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from zapdeploy.errors import UsageError
from zapdeploy.extras import load
from zapdeploy.files import replacing
from zapdeploy.streaming.messages import Forecast
from zapdeploy.streaming.transport.zarr_file import ZarrSink, open_array


class NWBSink:
    """Writes a processing module `forecasts` with one TimeSeries of that name.

    data: float32 [n, horizon, neurons]. timestamps: the sender's, in seconds, where every frame had
    one; else the frames' numbers. control: the last frame that each forecast has seen.
    """

    def __init__(self, path: Path, horizon: int, neurons: int) -> None:
        load("pynwb", "recordings", "write NWB files")
        if path.exists():
            raise UsageError(f"sink must be a new file, not '{path}', which is there; remove it")
        self._path, self._held = path, path.with_name(path.name + ".zarr")
        self._started = datetime.now(UTC)
        self._zarr = ZarrSink(self._held, horizon, neurons)

    def prepare(self, forecast: Forecast) -> object:
        return self._zarr.prepare(forecast)

    def send(self, prepared: object) -> None:
        self._zarr.send(prepared)

    def close(self) -> None:
        self._zarr.close()
        import pynwb

        frames = np.asarray(open_array(self._held, "frame"))
        if not len(frames):
            shutil.rmtree(self._held)
            return
        file = pynwb.NWBFile(
            session_description="forecasts of neural activity, by zapdeploy",
            identifier=str(uuid.uuid4()),
            session_start_time=self._started,
        )
        module = file.create_processing_module("forecasts", "what was forecast, frame by frame")
        module.add(_series(pynwb, self._held, frames))
        with replacing(self._path) as temporary, pynwb.NWBHDF5IO(str(temporary), "w") as writer:
            writer.write(file)
        shutil.rmtree(self._held)


def _series(pynwb: Any, held: Path, frames: np.ndarray) -> Any:
    from hdmf.data_utils import DataChunkIterator

    forecasts, times = open_array(held, "forecasts"), np.asarray(open_array(held, "time_ns"))
    stamped = bool((times >= 0).all() and (np.diff(times) > 0).all())
    return pynwb.TimeSeries(
        name="forecasts",
        description="[forecast, step ahead, neuron]; control is the last frame that was seen",
        data=DataChunkIterator(
            data=_rows(forecasts), maxshape=forecasts.shape, dtype=np.dtype("float32")
        ),
        unit="as the recording",
        timestamps=times * 1e-9 if stamped else frames.astype(np.float64),
        comments="timestamps: the sender's, in s" if stamped else "timestamps: frame numbers",
        control=frames.astype(np.uint64),
        control_description=["number of the last frame that was seen"],
    )


def _rows(array: Any) -> Iterator[np.ndarray]:
    """One forecast at a time: the whole may not fit in memory."""
    for row in range(array.shape[0]):
        yield np.asarray(array[row])
