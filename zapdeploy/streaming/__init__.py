"""Forecasts while the experiment runs: frames in, forecasts out, on time.

`forecaster.py` holds the context and calls an engine; `stream.py` is the loop between a source and
a sink; `troubles.py` decides what happens when frames are late, lost or wrong; `latency.py` keeps
the times. Sources and sinks are one file for each way of transport.
"""

from __future__ import annotations

from zapdeploy.streaming.forecaster import Forecaster
from zapdeploy.streaming.messages import Forecast, Frame, pack_frame, unpack_forecast
from zapdeploy.streaming.report import StreamOptions, StreamReport
from zapdeploy.streaming.stream import stream

__all__ = [
    "Forecast",
    "Forecaster",
    "Frame",
    "StreamOptions",
    "StreamReport",
    "pack_frame",
    "stream",
    "unpack_forecast",
]
