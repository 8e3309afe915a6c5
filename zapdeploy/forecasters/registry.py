"""The networks that zapdeploy can build by name, and their published sizes."""

from __future__ import annotations

from dataclasses import dataclass

from zapdeploy.errors import UsageError
from zapdeploy.recordings.zapbench import ZAPBENCH_NEURONS as ZAPBENCH_NEURONS

ATTENTION = "attention"  # the kind of the networks in transformers.py
ROBUST, NO_SCALING = "robust", "none"  # what the host does around a forecaster
VOLUME = "volume"  # the kind of the network in volumes.py


@dataclass(frozen=True)
class ModelInfo:
    """One network at its published size.

    Shapes exclude the batch. `context` (frames) is None for an image network, `width` (hidden
    channels) where a network has no such size. `macs` counts multiply-accumulates of matrix layers
    per input. `covariates`: whether it also reads the stimuli of the frames to come, [32, 26].
    """

    name: str
    summary: str
    kind: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    context: int | None = None
    width: int | None = None
    revin: bool = False
    family: str = "resnet"
    covariates: bool = False

    @property
    def volume(self) -> tuple[int, int, int]:
        """Depth, height and width of a network over volumes."""
        _, depth, height, width = self.input_shape
        return depth, height, width


def _forecaster(
    family: str,
    context: int,
    summary: str,
    parameters: int,
    macs: int,
    *,
    width: int | None = None,
    revin: bool = False,
    covariates: bool = False,
) -> ModelInfo:
    return ModelInfo(
        name=f"{family}-c{context}",
        summary=f"{summary}, {context} frames of context",
        kind="traces",
        input_shape=(context, ZAPBENCH_NEURONS),
        output_shape=(32, ZAPBENCH_NEURONS),
        parameters=parameters,
        macs=macs,
        context=context,
        width=width,
        revin=revin,
        family=family,
        covariates=covariates,
    )


_LINEAR = "ZAPBench linear"
_TIME_MIX = "ZAPBench time-mix"
_TSMIXER = "ZAPBench TSMixer"
_TIDE = "ZAPBench TiDE with the stimuli to come"
_RESIDUAL_MLP = "residual MLP per neuron with embedding and global state"


@dataclass(frozen=True)
class Family:
    """A kind of forecaster. least_width: the least hidden width; None: it has none. most_neurons:
    None where any number will do. onnx_only: whether it is quantized as an ONNX file. wired:
    whether it is held to a connectome, without which there is none.
    """

    name: str
    summary: str
    least_width: int | None = None
    covariates: bool = False
    most_neurons: int | None = None
    onnx_only: bool = False
    wired: bool = False

    def info(self, context: int) -> ModelInfo:
        """The network for a context that nobody has published: its size is for a recording to say,
        so nothing is said of parameters and work.
        """
        return _forecaster(
            self.name,
            context,
            self.summary,
            0,
            0,
            width=None if self.least_width is None else SMALL_WIDTH,
            covariates=self.covariates,
        )


SMALL_WIDTH = 32  # hidden channels where nobody says how many
FAMILIES = {
    family.name: family
    for family in (
        Family("linear", "one map shared by all neurons"),
        Family("low-rank", "linear, with factors that all neurons share", 1),
        Family("time-mix", "five residual mixes of time"),
        Family("tsmixer", "mixes of time and of neurons", 1),
        Family("tide", "residual MLP with covariates to come", covariates=True),
        Family("residual-mlp", _RESIDUAL_MLP, 2),
        Family("wired", "messages along the edges of a connectome", 1, onnx_only=True, wired=True),
        Family("gru", "gated recurrent unit over each neuron's context", 1, onnx_only=True),
        Family(
            "transformer",
            "neurons that attend to each other",
            4,
            most_neurons=4_096,
            onnx_only=True,
        ),
    )
}
_MODELS = (
    ModelInfo(
        name="resnet50",
        summary="ResNet-50 v1.5, the yardstick that chip makers publish",
        kind="image",
        input_shape=(3, 224, 224),
        output_shape=(1000,),
        parameters=25_557_032,
        macs=4_089_184_256,
    ),
    _forecaster("linear", 4, _LINEAR, 160, 9_180_288),
    _forecaster("linear", 256, _LINEAR, 8_224, 587_538_432),
    _forecaster("time-mix", 4, _TIME_MIX, 260, 14_917_968),
    _forecaster("time-mix", 256, _TIME_MIX, 480_626, 24_089_075_712, revin=True),
    _forecaster("tsmixer", 4, _TSMIXER, 73_586_458, 305_244_576, width=256),
    _forecaster("tsmixer", 256, _TSMIXER, 37_148_100, 19_388_768_256, width=128, revin=True),
    _forecaster("tide", 4, _TIDE, 577_762, 31_002_491_008, covariates=True),
    _forecaster("tide", 256, _TIDE, 650_338, 36_207_714_304, covariates=True),
    _forecaster("residual-mlp", 4, _RESIDUAL_MLP, 13_858_720, 3_874_114_304, width=128),
    _forecaster("residual-mlp", 256, _RESIDUAL_MLP, 15_955_360, 7_346_327_552, width=128),
    ModelInfo(
        name="video-unet",
        summary="U-Net over the imaged volume, one pass for a lead time",
        kind=VOLUME,
        input_shape=(4, 72, 1152, 2048),
        output_shape=(1, 72, 1152, 2048),
        parameters=3_572_721,
        macs=70_597_686_136_896,
        width=32,
        family="video-unet",
    ),
    ModelInfo(
        name="bert-base",
        summary="BERT-base's encoder over 128 embedded tokens",
        kind=ATTENTION,
        input_shape=(128, 768),
        output_shape=(128, 768),
        parameters=85_054_464,
        macs=11_173_625_856,
        family="transformer",
    ),
    ModelInfo(
        name="decoder-layer",
        summary="a Llama-style decoder layer, one token, with a cache of 1,024",
        kind=ATTENTION,
        input_shape=(1, 2048),
        output_shape=(1, 2048),
        parameters=60_821_504,
        macs=65_011_712,
        family="transformer",
    ),
    ModelInfo(
        name="poco-c4",
        summary="POCO-style forecaster: 8 latents attend to all neurons, 4 frames of context",
        kind=ATTENTION,
        input_shape=(4, ZAPBENCH_NEURONS),
        output_shape=(32, ZAPBENCH_NEURONS),
        parameters=9_533_728,
        macs=6_758_674_432,
        width=128,
        family="transformer",
    ),
)


def list_models() -> tuple[ModelInfo, ...]:
    """Every network that `export_model` knows, at its published size."""
    return _MODELS


def find_model(name: str) -> ModelInfo:
    """The network of that name; raises UsageError for any other.

    Forecasters exist for any context: "tsmixer-c16".
    """
    for info in _MODELS:
        if info.name == name:
            return info
    family, _, context = name.rpartition("-c")
    if family in FAMILIES and context.isdigit() and int(context) > 0:
        return FAMILIES[family].info(int(context))
    names = ", ".join(info.name for info in _MODELS)
    raise UsageError(f"model must be one of {names}, not {name!r}; run: zapdeploy models list")


def forecaster_families() -> tuple[str, ...]:
    """The kinds of forecasters, each of which has one network per context."""
    return tuple(FAMILIES)


def find_forecaster(name: str) -> tuple[ModelInfo, int]:
    """The forecaster of that name and its context; raises UsageError for any other network."""
    info = find_model(name)
    if info.context is None:
        names = ", ".join(model.name for model in _MODELS if model.context is not None)
        raise UsageError(f"forecaster must be one of {names}, not '{name}'")
    return info, info.context
