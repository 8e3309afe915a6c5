"""The video U-Net as an ONNX file, for a volume of any size.

The network is traced on the smallest volume that it takes and the file is then made to measure, so
that a file for the whole brain (2048 x 1152 x 72 voxels) is written without forecasting one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zapdeploy.errors import UsageError
from zapdeploy.exporter import quiet_exporter
from zapdeploy.files import replacing
from zapdeploy.recordings.zapbench import HORIZON

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zapdeploy.forecasters.registry import ModelInfo
    from zapdeploy.forecasters.video_unet import VideoUNet

Volume = tuple[int, int, int]  # depth, height, width in voxels
OPSET = 17
INPUT_NAME, LEAD_NAME, OUTPUT_NAME = "input", "lead", "output"


def build_volume_network(
    info: ModelInfo,
    *,
    width: int | None = None,
    seed: int = 0,
    checkpoint: str | Path | None = None,
) -> VideoUNet:
    """The network in evaluation mode, with weights drawn from `seed` or those of a checkpoint.

    width: of the first level; the others keep their proportion to it.
    """
    import torch

    from zapdeploy.forecasters.importing import load_checkpoint
    from zapdeploy.forecasters.video_unet import WIDTHS, VideoUNet

    if width is not None and width < 2:
        raise UsageError(f"width must be at least 2, not {width} ({info.name}); give a size")
    widths = WIDTHS if width is None else tuple(w * width // WIDTHS[0] for w in WIDTHS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = VideoUNet(info.input_shape[0], widths)
    if checkpoint is not None:
        load_checkpoint(network, Path(checkpoint), info.name)
    return network.eval()


def export_volume_network(
    network: VideoUNet, path: str | Path, volume: Volume, *, batch: int = 1
) -> Path:
    """Write float32 ONNX (opset 17), whole or not at all; returns the path.

    "input" [batch, context, *volume] and "lead" [batch] (frames, 1 to 32) -> "output"
    [batch, 1, *volume].
    """
    import onnx
    from onnxscript import optimizer

    from zapdeploy.forecasters.video_unet import check_volume

    check_volume(network, volume)
    target = Path(path)
    if not target.parent.is_dir():
        raise UsageError(
            f"path must be in an existing folder, not {str(target)!r}; create it first"
        )
    with replacing(target) as temporary:
        _trace(network, temporary, batch)
        model = onnx.load(temporary)
        for value in (model.graph.input[0], model.graph.output[0]):
            for size, voxels in zip(value.type.tensor_type.shape.dim[2:], volume, strict=True):
                size.ClearField("dim_param")
                size.dim_value = voxels
        onnx.save(optimizer.optimize(model), temporary)
    return target


def volume_samples(
    network: VideoUNet, volume: Volume, count: int, seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """`count` inputs: random volumes of a range like dF/F's, and lead times from all 32."""
    random = np.random.default_rng(seed)
    shape = (count, network.enter.in_channels, *volume)
    voxels = np.float32(0.1) * random.standard_normal(shape, np.float32)
    lead = random.integers(1, HORIZON + 1, count).astype(np.float32)
    return {INPUT_NAME: voxels, LEAD_NAME: lead}


def _trace(network: VideoUNet, path: Path, batch: int) -> None:
    """The file with sizes left open, as the exporter writes it."""
    import torch

    least, context = 2**network.halvings, network.enter.in_channels
    opened = {2: "depth", 3: "height", 4: "width"}
    with quiet_exporter(), torch.no_grad():
        torch.onnx.export(
            network,
            (torch.zeros(batch, context, 1, least, least), torch.ones(batch)),
            str(path),
            input_names=[INPUT_NAME, LEAD_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_axes={INPUT_NAME: opened, OUTPUT_NAME: opened},
            opset_version=OPSET,
            dynamo=False,
        )
