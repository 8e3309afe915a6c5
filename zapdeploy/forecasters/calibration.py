"""Windows of a recording to quantize a forecaster with, and one to verify it with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zapdeploy.forecasters.export import COVARIATES_NAME, INPUT_NAME
from zapdeploy.forecasters.folder import ForecasterSpec
from zapdeploy.forecasters.loading import Trained
from zapdeploy.host_part.golden import Golden, make_golden
from zapdeploy.recordings.conditions import Split, window_starts
from zapdeploy.recordings.recording import Recording

CALIBRATION = "calibration.npz"  # in a trained forecaster's folder
CALIBRATION_BYTES = 128 * 2**20
FRAMES = 1024  # that show what range a neuron has
LEAST_WINDOWS = 8
SMALL_BYTES, MOST_WINDOWS = 4 * 2**20, 512  # of few neurons more windows: large events are rare


def calibration_windows(
    recording: Recording, spec: ForecasterSpec, *, count: int | None = None, seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """Windows of the training split to quantize with, by ONNX input name; at most 128 MiB.

    count: None for 1,024 frames of every neuron, and at least 8 windows; up to 512 windows of a
    small recording.
    """
    starts = window_starts(Split.TRAIN, spec.context, spec.horizon, recording.conditions)
    affordable = CALIBRATION_BYTES // (4 * spec.context * recording.neurons)
    small = min(MOST_WINDOWS, SMALL_BYTES // (4 * spec.context * recording.neurons))
    asked = max(FRAMES // spec.context, LEAST_WINDOWS, small) if count is None else count
    wanted = min(asked, max(1, affordable), starts.size)
    chosen = np.sort(np.random.default_rng((seed, 2)).choice(starts, wanted, replace=False))
    windows = {INPUT_NAME: recording.contexts(chosen.tolist(), spec.context)}
    if spec.info.covariates:
        windows[COVARIATES_NAME] = recording.covariates(chosen.tolist(), spec.context, spec.horizon)
    return windows


def golden_window(recording: Recording, trained: Trained) -> Golden:
    """The first window of the validation split, and what the forecaster makes of it."""
    import torch

    spec = trained.spec
    starts = window_starts(Split.VALIDATION, spec.context, spec.horizon, recording.conditions)
    context = recording.contexts(starts[:1], spec.context)[0]
    ahead = None
    if spec.info.covariates:
        ahead = recording.covariates(starts[:1], spec.context, spec.horizon)[0]

    def forecast(
        contexts: NDArray[np.float32], covariates: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        given = (contexts,) if ahead is None else (contexts, covariates)
        with torch.inference_mode():
            found: NDArray[np.float32] = trained.network(*map(torch.from_numpy, given)).numpy()
        return found

    return make_golden(context, ahead, forecast)
