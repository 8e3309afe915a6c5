"""Forecasters of every form, side by side on one recording, and what they have to beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zapdeploy.arrays import Floats
from zapdeploy.benchmarks.accuracy.contenders import BASELINE, Contender, contenders, horizon_of
from zapdeploy.documents import Document
from zapdeploy.errors import DataError
from zapdeploy.forecasters.baselines import ORDER, BestMean, best_mean_windows, fit_autoregression
from zapdeploy.forecasters.evaluation import Forecast, Scores, evaluate, evaluate_response
from zapdeploy.forecasters.intervals import (
    difference_interval,
    mae_interval,
    neuron_skill,
)
from zapdeploy.progress import Progress
from zapdeploy.recordings.columns import check_columns
from zapdeploy.recordings.recording import Recording
from zapdeploy.recordings.zapbench import HORIZON

NAIVE, LAST, AUTOREGRESSION = "naive mean", "last value", "autoregression"


@dataclass(frozen=True)
class Evaluated:
    """A contender and its scores."""

    contender: Contender
    scores: Scores

    def as_json(self) -> dict[str, Any]:
        named = ("model", "runner", "precision", "context", "kind")
        found = {name: getattr(self.contender, name) for name in named} | self.scores.as_json()
        interval = mae_interval(self.scores)
        return {**found, "mae_low": list(interval.low), "mae_high": list(interval.high)}


@dataclass(frozen=True)
class Verdict(Document):
    """A forecaster against the naive mean. Steps are counted from 1.

    lost: steps at which it errs as much or more. unsure: those at which it errs less, but the
    interval of the difference holds 0. difference: its error less the naive mean's, with interval.
    """

    model: str
    runner: str
    lost: tuple[int, ...]
    unsure: tuple[int, ...]
    difference: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    neurons: Any

    @property
    def text(self) -> str:
        """In words."""
        horizon = len(self.difference)
        if not self.lost:
            if not self.unsure:
                return "beats the naive mean at every step"
            return f"beats the naive mean at every step, not for sure at {_steps(self.unsure)}"
        if len(self.lost) == horizon:
            return "LOSES to the naive mean at every step"
        return f"LOSES to the naive mean at {_steps(self.lost)} of {horizon} steps"


def evaluate_models(
    models: Sequence[str],
    recording: Recording,
    *,
    windows: int | None = None,
    simulate: bool = False,
    response: Floats | None = None,
    horizon: int | None = None,
    lead: int = 0,
    progress: Progress = lambda what, done, total: None,
) -> list[Evaluated]:
    """Score every model on the recording's test split, all over the same targets.

    models: folders, .onnx and .zap files, and the baselines "mean", "mean:W" and "stimulus".
    simulate: run quantized ONNX files in the functional simulator as well. windows: at most so many
    of each condition. response: the stimulus baseline's forecast, where the recording brings it.
    horizon: of baselines where no model says it. lead: frames before the first target by which
    windows are chosen, at least the longest context of these models. Raises DataError for a model
    that was trained on other columns than the recording's, and for models of different horizons.
    """
    steps = common_horizon(models, horizon)
    found = []
    every = [
        contender
        for model in models
        for contender in contenders(model, recording.neurons, simulate=simulate, horizon=steps)
    ]
    lead = max(lead, *(contender.context for contender in every))
    for contender in every:
        check_columns(contender.columns, recording.columns, contender.model)
        what = f"{contender.model} ({contender.runner})"
        if contender.forecast is None:
            scores = evaluate_response(
                recording, response, horizon=steps, lead=lead, windows=windows
            )
        else:
            scores = evaluate(
                contender.forecast,
                recording,
                contender.context,
                horizon=steps,
                lead=lead,
                windows=windows,
                batch=contender.batch,
                what=what,
                progress=progress,
            )
        found.append(Evaluated(contender, scores))
    return found


def common_horizon(models: Sequence[str], given: int | None = None) -> int:
    """Frames that all models forecast. Raises DataError where they differ."""
    known = {model: steps for model in models if (steps := horizon_of(model)) is not None}
    if given is not None:
        known["--horizon"] = given
    if len(set(known.values())) > 1:
        said = ", ".join(f"{model} {steps}" for model, steps in known.items())
        raise DataError(
            f"models must forecast equally many frames, not {said}; evaluate one at a time"
        )
    return next(iter(known.values()), HORIZON)


def evaluate_baselines(
    recording: Recording,
    found: Sequence[Evaluated],
    *,
    windows: int | None = None,
    progress: Progress = lambda what, done, total: None,
) -> list[Evaluated]:
    """What the models have to beat, over their windows: the naive mean whose window is chosen on
    the validation split for every step, the last value, and an autoregression of each neuron.
    """
    lead = max(entry.contender.context for entry in found)
    horizon = len(found[0].scores.mae)
    order = min(lead, ORDER)
    makers: list[tuple[str, int, Callable[[], Forecast]]] = [
        (NAIVE, lead, lambda: _naive(recording, lead, horizon)),
        (LAST, 1, lambda: lambda contexts, _: np.repeat(contexts[:, -1:], horizon, axis=1)),
        (AUTOREGRESSION, order, lambda: _autoregression(recording, order, horizon)),
    ]
    entries = []
    for name, context, make in makers:
        forecast = make()
        scores = evaluate(
            forecast,
            recording,
            context,
            horizon=horizon,
            lead=lead,
            windows=windows,
            what=name,
            progress=progress,
        )
        contender = Contender(name, BASELINE, "float", context, 8, forecast, horizon=horizon)
        entries.append(Evaluated(contender, scores))
    return entries


def verdicts(found: Sequence[Evaluated], naive: Evaluated) -> list[Verdict]:
    """Every model that is no baseline against the naive mean."""
    return [verdict(entry, naive) for entry in found if entry.contender.runner != BASELINE]


def verdict(entry: Evaluated, naive: Evaluated) -> Verdict:
    """A forecaster against the naive mean, step by step."""
    own, other = np.array(entry.scores.mae), np.array(naive.scores.mae)
    interval = difference_interval(entry.scores, naive.scores)
    steps = range(1, own.size + 1)
    lost = tuple(h for h in steps if own[h - 1] >= other[h - 1])
    unsure = tuple(h for h in steps if h not in lost and interval.high[h - 1] >= 0)
    return Verdict(
        entry.contender.model,
        entry.contender.runner,
        lost,
        unsure,
        tuple((own - other).tolist()),
        interval.low,
        interval.high,
        neuron_skill(entry.scores, naive.scores),
    )


def _naive(recording: Recording, lead: int, horizon: int) -> Forecast:
    baseline = BestMean(best_mean_windows(recording, lead, horizon))
    return lambda contexts, _: baseline.forecast(contexts)


def _autoregression(recording: Recording, order: int, horizon: int) -> Forecast:
    fitted = fit_autoregression(recording, order, horizon)
    return lambda contexts, _: fitted.forecast(contexts)


def _steps(steps: Sequence[int]) -> str:
    """In short: "h = 1 to 3, 7"."""
    parts, first = [], 0
    for index, step in enumerate(steps):
        if index + 1 == len(steps) or steps[index + 1] != step + 1:
            start = steps[first]
            parts.append(str(start) if start == step else f"{start} to {step}")
            first = index + 1
    return f"h = {', '.join(parts)}"
