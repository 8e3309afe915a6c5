"""Networks as ONNX files: static batch, BatchNorm folded, the same bytes every time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from zapdeploy.errors import UsageError
from zapdeploy.exporter import quiet_exporter
from zapdeploy.files import replacing
from zapdeploy.forecasters.build import build_model, neurons_to_build
from zapdeploy.forecasters.folder import folder_notes, trained_spec
from zapdeploy.forecasters.registry import (
    ATTENTION,
    VOLUME,
    ZAPBENCH_NEURONS,
    ModelInfo,
    find_model,
)
from zapdeploy.forecasters.transformers import (
    build_transformer,
    check_transformer,
    export_transformer,
)
from zapdeploy.forecasters.volumes import Volume, build_volume_network, export_volume_network
from zapdeploy.recordings.zapbench import HORIZON, STIMULI

if TYPE_CHECKING:
    import onnx
    from torch import nn

OPSET = 17
INPUT_NAME = "input"
COVARIATES_NAME = "covariates"
OUTPUT_NAME = "output"
# A protobuf message, hence an ONNX file without external data, ends at 2 GiB.
FILE_LIMIT_BYTES = 2**31 - 2**24


def export_model(
    name: str,
    path: str | Path,
    *,
    neurons: int = ZAPBENCH_NEURONS,
    width: int | None = None,
    batch: int = 1,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    revin: bool = False,
    nlinear: bool = False,
    volume: Volume | None = None,
) -> Path:
    """Write the network `name` to `path` as float32 ONNX (opset 17) and return the path.

    The input "input" is [batch, 3, 224, 224] or [batch, context, neurons], the output "output"
    [batch, 1000] or [batch, 32, neurons]; a forecaster that reads the stimuli to come has a second
    input "covariates" [batch, 32, 26]. The batch is static. Equal arguments give equal bytes; an
    interrupted call leaves no file.

    revin: keep reversible instance normalisation in the file, where the network has it. Without,
    the file's input and output are normalised, and its metadata says what is left to the host (see
    `zapdeploy.revin`): the way to a chip. volume: depth, height and width in voxels, for the video
    U-Net. Other arguments as for `build_model`. Where a checkpoint is a trained folder that says
    which columns of a recording its neurons are, the file's metadata says it too.
    """
    if batch < 1:
        raise UsageError(f"batch must be at least 1, not {batch}; give a batch size")
    info = find_model(name)
    if volume is not None and info.kind != VOLUME:
        raise UsageError(f"volume must be left out for {name}, not set; it sizes the video U-Net")
    if info.kind == VOLUME:
        unet = build_volume_network(info, width=width, seed=seed, checkpoint=checkpoint)
        return export_volume_network(unet, path, volume or info.volume, batch=batch)
    if info.kind == ATTENTION:
        check_transformer(info, neurons, width, checkpoint)
        network = build_transformer(name, neurons=neurons, seed=seed)
        return export_transformer(network, path, batch=batch)
    module = build_model(
        name,
        neurons=neurons,
        width=width,
        seed=seed,
        checkpoint=checkpoint,
        nlinear=nlinear,
    )
    built = neurons_to_build(name, neurons, checkpoint)
    notes = folder_notes(checkpoint)
    spec = None if checkpoint is None else trained_spec(checkpoint)
    return export_module(
        module,
        info,
        path,
        neurons=built,
        batch=batch,
        revin=revin,
        notes=notes,
        horizon=HORIZON if spec is None else spec.horizon,
        covariates=STIMULI if spec is None or spec.covariates is None else spec.covariates,
    )


def export_module(
    module: nn.Module,
    info: ModelInfo,
    path: str | Path,
    *,
    neurons: int,
    batch: int = 1,
    revin: bool = False,
    notes: Mapping[str, str] | None = None,
    horizon: int = HORIZON,
    covariates: int = STIMULI,
) -> Path:
    """Write a network that is at hand, in evaluation mode, as `export_model` does.

    Its BatchNorm layers are folded and its normalisation is taken out, in place. notes: what else
    the file's metadata is to say.
    """
    from zapdeploy.forecasters.tsmixer import take_out_norm

    _check_file_size(module, info)
    target = Path(path)
    if not target.parent.is_dir():
        raise UsageError(
            f"path must be in an existing folder, not {str(target)!r}; create it first"
        )
    shape = info.input_shape if info.kind == "image" else (info.input_shape[0], neurons)
    inputs = {INPUT_NAME: (batch, *shape)}
    if info.covariates:
        inputs[COVARIATES_NAME] = (batch, horizon, covariates)
    normalisation = None if revin else take_out_norm(module)
    with replacing(target) as temporary:
        _write_onnx(module, inputs, temporary)
        host = {} if normalisation is None else normalisation.notes()
        if said := {**host, **(notes or {})}:
            _append_notes(temporary, said)
    return target


def _append_notes(path: Path, notes: Mapping[str, str]) -> None:
    """Add metadata to an ONNX file."""
    import onnx

    added = onnx.ModelProto()
    for key, value in notes.items():
        added.metadata_props.add(key=key, value=value)
    _append(path, added)


def _append(path: Path, added: onnx.ModelProto) -> None:
    """Add to an ONNX file. A protobuf message after another is merged into it, so that the weights
    need not be read again."""
    with path.open("ab") as file:
        file.write(added.SerializeToString())


def read_notes(path: Path) -> dict[str, str]:
    """The metadata of an ONNX file."""
    import onnx

    model = onnx.load(path, format="protobuf", load_external_data=False)
    return {entry.key: entry.value for entry in model.metadata_props}


def _check_file_size(module: nn.Module, info: ModelInfo) -> None:
    size = sum(value.numel() * value.element_size() for value in module.state_dict().values())
    if size > FILE_LIMIT_BYTES:
        raise UsageError(
            f"weights must be under {FILE_LIMIT_BYTES / 1e9:.1f} GB in one ONNX file, not "
            f"{size / 1e9:.1f} GB ({info.name}); take fewer neurons or a smaller width"
        )


def _check_blocks(module: nn.Module) -> None:
    """Raise UsageError where the blocks of a wiring leave no room in one file."""
    size = sum(value.numel() * value.element_size() for value in module.buffers())
    if size > FILE_LIMIT_BYTES:
        raise UsageError(
            f"blocks of the wiring must be under {FILE_LIMIT_BYTES / 1e9:.1f} GB in one ONNX file, "
            f"not {size / 1e9:.1f} GB; leave out weak edges (--least-synapses), or take fewer "
            "neurons"
        )


def _write_onnx(module: nn.Module, inputs: Mapping[str, tuple[int, ...]], path: Path) -> None:
    import torch

    from zapdeploy.forecasters.residual_mlp import ResidualMLPForecaster, fold_residual_mlp
    from zapdeploy.forecasters.resnet50 import ResNet50, fold_batchnorm
    from zapdeploy.forecasters.scaled import Scaled
    from zapdeploy.forecasters.wired import WiredForecaster
    from zapdeploy.forecasters.wired_blocks import BlockedWired

    if isinstance(module, Scaled):
        module = module.network if module.plain else module
    if isinstance(module, ResNet50):
        module = fold_batchnorm(module)
    elif isinstance(module, ResidualMLPForecaster):
        module = fold_residual_mlp(module)
    elif isinstance(module, WiredForecaster):
        module = BlockedWired(module)
        _check_blocks(module)
    alone = isinstance(module, BlockedWired)
    with quiet_exporter(), torch.no_grad():
        torch.onnx.export(
            module,
            tuple(torch.zeros(shape) for shape in inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=[OUTPUT_NAME],
            opset_version=OPSET,
            dynamo=False,
            export_params=not alone,
        )
    if alone:
        _append_weights(path, module)


def _append_weights(path: Path, module: nn.Module) -> None:
    """Turn the inputs of an ONNX file that are a module's weights into weights.

    They are written one after the other, so that they are held in memory once more only one by one.
    """
    import onnx

    model, held = onnx.load(path), module.state_dict()
    inputs = list(model.graph.input)
    del model.graph.input[:]
    model.graph.input.extend(value for value in inputs if value.name not in held)
    onnx.save(model, path)
    for value in inputs:
        if value.name in held:
            tensor = onnx.numpy_helper.from_array(held[value.name].numpy(), value.name)
            _append(path, onnx.ModelProto(graph=onnx.GraphProto(initializer=[tensor])))
