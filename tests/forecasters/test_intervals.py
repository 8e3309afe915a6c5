"""Intervals and baselines against processes whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from zapdeploy.forecasters.baselines import (
    BestMean,
    MeanBaseline,
    best_mean_windows,
    fit_autoregression,
)
from zapdeploy.forecasters.evaluation import Scores, evaluate
from zapdeploy.forecasters.intervals import (
    difference_interval,
    mae_interval,
    neuron_skill,
    stretches,
)
from zapdeploy.recordings import Recording


def recording(traces: np.ndarray) -> Recording:
    values = traces.astype(np.float32)
    return Recording(values, np.zeros((len(values), 0), np.float32))


def noise(frames: int = 3000, neurons: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((frames, neurons))


def scored(found: Recording, offset: float = 0.0, horizon: int = 3) -> Scores:
    """Of a forecast of zero, or of that much."""
    return evaluate(
        lambda contexts, _: np.full(
            (len(contexts), horizon, contexts.shape[2]), offset, np.float32
        ),
        found,
        2,
        horizon=horizon,
    )


def test_the_interval_of_white_noise_is_the_textbooks() -> None:
    """|normal| has mean 0.798 and deviation 0.603; the mean of 600 frames of 40 neurons is known to
    1.96 x 0.603 / sqrt(24,000) = 0.0076 to either side.
    """
    scores = scored(recording(noise()))
    interval = mae_interval(scores)
    for low, mae, high in zip(interval.low, scores.mae, interval.high, strict=True):
        assert low < mae < high
        assert (high - low) / 2 == pytest.approx(0.0076, rel=0.25)


def test_what_is_common_to_two_forecasts_cancels() -> None:
    found = recording(noise())
    same = difference_interval(scored(found), scored(found))
    assert same.low == same.high == (0.0, 0.0, 0.0)
    worse = difference_interval(scored(found, 0.5), scored(found))
    assert min(worse.low) > 0


def test_slow_processes_have_wider_intervals_than_their_windows_suggest() -> None:
    """A random sign for every 50 frames: 600 windows, but 12 draws."""
    signs = np.repeat(np.random.default_rng(1).choice([1.0, 3.0], 60), 50)
    scores = scored(recording(np.repeat(signs[:, None], 2, axis=1)), horizon=40)
    interval = mae_interval(scores)
    naive = 2 * 1.96 * scores.conditions[0].traced.windows[:, 0].std() / np.sqrt(558)
    assert interval.high[0] - interval.low[0] > 3 * naive
    assert stretches(scores) == 13


def test_which_neurons_are_helped() -> None:
    """A forecast of 2 is right for neurons that are about 2, and wrong for the others."""
    traces = 0.1 * noise(neurons=6)
    traces[:, :2] += 2
    found = recording(traces)
    skill = neuron_skill(scored(found, 2.0), scored(found, 0.0))
    assert skill.better == (0, 1)
    assert skill.worse == (2, 3, 4, 5)
    assert skill.skill[0] == pytest.approx(1 - 0.08 / 2, abs=0.02)


def test_the_autoregression_finds_the_process() -> None:
    """x[t] = 0.8 x[t - 1] + noise, about 5: h frames ahead it is best to say 5 + 0.8^h (x - 5)."""
    from scipy.signal import lfilter

    found = recording(5 + lfilter([1], [1, -0.8], noise(8000, 3), axis=0))
    fitted = fit_autoregression(found, 2, 3)
    forecast = fitted.forecast(np.full((1, 4, 3), 7, np.float32))[0]
    for h in (1, 2, 3):
        np.testing.assert_allclose(forecast[h - 1], 5 + 2 * 0.8**h, atol=0.2)


def test_the_naive_mean_is_the_best_on_validation_data() -> None:
    """Of white noise the longest window; of a ramp the last value."""
    assert set(best_mean_windows(recording(noise()), 16, 2)) == {16}
    ramp = recording(np.repeat(np.arange(1000.0)[:, None], 2, axis=1))
    assert set(best_mean_windows(ramp, 16, 2)) == {1}
    contexts = noise(16, 3)[None].astype(np.float32)
    found = BestMean((1, 16)).forecast(contexts)
    np.testing.assert_array_equal(found[:, 0], MeanBaseline(1, 1).forecast(contexts)[:, 0])
    np.testing.assert_array_equal(found[:, 1], MeanBaseline(16, 1).forecast(contexts)[:, 0])
