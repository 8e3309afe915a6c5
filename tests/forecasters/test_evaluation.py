"""Errors of forecasts, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.recordings import examples as recordings
from zapdeploy.errors import DataError, UsageError
from zapdeploy.forecasters.baselines import MeanBaseline, stimulus_response
from zapdeploy.forecasters.evaluation import (
    evaluate,
    evaluate_response,
    mean_forecast,
    windows_of,
)
from zapdeploy.recordings.conditions import Split
from zapdeploy.recordings.recording import Recording
from zapdeploy.recordings.zapbench import stimulus_condition


def perfect(recording: Recording, error: float) -> Any:
    """Forecasts that are off by `error` times the step, found by looking the context up."""

    def forecast(contexts: np.ndarray, covariates: np.ndarray) -> np.ndarray:
        results = []
        for context in contexts:
            length = len(context)
            start = next(
                s
                for s in range(len(recording.traces))
                if np.array_equal(recording.traces[s : s + length], context)
            )
            results.append(recording.traces[start + length : start + length + 32])
        steps = np.arange(1, 33, dtype=np.float32)[:, None]
        return np.stack(results) + np.float32(error) * steps

    return forecast


def test_errors_of_a_known_size() -> None:
    """Off by 0.01 h at step h: MAE is 0.01 h and MSE its square, in every condition."""
    small = recordings.small()
    scores = evaluate(perfect(small, 0.01), small, 4, windows=3)
    expected = 0.01 * np.arange(1, 33)
    for score in scores.conditions:
        np.testing.assert_allclose(score.mae, expected, rtol=1e-4)
        np.testing.assert_allclose(score.mse, expected**2, rtol=1e-4)
    assert [score.windows for score in scores.conditions] == [3, 3, 3]


def test_the_metric_written_out_once_more() -> None:
    small = recordings.small()
    scores = evaluate(mean_forecast(2), small, 4, batch=7)
    condition = small.conditions[0]
    errors = []
    for start in windows_of(condition, 4):
        target = small.traces[start + 4 : start + 36]
        guess = small.traces[start + 2 : start + 4].mean(axis=0)
        errors.append(np.abs(target - guess).mean(axis=1))
    assert len(errors) == len(condition.window_starts(Split.TEST, 4, 32))
    np.testing.assert_allclose(scores.conditions[0].mae, np.mean(errors, axis=0), rtol=1e-5)


def test_the_mean_is_over_conditions_and_leaves_the_held_out_one_apart() -> None:
    small = recordings.small()
    scores = evaluate(mean_forecast(1), small, 4)
    one, two, apart = scores.conditions
    assert apart.held_out
    np.testing.assert_allclose(scores.mae, (np.array(one.mae) + np.array(two.mae)) / 2)
    document = scores.as_json()
    assert document["mean_over_conditions"] == 2
    assert [entry["name"] for entry in document["held_out"]] == ["kept apart"]
    assert document["windows"] == one.windows + two.windows


def test_nan_counts_as_zero_and_is_reported() -> None:
    small = recordings.small()

    def half(contexts: np.ndarray, covariates: np.ndarray) -> np.ndarray:
        found = np.zeros((len(contexts), 32, 5), np.float32)
        found[:, :16] = np.nan
        return found

    scores = evaluate(half, small, 4, windows=2)
    assert scores.nan_share == 0.5
    assert scores.mae[:16] == (0.0,) * 16
    assert min(scores.mae[16:]) > 0


def test_windows_are_spread_evenly() -> None:
    condition = stimulus_condition("long", 0, 702, flag=1)
    assert len(windows_of(condition, 4)) == 700 // 5 + 4 - 35
    chosen = windows_of(condition, 4, 3)
    assert chosen[0] == windows_of(condition, 4)[0]
    assert np.ptp(np.diff(chosen)) <= 1
    with pytest.raises(UsageError, match="windows must be at least 1, not 0"):
        windows_of(condition, 4, 0)


def test_the_mean_baseline() -> None:
    contexts = np.arange(8, dtype=np.float32).reshape(1, 4, 2)
    found = MeanBaseline(2).forecast(contexts)
    assert found.shape == (1, 32, 2)
    np.testing.assert_array_equal(found, np.broadcast_to([5, 6], (1, 32, 2)))
    with pytest.raises(UsageError, match="context must be at least 9 frames, not 4"):
        MeanBaseline(9).forecast(contexts)
    with pytest.raises(UsageError, match="window must be at least 1 frame, not 0"):
        MeanBaseline(0)


def test_the_stimulus_baseline_repeats_the_mean_cycle() -> None:
    """A recording that does nothing but repeat is forecast without error where it has a cycle."""
    wave = np.sin(2 * np.pi * np.arange(recordings.FRAMES) / 10)[:, None].astype(np.float32)
    repeating = Recording(
        np.repeat(wave, 2, axis=1), recordings.stimuli(), recordings.CONDITIONS, "repeating"
    )
    response = stimulus_response(repeating)
    np.testing.assert_allclose(response[:330], repeating.traces[:330], atol=1e-6)
    two = recordings.CONDITIONS[1]
    assert np.ptp(response[two.start : two.stop], axis=0).max() == 0  # no cycle: the mean
    scores = evaluate_response(repeating, windows=5)
    assert max(scores.conditions[0].mae) < 1e-6
    assert min(scores.conditions[1].mae) > 0.1


def test_a_given_response_is_scored_as_it_is() -> None:
    small = recordings.small()
    scores = evaluate_response(small, small.traces + np.float32(0.5), windows=2)
    np.testing.assert_allclose(scores.mae, 0.5, rtol=1e-4)
    with pytest.raises(DataError, match="stimulus-evoked response must be \\[1000, 5\\], not"):
        evaluate_response(small, small.traces[:, :2])


def test_a_recording_too_short_for_the_context() -> None:
    short = Recording(
        np.zeros((60, 2), np.float32),
        np.zeros((60, 26), np.float32),
        (stimulus_condition("short", 0, 60, flag=1),),
    )
    with pytest.raises(DataError) as caught:
        evaluate(mean_forecast(1), short, 4)
    assert str(caught.value) == (
        "the test split must have a window of 36 frames in a condition, not none (60 frames in the "
        "longest, 321 needed); take a shorter context or a longer recording"
    )


def test_a_forecast_of_another_shape() -> None:
    small = recordings.small()
    with pytest.raises(DataError) as caught:
        evaluate(lambda contexts, _: contexts, small, 4, windows=1)
    assert str(caught.value) == "forecast must be [1, 32, 5], not [1, 4, 5]"
