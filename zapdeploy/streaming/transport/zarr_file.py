"""Forecasts in a zarr 3 group on disk, one chunk for each, so that a killed stream keeps the rest.

`forecasts` float32 [n, horizon, neurons]; `frame` int64 [n], the last frame that each has seen;
`latency_ns` int64 [n]; `time_ns` int64 [n], the sender's stamp, -1 where there was none. Rows that
were never written have frame -1; a stream that ends well leaves none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from zapdeploy.errors import UsageError
from zapdeploy.streaming.extras import require
from zapdeploy.streaming.messages import Forecast
from zapdeploy.streaming.transport.base import LostError

_GROWTH = 1024  # rows that are made room for at a time
_GROUP = '{"zarr_format": 3, "node_type": "group", "attributes": {}}'


def open_array(path: Path, name: str) -> Any:
    """One array of such a group, for reading."""
    store = {"driver": "file", "path": str(path / name)}
    return require("tensorstore").open({"driver": "zarr3", "kvstore": store}).result()


class ZarrSink:
    """Writes each forecast as soon as it comes. The folder must not be there yet."""

    def __init__(self, path: Path, horizon: int, neurons: int) -> None:
        self._tensorstore = require("tensorstore")
        if path.exists():
            raise UsageError(f"sink must be a new folder, not '{path}', which is there; remove it")
        try:
            path.mkdir(parents=True)
            (path / "zarr.json").write_text(_GROUP)
            self._forecasts = self._create(path, "forecasts", "float32", (horizon, neurons), 1)
            self._frames = self._create(path, "frame", "int64", (), _GROWTH)
            self._latencies = self._create(path, "latency_ns", "int64", (), _GROWTH)
            self._times = self._create(path, "time_ns", "int64", (), _GROWTH)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"sink must be a folder that can be made, not '{path}': {error}"
            ) from None
        self._written = self._room = 0

    def _create(self, path: Path, name: str, dtype: str, inner: tuple[int, ...], rows: int) -> Any:
        metadata = {
            "shape": [0, *inner],
            "data_type": dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [rows, *inner]}},
            "fill_value": -1 if dtype == "int64" else 0.0,
        }
        store = {"driver": "file", "path": str(path / name)}
        spec = {"driver": "zarr3", "kvstore": store, "metadata": metadata}
        # What the operating system has taken survives a killed process; waiting for the disk would
        # cost tens of milliseconds a frame.
        context = self._tensorstore.Context({"file_io_sync": False})
        return self._tensorstore.open(spec, create=True, context=context).result()

    def prepare(self, forecast: Forecast) -> object:
        values = np.array(forecast.values)
        return Forecast(forecast.frame, values, forecast.latency_ns, forecast.time_ns)

    def send(self, prepared: object) -> None:
        assert isinstance(prepared, Forecast)
        row = self._written
        try:
            if row == self._room:
                self._resize(row + _GROWTH)
            self._forecasts[row].write(prepared.values).result()
            self._latencies[row].write(prepared.latency_ns).result()
            self._times[row].write(-1 if prepared.time_ns is None else prepared.time_ns).result()
            self._frames[row].write(prepared.frame).result()
        except (OSError, ValueError) as error:
            raise LostError(f"forecast cannot be written: {error!s:.120}") from None
        self._written += 1

    def _resize(self, rows: int) -> None:
        arrays = (self._forecasts, self._frames, self._latencies, self._times)
        self._forecasts, self._frames, self._latencies, self._times = (
            array.resize(exclusive_max=[rows, *array.shape[1:]]).result() for array in arrays
        )
        self._room = rows

    def close(self) -> None:
        if self._room != self._written:
            self._resize(self._written)
