"""Inputs to calibrate, check and measure a network with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zapdeploy.errors import UsageError
from zapdeploy.forecasters.export import COVARIATES_NAME, INPUT_NAME
from zapdeploy.forecasters.images import photograph_frames
from zapdeploy.forecasters.registry import ATTENTION, VOLUME, ZAPBENCH_NEURONS, find_model
from zapdeploy.forecasters.transformers import build_transformer, transformer_samples
from zapdeploy.forecasters.volumes import Volume, build_volume_network, volume_samples
from zapdeploy.recordings.synthetic import synthetic_windows
from zapdeploy.recordings.zapbench import FRAMES, HORIZON

if TYPE_CHECKING:
    from numpy.typing import NDArray


def sample_inputs(
    name: str,
    count: int,
    seed: int = 0,
    *,
    neurons: int = ZAPBENCH_NEURONS,
    volume: Volume | None = None,
) -> dict[str, NDArray[np.float32]]:
    """`count` inputs for the network `name`, keyed by the ONNX input name, as an .npz file is.

    Real photographs [count, 3, 224, 224] for an image network; synthetic dF/F windows
    [count, context, neurons] for a forecaster, with the stimuli to come [count, 32, 26] where it
    reads them; volumes and lead times for the video U-Net; features, positions and caches for a
    network of attention.
    """
    info = find_model(name)
    if info.kind == "image":
        return {INPUT_NAME: photograph_frames(count, seed)}
    if info.kind == VOLUME:
        return volume_samples(build_volume_network(info), volume or info.volume, count, seed)
    if info.kind == ATTENTION:
        network = build_transformer(name, neurons=neurons, seed=seed)
        return transformer_samples(network, count, seed)
    if info.context is None:
        raise UsageError(
            f"model must have a context, not none ({name}); run: zapdeploy models list"
        )
    inputs = {INPUT_NAME: synthetic_windows(neurons, info.context, count, seed)}
    if info.covariates:
        inputs[COVARIATES_NAME] = _sample_stimuli(count, seed)
    return inputs


def _sample_stimuli(count: int, seed: int) -> NDArray[np.float32]:
    """Stimuli of 32 frames from anywhere in the synthetic recording: [count, 32, 26]."""
    from zapdeploy.recordings.synthetic_recording import stimulus_features

    features = stimulus_features()
    starts = np.random.default_rng((seed, 4)).integers(0, FRAMES - HORIZON, count)
    return np.stack([features[start : start + HORIZON] for start in starts])
