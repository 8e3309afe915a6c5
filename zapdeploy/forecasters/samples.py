"""Inputs to calibrate, check and measure a network with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zapdeploy.errors import UsageError
from zapdeploy.forecasters.export import INPUT_NAME
from zapdeploy.forecasters.images import photograph_frames
from zapdeploy.forecasters.registry import ZAPBENCH_NEURONS, find_model
from zapdeploy.forecasters.synthetic import synthetic_windows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def sample_inputs(
    name: str, count: int, seed: int = 0, *, neurons: int = ZAPBENCH_NEURONS
) -> dict[str, NDArray[np.float32]]:
    """`count` inputs for the network `name`, keyed by the ONNX input name, as an .npz file is.

    Real photographs [count, 3, 224, 224] for an image network; synthetic dF/F windows
    [count, context, neurons] for a forecaster.
    """
    info = find_model(name)
    if info.kind == "image":
        return {INPUT_NAME: photograph_frames(count, seed)}
    if info.context is None:
        raise UsageError(
            f"model must have a context, not none ({name}); run: zapdeploy models list"
        )
    return {INPUT_NAME: synthetic_windows(neurons, info.context, count, seed)}
