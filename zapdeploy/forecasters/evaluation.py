"""How good forecasts are: mean absolute and mean squared error per condition, step and neuron.

As ZAPBench has it: the mean over neurons and over all windows of a condition's test split, one
frame apart; then the plain mean over conditions, the held-out ones apart. NaN counts as 0. Errors
are in the unit of the traces.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import FloatArray, Floats
from zapdeploy.errors import DataError, UsageError
from zapdeploy.forecasters.baselines import MeanBaseline, stimulus_response
from zapdeploy.progress import Progress
from zapdeploy.recordings.conditions import Condition, Split, check_window, frames_needed
from zapdeploy.recordings.recording import Recording
from zapdeploy.recordings.zapbench import HORIZON


class FromRecording(ABC):
    """A forecaster that reads more of a recording than its traces."""

    @abstractmethod
    def windows(self, recording: Recording, starts: Sequence[int], horizon: int) -> Floats:
        """Forecasts [windows, horizon, neurons] from contexts that begin at these frames."""


# Contexts [windows, context, neurons], covariates to come [windows, horizon, any number] ->
# forecasts [windows, horizon, neurons].
FromTraces = Callable[[Floats, Floats], Floats]
Forecast = FromTraces | FromRecording


@dataclass(frozen=True)
class Traced:
    """What intervals are computed from. windows: MAE [windows, horizon], in time order. neurons:
    absolute error [stretches, neurons], the mean over steps of each stretch of `length` windows.
    """

    windows: FloatArray
    neurons: FloatArray
    lengths: NDArray[np.int64]


@dataclass(frozen=True)
class ConditionScore:
    """Errors of one condition, one number for each step."""

    name: str
    held_out: bool
    windows: int
    mae: tuple[float, ...]
    mse: tuple[float, ...]
    traced: Traced = field(repr=False, compare=False, default=None)  # type: ignore[assignment]


@dataclass(frozen=True)
class Scores:
    """Errors of one forecaster. nan_share: the part of its forecasts that was NaN and counts 0.
    stretch: frames of one window, after which errors are taken to be independent.
    """

    conditions: tuple[ConditionScore, ...]
    nan_share: float
    stretch: int = 1

    @property
    def trained(self) -> tuple[ConditionScore, ...]:
        """The conditions that a mean is over: all but the held-out ones, or these if there are no
        others.
        """
        kept = tuple(score for score in self.conditions if not score.held_out)
        return kept or self.conditions

    @property
    def mae(self) -> tuple[float, ...]:
        """Mean over conditions, the held-out ones apart, for each step."""
        return _mean([score.mae for score in self.trained])

    @property
    def mse(self) -> tuple[float, ...]:
        """As `mae`, of the squared error."""
        return _mean([score.mse for score in self.trained])

    @property
    def neuron_mae(self) -> FloatArray:
        """[neurons]: the mean over conditions, windows and steps."""
        found: FloatArray = np.mean(
            [
                (s.traced.neurons * s.traced.lengths[:, None]).sum(axis=0) / s.windows
                for s in self.trained
            ],
            axis=0,
        )
        return found

    def as_json(self) -> dict[str, Any]:
        """Every number, with how many conditions and windows a mean is over."""
        return {
            "mean_over_conditions": len(self.trained),
            "windows": sum(score.windows for score in self.trained),
            "mae": list(self.mae),
            "mse": list(self.mse),
            "held_out": [_as_json(score) for score in self.conditions if score.held_out],
            "conditions": [_as_json(score) for score in self.trained],
            "nan_share": self.nan_share,
        }


def evaluate(
    forecast: Forecast,
    recording: Recording,
    context: int,
    *,
    horizon: int = HORIZON,
    lead: int | None = None,
    windows: int | None = None,
    batch: int = 8,
    what: str = "evaluating",
    progress: Progress = lambda what, done, total: None,
) -> Scores:
    """Score a forecaster on the test split.

    lead: frames before the first target by which windows are chosen, at least `context`: the
    longest context of the forecasters that are compared. windows: at most so many of each
    condition, evenly spread; None: all. `batch` windows are handed to the forecaster at a time,
    fewer at the end of a condition.
    """
    check_window(context, horizon)
    reach = max(context, lead or 0)
    chosen = [
        (condition, windows_of(condition, reach, windows, horizon))
        for condition in recording.conditions
    ]
    total = sum(len(starts) for _, starts in chosen)
    if not total:
        longest = max(condition.frames for condition in recording.conditions)
        raise DataError(
            f"the test split must have a window of {reach + horizon} frames in a condition, not "
            f"none ({longest} frames in the longest, {frames_needed(reach, horizon)} needed); take "
            "a shorter context or a longer recording"
        )
    scores, done, nans = [], 0, 0
    for condition, starts in chosen:
        if not starts:
            continue
        sums = _Sums(horizon, recording.neurons, reach + horizon)
        for first in range(0, len(starts), batch):
            part = [start + reach - context for start in starts[first : first + batch]]
            nans += sums.add(*_forecasts(forecast, recording, part, context, horizon))
            done += len(part)
            progress(what, done, total)
        scores.append(sums.score(condition))
    return Scores(tuple(scores), nans / (total * horizon * recording.neurons), reach + horizon)


def windows_of(
    condition: Condition, context: int, windows: int | None = None, horizon: int = HORIZON
) -> list[int]:
    """First frames of a condition's test windows; at most `windows`, evenly spread."""
    starts: list[int] = condition.window_starts(Split.TEST, context, horizon).tolist()
    if windows is None or len(starts) <= windows:
        return starts
    if windows < 1:
        raise UsageError(f"windows must be at least 1, not {windows}; leave it out for all")
    return [starts[len(starts) * index // windows] for index in range(windows)]


def mean_forecast(window: int, horizon: int = HORIZON) -> Forecast:
    """The naive mean of the last `window` frames."""
    baseline = MeanBaseline(window, horizon)
    return lambda contexts, _: baseline.forecast(contexts)


def evaluate_response(
    recording: Recording,
    response: Floats | None = None,
    *,
    horizon: int = HORIZON,
    lead: int = 1,
    windows: int | None = None,
) -> Scores:
    """Score the stimulus baseline: what the stimulus evoked before is what it will evoke.

    response: float32 [frames, neurons]; None: averaged from the recording's training frames.
    """
    evoked = stimulus_response(recording) if response is None else response
    if evoked.shape != recording.traces.shape:
        raise DataError(
            f"stimulus-evoked response must be {list(recording.traces.shape)}, not "
            f"{list(evoked.shape)}; give that of the same recording"
        )
    scores = []
    for condition in recording.conditions:
        starts = windows_of(condition, lead, windows, horizon)
        sums = _Sums(horizon, recording.neurons, lead + horizon)
        for start in starts:
            span = slice(start + lead, start + lead + horizon)
            sums.add(evoked[span][None], recording.traces[span][None])
        if starts:
            scores.append(sums.score(condition))
    return Scores(tuple(scores), 0.0, lead + horizon)


def _forecasts(
    forecast: Forecast, recording: Recording, starts: list[int], context: int, horizon: int
) -> tuple[Floats, Floats]:
    """Forecasts and what came, [windows, horizon, neurons] each."""
    if isinstance(forecast, FromRecording):
        found = forecast.windows(recording, starts, horizon)
    else:
        contexts = recording.contexts(starts, context)
        found = forecast(contexts, recording.covariates(starts, context, horizon))
    wanted = recording.targets(starts, context, horizon)
    if found.shape != wanted.shape:
        raise DataError(f"forecast must be {list(wanted.shape)}, not {list(found.shape)}")
    return found, wanted


class _Sums:
    """Adds up the errors of a condition, window by window."""

    def __init__(self, horizon: int, neurons: int, stretch: int) -> None:
        self.horizon, self.stretch = horizon, stretch
        self.absolute: list[FloatArray] = []
        self.squared = np.zeros(horizon)
        self.stretches: list[FloatArray] = []
        self.lengths: list[int] = []
        self.neurons = neurons
        self.count = 0

    def add(self, found: Floats, wanted: Floats) -> int:
        """Count these windows in; how many of the forecasts were NaN."""
        missing = int(np.isnan(found).sum())
        magnitude = np.nan_to_num(np.abs(found - wanted), nan=0.0, posinf=np.inf)
        self.absolute.append(magnitude.mean(axis=2, dtype=np.float64))
        for window in magnitude:
            if self.count % self.stretch == 0:
                self.stretches.append(np.zeros(self.neurons))
                self.lengths.append(0)
            self.stretches[-1] += window.mean(axis=0, dtype=np.float64)
            self.lengths[-1] += 1
            self.count += 1
        np.square(magnitude, out=magnitude)
        self.squared += magnitude.mean(axis=2, dtype=np.float64).sum(axis=0)
        return missing

    def score(self, condition: Condition) -> ConditionScore:
        windows = np.concatenate(self.absolute)
        lengths = np.array(self.lengths)
        neurons = np.stack(self.stretches) / lengths[:, None]
        mae, mse = windows.mean(axis=0), self.squared / len(windows)
        return ConditionScore(
            condition.name,
            condition.held_out,
            len(windows),
            tuple(mae.tolist()),
            tuple(mse.tolist()),
            Traced(windows, neurons, lengths),
        )


def _mean(rows: list[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(float(value) for value in np.mean(rows, axis=0)) if rows else ()


def _as_json(score: ConditionScore) -> Mapping[str, Any]:
    return {
        "name": score.name,
        "windows": score.windows,
        "mae": list(score.mae),
        "mse": list(score.mse),
    }
