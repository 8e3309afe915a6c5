"""A network by name, as a torch module with random or given weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zapdeploy.errors import UsageError
from zapdeploy.forecasters.folder import ForecasterSpec, is_forecaster_folder, read_description
from zapdeploy.forecasters.importing import load_checkpoint
from zapdeploy.forecasters.registry import (
    ATTENTION,
    FAMILIES,
    NO_SCALING,
    ROBUST,
    ZAPBENCH_NEURONS,
    ModelInfo,
    find_forecaster,
    find_model,
)
from zapdeploy.forecasters.transformers import build_transformer, check_transformer
from zapdeploy.recordings.zapbench import HORIZON, STIMULI

if TYPE_CHECKING:
    from torch import nn

    from zapdeploy.forecasters.wiring import WiringSpec

CALIBRATION_FRAMES = 16


def build_model(
    name: str,
    *,
    neurons: int = ZAPBENCH_NEURONS,
    width: int | None = None,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    revin: bool = True,
    nlinear: bool = False,
    horizon: int = HORIZON,
    covariates: int | None = None,
    scaling: str = NO_SCALING,
    wiring: WiringSpec | None = None,
) -> nn.Module:
    """The network `name` in evaluation mode, as it is trained (BatchNorm not folded).

    neurons, width, revin, nlinear: for forecasters only; width defaults to the published one,
    `revin=False` leaves reversible instance normalisation out where the network has it, and
    `nlinear` lets the linear forecaster forecast the change from the last frame. horizon: frames to
    forecast. covariates: how many it reads, where it does (None: the benchmark's 26). scaling:
    "robust" puts each neuron's own scaling around the network (`zapdeploy.host_part`). wiring: of
    the forecaster that is held to one, what it is; its edges come with a checkpoint. Weights are
    drawn from `seed`, unless a checkpoint gives them: a file of tensors, or a folder that training
    wrote, which also says the sizes and switches.
    """
    info = find_model(name)
    if info.kind == ATTENTION:
        check_transformer(info, neurons, width, checkpoint)
        return build_transformer(name, neurons=neurons, seed=seed).module
    if checkpoint is not None and is_forecaster_folder(Path(checkpoint)):
        spec = _trained_spec(Path(checkpoint), name, neurons, width)
        neurons, width, revin, nlinear = spec.neurons, spec.width, spec.revin, spec.nlinear
        horizon, covariates, scaling = spec.horizon, spec.covariates, spec.scaling
        wiring = spec.wiring
    check_options(info, neurons, width, nlinear=nlinear)
    if info.kind == "image":
        module = _resnet50(seed, random=checkpoint is None)
    else:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = make_forecaster(
                name,
                neurons,
                width,
                revin=revin,
                nlinear=nlinear,
                horizon=horizon,
                covariates=covariates,
                scaling=scaling,
                wiring=wiring,
            )
    if checkpoint is not None:
        load_checkpoint(module, Path(checkpoint), name)
    return module.eval()


def build_forecaster(
    spec: ForecasterSpec, seed: int = 0, checkpoint: Path | None = None
) -> nn.Module:
    """The network that a description is of, in evaluation mode, as `build_model`."""
    return build_model(
        spec.name,
        neurons=spec.neurons,
        width=spec.width,
        seed=seed,
        checkpoint=checkpoint,
        revin=spec.revin,
        nlinear=spec.nlinear,
        horizon=spec.horizon,
        covariates=spec.covariates,
        scaling=spec.scaling,
        wiring=spec.wiring,
    )


def check_forecaster(spec: ForecasterSpec) -> None:
    """Raise UsageError unless such a forecaster can be built."""
    check_options(spec.info, spec.neurons, spec.width, nlinear=spec.nlinear)


def neurons_to_build(name: str, neurons: int, checkpoint: str | Path | None) -> int:
    """How many neurons `build_model` builds: a trained folder's own, else those asked for."""
    if checkpoint is None or not is_forecaster_folder(Path(checkpoint)):
        return neurons
    return _trained_spec(Path(checkpoint), name, neurons, None).neurons


def _trained_spec(path: Path, name: str, neurons: int, width: int | None) -> ForecasterSpec:
    """What a folder says of its forecaster. Raises UsageError where something else was asked for.

    All neurons and no width are what is asked for when nothing is.
    """
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
    family = FAMILIES.get(info.family)
    least = 1 if family is None else family.least_width or 1
    if family is not None and family.most_neurons is not None and neurons > family.most_neurons:
        raise UsageError(
            f"neurons must be at most {family.most_neurons:,} for {info.name}, not {neurons:,}; "
            "every neuron attends to every other: take residual-mlp, or --neurons N"
        )
    if info.family == "transformer" and width is not None and width % 4:
        raise UsageError(
            f"width must be a multiple of 4, not {width} ({info.name}): it has 4 heads"
        )
    if width is not None and width < least:
        raise UsageError(f"width must be at least {least}, not {width} ({info.name}); give a size")


def _resnet50(seed: int, *, random: bool) -> nn.Module:
    from zapdeploy.forecasters.resnet50 import ResNet50, random_resnet50

    if not random:
        return ResNet50()
    import torch

    from zapdeploy.forecasters.images import photograph_frames

    return random_resnet50(seed, torch.from_numpy(photograph_frames(CALIBRATION_FRAMES, seed)))


def make_forecaster(
    name: str,
    neurons: int,
    width: int | None = None,
    *,
    revin: bool = True,
    nlinear: bool = False,
    horizon: int = HORIZON,
    covariates: int | None = None,
    scaling: str = NO_SCALING,
    wiring: WiringSpec | None = None,
) -> nn.Module:
    """A forecaster as torch's present state initialises it, on its present device."""
    from zapdeploy.forecasters.scaled import Scaled, ScaledWithCovariates

    info, context = find_forecaster(name)
    size = width if width is not None else info.width or 1
    read = STIMULI if covariates is None else covariates
    scaled = scaling == ROBUST
    if FAMILIES[info.family].wired:
        network = _wired(info, neurons, context, size, horizon, wiring, scaled)
    else:
        network = _network(
            info, neurons, context, size, horizon, read, revin and not scaled, nlinear, scaled
        )
    if not scaled:
        return network
    return (ScaledWithCovariates if info.covariates else Scaled)(network, neurons)


def _wired(
    info: ModelInfo,
    neurons: int,
    context: int,
    size: int,
    horizon: int,
    wiring: WiringSpec | None,
    scaled: bool,
) -> nn.Module:
    from zapdeploy.forecasters.wired import WiredForecaster

    if wiring is None:
        raise UsageError(
            f"{info.name} must have a wiring, not none; train it: zapdeploy train wired "
            "--connectome PATH, and give its folder with --checkpoint"
        )
    return WiredForecaster(neurons, context, size, horizon, wiring, adds_last=not scaled)


def _network(
    info: ModelInfo,
    neurons: int,
    context: int,
    size: int,
    horizon: int,
    covariates: int,
    revin: bool,
    nlinear: bool,
    scaled: bool,
) -> nn.Module:
    from zapdeploy.forecasters.gru import GRUForecaster
    from zapdeploy.forecasters.linear import LinearForecaster
    from zapdeploy.forecasters.low_rank import LowRankForecaster
    from zapdeploy.forecasters.residual_mlp import ResidualMLPForecaster
    from zapdeploy.forecasters.small_transformer import TransformerForecaster
    from zapdeploy.forecasters.tide import TiDE
    from zapdeploy.forecasters.time_mix import TimeMixForecaster
    from zapdeploy.forecasters.tsmixer import TSMixer

    normalised = info.revin and revin
    if info.family == "linear":
        return LinearForecaster(context, horizon, nlinear=nlinear)
    if info.family == "low-rank":
        return LowRankForecaster(neurons, context, size, horizon)
    if info.family == "time-mix":
        return TimeMixForecaster(neurons, context, horizon, revin=normalised)
    if info.family == "tide":
        return TiDE(context, horizon, covariates)
    if info.family == "residual-mlp":
        return ResidualMLPForecaster(neurons, context, size, horizon, adds_last=not scaled)
    if info.family == "gru":
        return GRUForecaster(neurons, context, size, horizon)
    if info.family == "transformer":
        return TransformerForecaster(neurons, context, size, horizon)
    return TSMixer(neurons, context, size, horizon, revin=normalised)
