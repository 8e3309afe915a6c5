"""The networks that zapdeploy can build by name, and their published sizes."""

from __future__ import annotations

from dataclasses import dataclass

from zapdeploy.errors import UsageError

ZAPBENCH_NEURONS = 71_721


@dataclass(frozen=True)
class ModelInfo:
    """One network at its published size.

    Shapes exclude the batch. `context` (frames) and `width` (hidden neurons of the feature mix) are
    None for an image network. `macs` counts multiply-accumulates of matrix layers per input.
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
    ModelInfo(
        name="tsmixer-c4",
        summary="ZAPBench TSMixer, 4 frames of context",
        kind="traces",
        input_shape=(4, ZAPBENCH_NEURONS),
        output_shape=(32, ZAPBENCH_NEURONS),
        parameters=73_586_458,
        macs=305_244_576,
        context=4,
        width=256,
    ),
    ModelInfo(
        name="tsmixer-c256",
        summary="ZAPBench TSMixer, 256 frames of context, reversible instance normalisation",
        kind="traces",
        input_shape=(256, ZAPBENCH_NEURONS),
        output_shape=(32, ZAPBENCH_NEURONS),
        parameters=37_148_100,
        macs=19_388_768_256,
        context=256,
        width=128,
        revin=True,
    ),
)


def list_models() -> tuple[ModelInfo, ...]:
    """Every network that `export_model` knows, at its published size."""
    return _MODELS


def find_model(name: str) -> ModelInfo:
    """The network of that name; raises UsageError for any other."""
    for info in _MODELS:
        if info.name == name:
            return info
    names = ", ".join(info.name for info in _MODELS)
    raise UsageError(f"model must be one of {names}, not {name!r}; run: zapdeploy models list")
