"""Forecasters that were trained from several seeds against each other: is the difference chance?

Of each forecaster the mean error over steps and conditions of every seed; of two of them the
difference of the means with Welch's interval (Welch 1947), which rests on the spread over seeds
alone: how much a result owes to initialisation, the order of batches and, of a shuffled wiring, the
shuffle. What it owes to the test windows is in the intervals over time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zapdeploy.benchmarks.accuracy.evaluation import evaluate_models
from zapdeploy.documents import Document
from zapdeploy.forecasters.seeds import seed_folders
from zapdeploy.recordings.recording import Recording

LEVEL = 0.95
Errors = tuple[tuple[float, ...], ...]  # [seeds, horizon]


@dataclass(frozen=True)
class SeedComparison(Document):
    """`model` less `other`: the difference of their mean errors, its interval at 95 %, and how
    likely so large a one is by chance (two-sided)."""

    model: str
    other: str
    seeds: tuple[int, int]
    difference: float
    low: float
    high: float
    p_value: float

    @property
    def text(self) -> str:
        """In words."""
        if self.high < 0:
            return f"{self.model} errs less than {self.other}"
        if self.low > 0:
            return f"{self.model} errs MORE than {self.other}"
        return f"{self.model} and {self.other} differ by no more than chance"


def seed_errors(
    models: Sequence[str], recording: Recording, windows: int | None = None
) -> dict[str, Errors]:
    """The errors at each step of every seed of those models that have several."""
    found = {}
    for model in models:
        folders = [str(folder) for folder in seed_folders(Path(model))]
        if folders:
            entries = evaluate_models(folders, recording, windows=windows)
            found[model] = tuple(entry.scores.mae for entry in entries)
    return found


def compare_seeds(errors: dict[str, Errors]) -> list[SeedComparison]:
    """The first of the models against each of the others; none where only one has seeds."""
    means = {model: np.array(seeds).mean(axis=1) for model, seeds in errors.items()}
    names = [model for model, values in means.items() if values.size > 1]
    return [_compared(names[0], other, means[names[0]], means[other]) for other in names[1:]]


def _compared(model: str, other: str, own: Any, theirs: Any) -> SeedComparison:
    from scipy.stats import ttest_ind

    difference = float(own.mean() - theirs.mean())
    if own.var() == theirs.var() == 0:
        low = high = difference
        p_value = float(difference == 0)
    else:
        test = ttest_ind(own, theirs, equal_var=False)
        low, high = map(float, test.confidence_interval(LEVEL))
        p_value = float(test.pvalue)
    return SeedComparison(model, other, (own.size, theirs.size), difference, low, high, p_value)
