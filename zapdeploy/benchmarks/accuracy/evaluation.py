"""Forecasters of every form, side by side on one recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.benchmarks.accuracy.contenders import Contender, contenders
from zapdeploy.forecasters.evaluation import Scores, evaluate, evaluate_response
from zapdeploy.recordings.columns import check_columns
from zapdeploy.recordings.recording import Recording

Array = NDArray[np.float32]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Evaluated:
    """A contender and its scores."""

    contender: Contender
    scores: Scores

    def as_json(self) -> dict[str, Any]:
        named = ("model", "runner", "precision", "context", "kind")
        return {name: getattr(self.contender, name) for name in named} | self.scores.as_json()


def evaluate_models(
    models: Sequence[str],
    recording: Recording,
    *,
    windows: int | None = None,
    simulate: bool = False,
    response: Array | None = None,
    progress: Progress = lambda what, done, total: None,
) -> list[Evaluated]:
    """Score every model on the recording's test split.

    models: folders, .onnx and .zap files, and the baselines "mean", "mean:W" and "stimulus".
    simulate: run quantized ONNX files in the functional simulator as well. windows: at most so many
    of each condition. response: the stimulus baseline's forecast, where the recording brings it.
    Raises DataError for a model that was trained on other columns than the recording's.
    """
    found = []
    for model in models:
        for contender in contenders(model, recording.neurons, simulate=simulate):
            check_columns(contender.columns, recording.columns, contender.model)
            what = f"{contender.model} ({contender.runner})"
            if contender.forecast is None:
                scores = evaluate_response(recording, response, windows=windows)
            else:
                scores = evaluate(
                    contender.forecast,
                    recording,
                    contender.context,
                    windows=windows,
                    batch=contender.batch,
                    what=what,
                    progress=progress,
                )
            found.append(Evaluated(contender, scores))
    return found
