"""Recordings small enough to reckon with by hand."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import numpy as np

from zapdeploy.recordings.recording import Recording
from zapdeploy.recordings.stores import create_store, write_store
from zapdeploy.recordings.zapbench import STIMULI, stimulus_condition

FRAMES = 1000
CONDITIONS = (
    stimulus_condition("one", 0, 330, flag=1, cycle=10),
    stimulus_condition("two", 330, 650, flag=3),
    stimulus_condition("kept apart", 650, FRAMES, flag=5, held_out=True),
)
_places = count()


def traces(neurons: int = 5, seed: int = 0) -> np.ndarray:
    """A wave of ten frames per neuron, and noise: float32 [1000, neurons]."""
    random = np.random.default_rng(seed)
    phase = 2 * np.pi * (np.arange(FRAMES)[:, None] / 10 + np.arange(neurons) / neurons)
    noise = random.standard_normal((FRAMES, neurons))
    return (0.3 + 0.2 * np.sin(phase) + 0.02 * noise).astype(np.float32)


def stimuli() -> np.ndarray:
    features = np.zeros((FRAMES, STIMULI), np.float32)
    for condition in CONDITIONS:
        features[condition.start : condition.stop, condition.flag] = 1
    return features


def small(neurons: int = 5, seed: int = 0) -> Recording:
    return Recording(traces(neurons, seed), stimuli(), CONDITIONS, "small")


def write(location: str, values: np.ndarray, features: np.ndarray) -> str:
    """Write traces (chunks of 100 by 2) and stimuli; returns the location."""
    store = create_store(location, "traces", values.shape, (100, 2), "zarr3")
    write_store(store, values)
    store = create_store(location, "stimuli_features", features.shape, (100, 26), "zarr")
    write_store(store, features)
    return location


def memory() -> str:
    """A place in memory that no other test has."""
    return f"memory://test-{next(_places)}"


def folder(path: Path) -> str:
    return write(str(path), traces(), stimuli())
