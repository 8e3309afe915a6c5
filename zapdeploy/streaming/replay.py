"""A recording played back as if the experiment were running."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import UsageError
from zapdeploy.streaming.messages import MONOTONIC, Frame
from zapdeploy.streaming.transport.base import EndOfStreamError


@dataclass
class Replay:
    """Frame i of traces [frames, neurons] is there i / (rate x pace) seconds after the first.

    pace: 1 as it was recorded, 10 ten times as fast, 0 as fast as frames are asked for.
    """

    traces: NDArray[Any]
    frame_rate_hz: float
    pace: float = 1.0
    clock_ns: Callable[[], int] = time.monotonic_ns
    sleep: Callable[[float], None] = time.sleep
    _next: int = 0
    _began_ns: int | None = field(default=None)

    def __post_init__(self) -> None:
        if not 0 <= self.pace < float("inf"):
            raise UsageError(f"--pace must be 0 or more, not {self.pace:g}")

    def receive(self, timeout_s: float) -> Frame | None:
        """The next frame when its time has come; None if that is later than the timeout."""
        if self._next == len(self.traces):
            raise EndOfStreamError
        now = self.clock_ns()
        if self._began_ns is None:
            self._began_ns = now
        due = now
        if self.pace:
            due = self._began_ns + round(self._next * 1e9 / (self.frame_rate_hz * self.pace))
            if due - now > timeout_s * 1e9:
                self.sleep(timeout_s)
                return None
            if due > now:
                self.sleep((due - now) * 1e-9)
        number, self._next = self._next, self._next + 1
        values = np.asarray(self.traces[number])
        return Frame(number, values, self.clock_ns(), due, MONOTONIC)

    def close(self) -> None:
        """Nothing is held open."""
