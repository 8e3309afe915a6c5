"""A network by name, as a torch module with random or given weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zapdeploy.errors import UsageError
from zapdeploy.forecasters.registry import (
    ATTENTION,
    ZAPBENCH_NEURONS,
    ModelInfo,
    find_forecaster,
    find_model,
)
from zapdeploy.forecasters.transformers import build_transformer, check_transformer

if TYPE_CHECKING:
    from torch import nn

    from zapdeploy.forecasters.folder import ForecasterSpec

CALIBRATION_FRAMES = 16
SMALLEST_WIDTH = {"residual-mlp": 2}  # half of it is the width of the global state


def build_model(
    name: str,
    *,
    neurons: int = ZAPBENCH_NEURONS,
    width: int | None = None,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    revin: bool = True,
    nlinear: bool = False,
) -> nn.Module:
    """The network `name` in evaluation mode, as it is trained (BatchNorm not folded).

    neurons, width, revin, nlinear: for forecasters only; width defaults to the published one,
    `revin=False` leaves reversible instance normalisation out where the network has it, and
    `nlinear` lets the linear forecaster forecast the change from the last frame. Weights are drawn
    from `seed`, unless a checkpoint gives them: a file of tensors, or a folder that training wrote,
    which also says the sizes and switches.
    """
    info = find_model(name)
    if info.kind == ATTENTION:
        check_transformer(info, neurons, width, checkpoint)
        return build_transformer(name, neurons=neurons, seed=seed).module
    if checkpoint is not None and _is_trained(Path(checkpoint)):
        spec = _trained_spec(Path(checkpoint), name, neurons, width)
        neurons, width, revin, nlinear = spec.neurons, spec.width, spec.revin, spec.nlinear
    check_options(info, neurons, width, nlinear=nlinear)
    if info.kind == "image":
        module = _resnet50(seed, random=checkpoint is None)
    else:
        module = _forecaster(info, neurons, width, seed, revin=revin, nlinear=nlinear)
    if checkpoint is not None:
        from zapdeploy.forecasters.checkpoint import load_checkpoint

        load_checkpoint(module, Path(checkpoint), name)
    return module.eval()


def neurons_to_build(name: str, neurons: int, checkpoint: str | Path | None) -> int:
    """How many neurons `build_model` builds: a trained folder's own, else those asked for."""
    if checkpoint is None or not _is_trained(Path(checkpoint)):
        return neurons
    return _trained_spec(Path(checkpoint), name, neurons, None).neurons


def _is_trained(path: Path) -> bool:
    from zapdeploy.forecasters.folder import is_forecaster_folder

    return is_forecaster_folder(path)


def _trained_spec(path: Path, name: str, neurons: int, width: int | None) -> ForecasterSpec:
    """What a folder says of its forecaster. Raises UsageError where something else was asked for.

    All neurons and no width are what is asked for when nothing is.
    """
    from zapdeploy.forecasters.folder import read_description

    spec = read_description(path)[0]
    if spec.name != name:
        raise UsageError(f"model must be {spec.name}, not {name}; that is what {path} holds")
    if neurons not in (spec.neurons, ZAPBENCH_NEURONS):
        raise UsageError(f"neurons must be {spec.neurons}, not {neurons}; {path} was trained so")
    own = spec.width if spec.width is not None else spec.info.width
    if width not in (None, own):
        raise UsageError(f"width must be {own}, not {width}; {path} was trained so")
    return spec


def check_options(info: ModelInfo, neurons: int, width: int | None, *, nlinear: bool) -> None:
    """Raise UsageError unless a network of that size can be built."""
    if nlinear and info.family != "linear":
        raise UsageError(
            f"nlinear must be left out for {info.name}, not set; it is the linear's switch"
        )
    if info.kind == "image" and (width is not None or neurons != ZAPBENCH_NEURONS):
        raise UsageError(
            f"neurons and width must be left out for {info.name}, not set; they size a forecaster"
        )
    if info.kind != "image" and info.width is None and width is not None:
        raise UsageError(
            f"width must be left out for {info.name}, not {width}; it has no such size"
        )
    for what, value in (("neurons", neurons), ("width", 1 if width is None else width)):
        if value < 1:
            raise UsageError(f"{what} must be at least 1, not {value} ({info.name}); give a size")
    least = SMALLEST_WIDTH.get(info.family, 1)
    if width is not None and width < least:
        raise UsageError(f"width must be at least {least}, not {width} ({info.name}); give a size")


def _resnet50(seed: int, *, random: bool) -> nn.Module:
    from zapdeploy.forecasters.resnet50 import ResNet50, random_resnet50

    if not random:
        return ResNet50()
    import torch

    from zapdeploy.forecasters.images import photograph_frames

    return random_resnet50(seed, torch.from_numpy(photograph_frames(CALIBRATION_FRAMES, seed)))


def _forecaster(
    info: ModelInfo, neurons: int, width: int | None, seed: int, *, revin: bool, nlinear: bool
) -> nn.Module:
    """The network with torch's default initialisation, drawn from `seed` alone."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make_forecaster(info.name, neurons, width, revin=revin, nlinear=nlinear)


def make_forecaster(
    name: str, neurons: int, width: int | None = None, *, revin: bool = True, nlinear: bool = False
) -> nn.Module:
    """A forecaster as torch's present state initialises it, on its present device."""
    from zapdeploy.forecasters.linear import LinearForecaster
    from zapdeploy.forecasters.residual_mlp import ResidualMLPForecaster
    from zapdeploy.forecasters.tide import TiDE
    from zapdeploy.forecasters.time_mix import TimeMixForecaster
    from zapdeploy.forecasters.tsmixer import TSMixer

    info, context = find_forecaster(name)
    normalised = info.revin and revin
    size = width if width is not None else info.width or 1
    if info.family == "linear":
        return LinearForecaster(context, nlinear=nlinear)
    if info.family == "time-mix":
        return TimeMixForecaster(neurons, context, revin=normalised)
    if info.family == "tide":
        return TiDE(context)
    if info.family == "residual-mlp":
        return ResidualMLPForecaster(neurons, context, size)
    return TSMixer(neurons, context, size, revin=normalised)
