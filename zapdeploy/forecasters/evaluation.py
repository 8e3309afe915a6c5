"""How good forecasts are: mean absolute and mean squared error per condition and step.

As ZAPBench has it: the mean over neurons and over all windows of a condition's test split, one
frame apart; then the plain mean over conditions, the held-out one apart. NaN counts as 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import DataError, UsageError
from zapdeploy.forecasters.baselines import MeanBaseline, stimulus_response
from zapdeploy.recordings.conditions import HORIZON, Condition, Split, check_context
from zapdeploy.recordings.recording import Recording

Array = NDArray[np.float32]
Progress = Callable[[str, int, int], None]
# Contexts [windows, context, neurons], stimuli to come [windows, 32, 26] -> [windows, 32, neurons].
Forecast = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class ConditionScore:
    """Errors of one condition, one number for each of the 32 steps."""

    name: str
    held_out: bool
    windows: int
    mae: tuple[float, ...]
    mse: tuple[float, ...]


@dataclass(frozen=True)
class Scores:
    """Errors of one forecaster. nan_share: the part of its forecasts that was NaN and counts 0."""

    conditions: tuple[ConditionScore, ...]
    nan_share: float

    @property
    def trained(self) -> tuple[ConditionScore, ...]:
        """The conditions that a mean is over: all but the held-out one."""
        return tuple(score for score in self.conditions if not score.held_out)

    @property
    def mae(self) -> tuple[float, ...]:
        """Mean over conditions, the held-out one apart, for each step."""
        return _mean([score.mae for score in self.trained])

    @property
    def mse(self) -> tuple[float, ...]:
        """As `mae`, of the squared error."""
        return _mean([score.mse for score in self.trained])

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
    windows: int | None = None,
    batch: int = 8,
    what: str = "evaluating",
    progress: Progress = lambda what, done, total: None,
) -> Scores:
    """Score a forecaster on the test split.

    windows: at most so many of each condition, evenly spread; None: all 1,557. `batch` windows are
    handed to the forecaster at a time, fewer at the end of a condition.
    """
    check_context(context)
    chosen = [
        (condition, windows_of(condition, context, windows)) for condition in recording.conditions
    ]
    total = sum(len(starts) for _, starts in chosen)
    if not total:
        raise DataError(
            f"the test split must have at least {context + HORIZON} frames in a condition, not "
            "fewer; take a shorter context or a longer recording"
        )
    scores, done, nans = [], 0, 0
    for condition, starts in chosen:
        if not starts:
            continue
        sums = np.zeros((2, HORIZON))
        for first in range(0, len(starts), batch):
            part = starts[first : first + batch]
            errors, missing = _errors(forecast, recording, part, context)
            sums += errors
            nans += missing
            done += len(part)
            progress(what, done, total)
        scores.append(_score(condition, len(starts), sums / len(starts)))
    return Scores(tuple(scores), nans / (total * HORIZON * recording.neurons))


def windows_of(condition: Condition, context: int, windows: int | None = None) -> list[int]:
    """First frames of a condition's test windows; at most `windows`, evenly spread."""
    starts = condition.window_starts(Split.TEST, context)
    if windows is None or len(starts) <= windows:
        return list(starts)
    if windows < 1:
        raise UsageError(f"windows must be at least 1, not {windows}; leave it out for all")
    return [starts[len(starts) * index // windows] for index in range(windows)]


def mean_forecast(window: int) -> Forecast:
    """The naive mean of the last `window` frames."""
    baseline = MeanBaseline(window)
    return lambda contexts, _: baseline.forecast(contexts)


def evaluate_response(
    recording: Recording, response: Array | None = None, *, windows: int | None = None
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
    context, scores = 1, []
    for condition in recording.conditions:
        starts = windows_of(condition, context, windows)
        sums = np.zeros((2, HORIZON))
        for start in starts:
            span = slice(start + context, start + context + HORIZON)
            sums += _sums((evoked[span] - recording.traces[span])[None])
        if starts:
            scores.append(_score(condition, len(starts), sums / len(starts)))
    return Scores(tuple(scores), 0.0)


def _errors(
    forecast: Forecast, recording: Recording, starts: list[int], context: int
) -> tuple[NDArray[np.float64], int]:
    """Sums over windows of absolute and squared error, [2, 32], and how many forecasts were NaN."""
    found = forecast(recording.contexts(starts, context), recording.covariates(starts, context))
    wanted = recording.targets(starts, context)
    if found.shape != wanted.shape:
        raise DataError(f"forecast must be {list(wanted.shape)}, not {list(found.shape)}")
    missing = int(np.isnan(found).sum())
    return _sums(found - wanted), missing


def _sums(difference: Array) -> NDArray[np.float64]:
    """[windows, 32, neurons] -> sums over windows of the neurons' mean |error| and error^2."""
    magnitude = np.nan_to_num(np.abs(difference), nan=0.0, posinf=np.inf)
    absolute = magnitude.mean(axis=2, dtype=np.float64).sum(axis=0)
    np.square(magnitude, out=magnitude)
    squared = magnitude.mean(axis=2, dtype=np.float64).sum(axis=0)
    sums: NDArray[np.float64] = np.stack([absolute, squared])
    return sums


def _score(condition: Condition, windows: int, errors: NDArray[np.float64]) -> ConditionScore:
    mae, mse = (tuple(float(value) for value in row) for row in errors)
    return ConditionScore(condition.name, condition.held_out, windows, mae, mse)


def _mean(rows: list[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(float(value) for value in np.mean(rows, axis=0)) if rows else ()


def _as_json(score: ConditionScore) -> Mapping[str, Any]:
    return {
        "name": score.name,
        "windows": score.windows,
        "mae": list(score.mae),
        "mse": list(score.mse),
    }
