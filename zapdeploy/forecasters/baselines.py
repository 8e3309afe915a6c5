"""Forecasts without training, which every trained forecaster has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import UsageError
from zapdeploy.recordings.conditions import HORIZON, Condition, Split
from zapdeploy.recordings.recording import Recording


@dataclass(frozen=True)
class MeanBaseline:
    """The mean of the last `window` frames of the context, for all 32 steps."""

    window: int = 4

    def __post_init__(self) -> None:
        if self.window < 1:
            raise UsageError(f"window must be at least 1 frame, not {self.window} (mean baseline)")

    def forecast(self, contexts: NDArray[np.float32]) -> NDArray[np.float32]:
        """contexts: [windows, context, neurons] -> [windows, 32, neurons]."""
        if contexts.shape[1] < self.window:
            raise UsageError(
                f"context must be at least {self.window} frames, not {contexts.shape[1]} "
                "(mean baseline); take a shorter window"
            )
        mean = contexts[:, -self.window :].mean(axis=1, keepdims=True)
        return np.repeat(mean, HORIZON, axis=1)


def stimulus_response(recording: Recording) -> NDArray[np.float32]:
    """Each neuron's mean response to the stimulus, repeated: float32 [frames, neurons].

    Averaged over the training frames at the same phase of the condition's cycle; over all training
    frames where a condition has no cycle. The held-out condition has no training frames: there, the
    frames before its test windows are taken.
    """
    response = np.empty_like(recording.traces)
    for condition in recording.conditions:
        _fill_response(response, recording.traces, condition)
    return response


def _fill_response(
    response: NDArray[np.float32], traces: NDArray[np.float32], condition: Condition
) -> None:
    known = _known_frames(condition)
    mean = traces[known.start : known.stop].mean(axis=0)
    cycle = condition.cycle or 1
    for phase in range(cycle):
        frames = [f for f in known if (f - condition.start) % cycle == phase]
        value = traces[frames].mean(axis=0) if frames else mean
        response[condition.start + phase : condition.stop : cycle] = value


def _known_frames(condition: Condition) -> range:
    if not condition.held_out:
        return condition.frames(Split.TRAIN, 1)
    test = condition.frames(Split.TEST, 1)
    return range(condition.start, test.start + 1)
