"""Forecasts without training, which every trained forecaster has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import Floats
from zapdeploy.errors import UsageError
from zapdeploy.recordings.conditions import Condition, Split, window_starts
from zapdeploy.recordings.recording import Recording
from zapdeploy.recordings.zapbench import HORIZON

RIDGE = 1e-3  # of the mean square of a neuron's context
ORDER = 16  # frames of the past that the autoregression reads, where the context holds them
# Windows that it is fitted to, evenly spread: fewer where there are very many neurons.
LEAST_WINDOWS, MOST_WINDOWS, MOST_VALUES = 512, 4_096, 2**23
PAGE_NEURONS, BLOCK_VALUES = 1024, 2**25


@dataclass(frozen=True)
class MeanBaseline:
    """The mean of the last `window` frames of the context, for all steps."""

    window: int = 4
    horizon: int = HORIZON

    def __post_init__(self) -> None:
        if self.window < 1:
            raise UsageError(f"window must be at least 1 frame, not {self.window} (mean baseline)")

    def forecast(self, contexts: Floats) -> Floats:
        """contexts: [windows, context, neurons] -> [windows, horizon, neurons]."""
        if contexts.shape[1] < self.window:
            raise UsageError(
                f"context must be at least {self.window} frames, not {contexts.shape[1]} "
                "(mean baseline); take a shorter window"
            )
        mean = contexts[:, -self.window :].mean(axis=1, keepdims=True)
        return np.repeat(mean, self.horizon, axis=1)


@dataclass(frozen=True, eq=False)
class Autoregression:
    """A linear autoregression of each neuron on its own last frames, each step on its own.

    weights: float32 [neurons, order + 1, horizon], the last row being the constant. Fitted by least
    squares, with a ridge of a thousandth, to windows of the training split.
    """

    weights: Floats

    @property
    def order(self) -> int:
        return int(self.weights.shape[1]) - 1

    def forecast(self, contexts: Floats) -> Floats:
        """contexts: [windows, context, neurons] -> [windows, horizon, neurons]."""
        past = contexts[:, -self.order :].transpose(2, 0, 1)  # neurons, windows, frames
        found = past @ self.weights[:, :-1] + self.weights[:, -1:]
        return np.ascontiguousarray(found.transpose(1, 2, 0))


def fit_autoregression(recording: Recording, order: int, horizon: int) -> Autoregression:
    """One per neuron, from the training windows."""
    starts = window_starts(Split.TRAIN, order, horizon, recording.conditions)
    most = max(LEAST_WINDOWS, min(MOST_WINDOWS, MOST_VALUES // recording.neurons))
    starts = starts[:: max(1, -(-starts.size // most))]
    weights = np.empty((recording.neurons, order + 1, horizon), np.float32)
    # Whole pages of traces that are mapped from disk, if that is not too much at a time.
    wide = max(64, min(PAGE_NEURONS, BLOCK_VALUES // (starts.size * (order + horizon))))
    for first in range(0, recording.neurons, wide):
        part = slice(first, first + wide)
        windows = np.stack([recording.traces[s : s + order + horizon, part] for s in starts])
        windows = windows.transpose(2, 0, 1).astype(np.float64)
        weights[part] = _least_squares(windows[..., :order], windows[..., order:])
    return Autoregression(weights)


def _least_squares(past: NDArray[Any], future: NDArray[Any]) -> Floats:
    """past [neurons, windows, order], future [neurons, windows, horizon] -> weights."""
    past_mean, future_mean = past.mean(axis=1, keepdims=True), future.mean(axis=1, keepdims=True)
    centred = past - past_mean
    square = centred.transpose(0, 2, 1) @ centred
    order = square.shape[1]
    size = np.trace(square, axis1=1, axis2=2)[:, None, None] / order
    square += (RIDGE * size + np.finfo(np.float32).tiny) * np.eye(order)
    slope = np.linalg.solve(square, centred.transpose(0, 2, 1) @ (future - future_mean))
    constant = future_mean - past_mean @ slope
    return np.concatenate([slope, constant], axis=1).astype(np.float32)


def best_mean_windows(
    recording: Recording, context: int, horizon: int, most_windows: int = 512
) -> tuple[int, ...]:
    """For each step the naive mean's window, 1, 2, 4 ... frames, that errs least on the validation
    split: the strictest naive mean that can be chosen without looking at the test split.
    """
    starts = window_starts(Split.VALIDATION, context, horizon, recording.conditions)
    starts = starts[:: max(1, -(-starts.size // most_windows))]
    windows = [2**i for i in range(context.bit_length()) if 2**i <= context]
    errors = np.zeros((len(windows), horizon))
    for start in starts:
        past = recording.traces[start : start + context]
        future = recording.traces[start + context : start + context + horizon]
        for index, window in enumerate(windows):
            errors[index] += np.abs(future - past[-window:].mean(axis=0)).mean(axis=1)
    return tuple(windows[i] for i in errors.argmin(axis=0))


@dataclass(frozen=True)
class BestMean:
    """At each step the mean of the last so many frames."""

    windows: tuple[int, ...]

    def forecast(self, contexts: Floats) -> Floats:
        """contexts: [windows, context, neurons] -> [windows, horizon, neurons]."""
        means = {w: contexts[:, -w:].mean(axis=1) for w in set(self.windows)}
        return np.stack([means[w] for w in self.windows], axis=1)


def stimulus_response(recording: Recording) -> Floats:
    """Each neuron's mean response to the stimulus, repeated: float32 [frames, neurons].

    Averaged over the training frames at the same phase of the condition's cycle; over all training
    frames where a condition has no cycle. Of a held-out condition, the frames before its test
    windows are taken, where it has any, else the training frames of the others.
    """
    response = np.empty_like(recording.traces)
    everything = np.concatenate([c.known_frames() for c in recording.conditions])
    for condition in recording.conditions:
        _fill_response(response, recording.traces, condition, everything)
    return response


def _fill_response(
    response: Floats, traces: Floats, condition: Condition, everything: NDArray[np.int64]
) -> None:
    known = condition.known_frames()
    known = known if known.size else everything
    mean = traces[known].mean(axis=0)
    cycle = condition.cycle or 1
    for start, stop in condition.blocks:
        for phase in range(min(cycle, stop - start)):
            frames = known[(known - start) % cycle == phase]
            value = traces[frames].mean(axis=0) if frames.size else mean
            response[start + phase : stop : cycle] = value
