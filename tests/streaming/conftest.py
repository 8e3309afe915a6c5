"""Small forecasters, and sources and sinks in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("msgpack")

from zapdeploy.forecasters import export_model, sample_inputs
from zapdeploy.quantize import quantize_onnx
from zapdeploy.streaming.messages import Forecast, Frame
from zapdeploy.streaming.transport import EndOfStreamError

NEURONS = 16


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """time-mix at 4 and (with the normalisation on the host) 256 frames: float and int8."""
    place = tmp_path_factory.mktemp("streamed")
    for name in ("time-mix-c4", "time-mix-c256"):
        source, samples = place / f"{name}.onnx", sample_inputs(name, 8, neurons=NEURONS)
        export_model(name, source, neurons=NEURONS, revin=False)
        quantize_onnx(
            source, place / f"{name}-int8.onnx", weights=8, activations=8, calibration=samples
        )
    return place


@dataclass
class Listed:
    """Frames from a list; where an entry is an exception, it is raised."""

    entries: Iterable[Any]

    def __post_init__(self) -> None:
        self._left = iter(self.entries)
        self.closed = False

    def receive(self, timeout_s: float) -> Frame | None:
        entry = next(self._left, EndOfStreamError())
        if isinstance(entry, Exception):
            raise entry
        return entry

    def close(self) -> None:
        self.closed = True


@dataclass
class Kept:
    """Forecasts in a list."""

    got: list[Forecast] = field(default_factory=list)
    closed: bool = False

    def prepare(self, forecast: Forecast) -> Forecast:
        return Forecast(forecast.frame, forecast.values.copy(), forecast.latency_ns)

    def send(self, prepared: object) -> None:
        assert isinstance(prepared, Forecast)
        self.got.append(prepared)

    def close(self) -> None:
        self.closed = True


def activity(frames: int, seed: int = 0) -> np.ndarray:
    """Random activity float32 [frames, neurons]."""
    return np.random.default_rng(seed).uniform(-0.2, 1.2, (frames, NEURONS)).astype(np.float32)
