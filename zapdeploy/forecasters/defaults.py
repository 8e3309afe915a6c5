"""Sensible choices for a recording of any size, where nobody says otherwise.

They were settled on the validation splits of two real recordings of 70 and 75 neurons; the
benchmark keeps its own.
"""

from __future__ import annotations

from dataclasses import replace

from zapdeploy.forecasters.registry import FAMILIES, NO_SCALING, ROBUST, find_forecaster
from zapdeploy.forecasters.training_options import COSINE, TrainingOptions
from zapdeploy.recordings.conditions import Split, window_starts
from zapdeploy.recordings.recording import Recording
from zapdeploy.recordings.zapbench import CONTEXTS, HORIZON

CONTEXT = 16
LEAST_STEPS, MOST_STEPS, EPOCHS = 1_000, 4_000, 40
WIRED_WIDTH = 8  # numbers that a neuron tells others: each is a value on every edge
VALUES_PER_STEP = 2**22  # of the batches' contexts and targets
VALIDATED_WINDOWS = 512


def default_context(recording: Recording) -> int:
    """Frames of context: the benchmark's shorter one for its recording, 16 for others."""
    return CONTEXTS[0] if recording.is_zapbench else CONTEXT


def default_horizon(recording: Recording) -> int:
    """32 frames, or as many as a short recording has windows for."""
    if recording.is_zapbench:
        return HORIZON
    longest = max(condition.frames for condition in recording.conditions)
    return max(1, min(HORIZON, longest // 20))


def default_scaling(recording: Recording) -> str:
    """Robust scaling on the host; none for the benchmark's dF/F, which is confined already."""
    return NO_SCALING if recording.is_zapbench else ROBUST


def default_width(name: str, recording: Recording) -> int | None:
    """Hidden channels; None: the network has none, or as it is published."""
    info = find_forecaster(name)[0]
    if FAMILIES[info.family].least_width is None:
        return None
    if recording.is_zapbench and info.parameters:
        return None
    if FAMILIES[info.family].wired:
        return WIRED_WIDTH
    if info.family == "low-rank":
        return max(1, min(16, recording.neurons // 4))
    if info.family == "tsmixer":
        return max(4, min(256, 4 * round(recording.neurons / 16)))
    return 32 if recording.neurons < 2_000 else 64


def default_options(recording: Recording, context: int, horizon: int) -> TrainingOptions:
    """How to train: the benchmark's way for its recording; for others so many steps that small
    recordings are seen some forty times, with a falling rate and early stopping.
    """
    if recording.is_zapbench:
        return TrainingOptions()
    count = window_starts(Split.TRAIN, context, horizon, recording.conditions).size
    each = (context + horizon) * recording.neurons
    batch = max(4, min(32, VALUES_PER_STEP // each))
    steps = max(LEAST_STEPS, min(MOST_STEPS, EPOCHS * count // batch))
    return replace(
        TrainingOptions(),
        steps=steps,
        batch=batch,
        schedule=COSINE,
        learning_rate=2e-3,
        weight_decay=1e-2,
        validate_every=max(20, steps // 50),
        patience=15,
        min_improvement=0.0,
        validation_windows=VALIDATED_WINDOWS,
    )
