"""A forecaster that runs: it is given a frame at a time and answers with the frames to come."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import Floats
from zapdeploy.errors import DataError
from zapdeploy.streaming.engines import CPU, Engine, open_engine


class Forecaster:
    """A trained forecaster with the context that it has seen so far.

        forecaster = Forecaster("tsmixer-int8.onnx")
        forecast = forecaster.push(frame)   # [neurons] -> [horizon, neurons]; None until full

    model: an .onnx file, a .zap file, or a folder from `zapdeploy train`. engine: "cpu" or "gpu"
    (ONNX Runtime), "northpole-sim" (the functional simulator: the chip's values to the bit, at this
    computer's speed). What the file leaves to the host is done here, as `evaluate` does it: the
    same values, to the bit. Raises ZapdeployError for a model that is no forecaster.

    No memory is taken for each frame: the forecast that is returned is overwritten by the next.
    """

    def __init__(self, model: str | Path, *, engine: str = CPU, threads: int | None = None) -> None:
        self._engine: Engine = open_engine(Path(model), engine, threads)
        context, neurons = self._engine.context, self._engine.neurons
        # Every frame stands here twice, so that the last `context` of them lie in one piece.
        self._ring: Floats = np.zeros((2 * context, neurons), np.float32)
        self._place = self._seen = 0
        self.marks_ns = [0] * 4  # begin, window ready, engine asked, engine answered

    @property
    def engine(self) -> Engine:
        """What runs the network."""
        return self._engine

    @property
    def context(self) -> int:
        """Frames that a forecast is made from."""
        return self._engine.context

    @property
    def horizon(self) -> int:
        """Frames that a forecast has."""
        return self._engine.horizon

    @property
    def neurons(self) -> int:
        """How many neurons a frame has."""
        return self._engine.neurons

    @property
    def ready(self) -> bool:
        """Whether enough frames have been seen for a forecast."""
        return self._seen >= self.context

    def push(self, frame: NDArray[np.generic], covariates: Floats | None = None) -> Floats | None:
        """Take a frame [neurons] in and forecast; None until `context` frames have been seen.

        covariates: [horizon, covariates] of the frames to come, where the network reads some.
        Raises DataError for a frame of another size.
        """
        self.marks_ns[0] = time.monotonic_ns()
        self.keep(frame)
        return self.forecast(covariates) if self.ready else None

    def keep(self, frame: NDArray[np.generic]) -> None:
        """Take a frame in without a forecast."""
        if frame.shape != (self.neurons,):
            raise DataError(f"frame must be [{self.neurons} neurons], not {list(frame.shape)}")
        context = self.context
        self._place = (self._place + 1) % context
        np.copyto(self._ring[self._place], frame, casting="unsafe")
        self._ring[self._place + context] = self._ring[self._place]
        self._seen += 1

    def forecast(self, covariates: Floats | None = None) -> Floats:
        """The forecast [horizon, neurons] from the frames seen. Raises DataError while too few."""
        if not self.ready:
            raise DataError(
                f"forecast must wait for {self.context} frames, not be asked after {self._seen}"
            )
        first = self._place + 1
        window = self._ring[first : first + self.context][None]
        self.marks_ns[1] = time.monotonic_ns()
        found = self._engine.run(window, covariates)
        self.marks_ns[2:] = self._engine.marks_ns
        return found[0]

    def reset(self) -> None:
        """Forget all frames."""
        self._place = self._seen = 0
