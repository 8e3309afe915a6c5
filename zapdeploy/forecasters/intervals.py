"""How sure an error is: intervals by a block bootstrap over time (Künsch 1989).

Windows one frame apart share most of their frames, so that single windows may not be drawn; drawn
are stretches of as many windows as a window has frames, with their order kept. Forecasters that are
compared are drawn together, so that what is common to them cancels in a difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from zapdeploy.arrays import FloatArray
from zapdeploy.forecasters.evaluation import Scores

DRAWS = 1000
LEVEL = 0.95
FEW = 5  # stretches below which an interval says little
NEURONS_AT_ONCE = 4096


@dataclass(frozen=True)
class Interval:
    """low and high [horizon], at a level of 95 %."""

    low: tuple[float, ...]
    high: tuple[float, ...]


def mae_interval(scores: Scores, seed: int = 0) -> Interval:
    """Of the error at each step."""
    return _interval(_drawn(scores, seed))


def difference_interval(scores: Scores, other: Scores, seed: int = 0) -> Interval:
    """Of the error of one forecaster less that of another, over the same windows."""
    return _interval(_drawn(scores, seed) - _drawn(other, seed))


def stretches(scores: Scores) -> int:
    """How many stretches there are that do not overlap: what an interval rests on."""
    return sum(max(1, s.windows // scores.stretch) for s in scores.trained)


@dataclass(frozen=True)
class NeuronSkill:
    """skill [neurons]: 1 - error / the baseline's error; 0 where the baseline errs not at all.
    better, worse: neurons whose difference from the baseline is of one sign at 95 %.
    """

    skill: FloatArray
    better: tuple[int, ...]
    worse: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        low, middle, high = np.percentile(self.skill, (5, 50, 95)).tolist()
        return {
            "median_skill": middle,
            "skill_5": low,
            "skill_95": high,
            "share_with_less_error": float((self.skill > 0).mean()),
            "better": list(self.better),
            "worse": list(self.worse),
            "skill": [round(float(value), 4) for value in self.skill],
        }


def neuron_skill(scores: Scores, baseline: Scores, seed: int = 0) -> NeuronSkill:
    """Which neurons a forecast helps."""
    own, other = scores.neuron_mae, baseline.neuron_mae
    skill = np.where(other > 0, 1 - own / np.maximum(other, np.finfo(float).tiny), 0.0)
    random = np.random.default_rng((seed, 8))
    draws = [
        random.multinomial(len(s.traced.lengths), np.ones(len(s.traced.lengths))
                           / len(s.traced.lengths), DRAWS)
        for s in scores.trained
    ]  # fmt: skip
    low, high = np.empty(own.size), np.empty(own.size)
    for first in range(0, own.size, NEURONS_AT_ONCE):
        part = slice(first, first + NEURONS_AT_ONCE)
        found = np.zeros((DRAWS, own[part].size))
        for times, mine, theirs in zip(draws, scores.trained, baseline.trained, strict=True):
            weights = times * mine.traced.lengths
            weights = weights / weights.sum(axis=1, keepdims=True)
            found += weights @ (mine.traced.neurons[:, part] - theirs.traced.neurons[:, part])
        low[part], high[part] = np.percentile(found, _percentiles(), axis=0)
    return NeuronSkill(
        skill, tuple(np.flatnonzero(high < 0).tolist()), tuple(np.flatnonzero(low > 0).tolist())
    )


def _drawn(scores: Scores, seed: int) -> FloatArray:
    """Means over conditions of errors drawn anew: [draws, horizon]."""
    random = np.random.default_rng((seed, 7))
    found = [
        _resampled(s.traced.windows, min(scores.stretch, s.windows), random) for s in scores.trained
    ]
    means: FloatArray = np.mean(found, axis=0)
    return means


def _resampled(windows: FloatArray, length: int, random: np.random.Generator) -> FloatArray:
    """[windows, horizon] -> [draws, horizon]: means of stretches that begin anywhere, the end
    followed by the beginning (the circular form, in which every window is drawn equally often).
    """
    count = len(windows)
    pieces = -(-count // length)
    around = np.concatenate([windows, windows[:length]])
    sums = np.concatenate([np.zeros((1, windows.shape[1])), around.cumsum(axis=0)])
    starts = random.integers(0, count, (DRAWS, pieces))
    found: FloatArray = np.mean((sums[starts + length] - sums[starts]) / length, axis=1)
    return found


def _percentiles() -> tuple[float, float]:
    tail = 100 * (1 - LEVEL) / 2
    return tail, 100 - tail


def _interval(draws: FloatArray) -> Interval:
    low, high = np.percentile(draws, _percentiles(), axis=0)
    return Interval(tuple(low.tolist()), tuple(high.tolist()))
