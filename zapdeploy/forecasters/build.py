"""A network by name, as a torch module with random or given weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zapdeploy.errors import UsageError
from zapdeploy.forecasters.registry import ZAPBENCH_NEURONS, ModelInfo, find_model

if TYPE_CHECKING:
    from torch import nn

CALIBRATION_FRAMES = 16


def build_model(
    name: str,
    *,
    neurons: int = ZAPBENCH_NEURONS,
    width: int | None = None,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    revin: bool = True,
) -> nn.Module:
    """The network `name` in evaluation mode, as it is trained (BatchNorm not folded).

    neurons, width, revin: for forecasters only; width defaults to the published one, and
    `revin=False` leaves reversible instance normalisation out where the network has it.
    Weights are drawn from `seed`, unless a checkpoint gives them.
    """
    info = find_model(name)
    _check_size(info, neurons, width)
    if info.kind == "image":
        module = _resnet50(seed, random=checkpoint is None)
    else:
        module = _tsmixer(info, neurons, width, seed, revin=revin)
    if checkpoint is not None:
        from zapdeploy.forecasters.checkpoint import load_checkpoint

        load_checkpoint(module, Path(checkpoint), name)
    return module.eval()


def _check_size(info: ModelInfo, neurons: int, width: int | None) -> None:
    if info.kind == "image" and (width is not None or neurons != ZAPBENCH_NEURONS):
        raise UsageError(
            f"neurons and width must be left out for {info.name}, not set; they size a forecaster"
        )
    for what, value in (("neurons", neurons), ("width", 1 if width is None else width)):
        if value < 1:
            raise UsageError(f"{what} must be at least 1, not {value} ({info.name}); give a size")


def _resnet50(seed: int, *, random: bool) -> nn.Module:
    from zapdeploy.forecasters.resnet50 import ResNet50, random_resnet50

    if not random:
        return ResNet50()
    import torch

    from zapdeploy.forecasters.images import photograph_frames

    return random_resnet50(seed, torch.from_numpy(photograph_frames(CALIBRATION_FRAMES, seed)))


def _tsmixer(
    info: ModelInfo, neurons: int, width: int | None, seed: int, *, revin: bool
) -> nn.Module:
    from zapdeploy.forecasters.tsmixer import random_tsmixer

    if info.context is None or info.width is None:
        raise UsageError(f"model must be a forecaster, not {info.name}; run: zapdeploy models list")
    return random_tsmixer(
        neurons,
        info.context,
        info.width if width is None else width,
        revin=info.revin and revin,
        seed=seed,
    )
