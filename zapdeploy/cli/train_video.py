"""zapdeploy train video-nunet --data DIR -o DIR"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zapdeploy.cli import options, show


@dataclass(frozen=True)
class VideoRequest:
    """What is to be trained on what; options of the command line."""

    data: str
    output: Path
    context: int | None
    width: int | None
    blocks: int | None
    crop: str | None
    seed: int
    device: str
    restart: bool


def train_video_network(
    asked: VideoRequest, given: Mapping[str, int | float | str | None], *, as_json: bool
) -> int:
    """Train, write the folder and say how good it is. given: training options, None by default."""
    from zapdeploy.benchmarks.accuracy.video import recorded_volume
    from zapdeploy.forecasters.checkpoint import WEIGHTS_FILE
    from zapdeploy.forecasters.devices import choose_device
    from zapdeploy.forecasters.resuming import RESUME
    from zapdeploy.forecasters.training_options import TrainingOptions
    from zapdeploy.forecasters.video import DESCRIPTION, VideoSpec
    from zapdeploy.forecasters.video_training import train_video
    from zapdeploy.recordings.recording import open_recording

    crop = None if asked.crop is None else options.voxels("--crop", asked.crop)
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    settings = TrainingOptions(**chosen, seed=asked.seed, device=choose_device(asked.device))
    with show.progress(not as_json) as progress:
        recording = open_recording(asked.data, progress=progress)
        volume = recorded_volume(recording.source)
        sizes: dict[str, Any] = {
            "context": asked.context,
            "width": asked.width,
            "blocks": asked.blocks,
        }
        spec = VideoSpec(volume.neurons, volume.shape)
        spec = replace(spec, **{k: v for k, v in sizes.items() if v is not None})
        if asked.restart:
            for name in (RESUME, DESCRIPTION, WEIGHTS_FILE):
                (asked.output / name).unlink(missing_ok=True)
        result = train_video(spec, recording, volume, asked.output, settings, crop, progress)
    document = {
        "forecaster": "video-nunet",
        "folder": str(asked.output),
        "data": recording.source,
        "neurons": spec.neurons,
        "volume": list(spec.volume),
        "crop": list(crop or spec.volume),
        "context": spec.context,
        "parameters": result.parameters,
        "steps": result.steps,
        "best_step": result.best_step,
        "validation_mae_of_voxels": result.validation_mae,
        "stopped": result.stopped,
        "history": [{"step": step, "validation_mae": mae} for step, mae in result.history],
    }
    if as_json:
        show.print_json(document)
        return 0
    print(
        f"wrote {asked.output} (video-nunet, {' x '.join(map(str, spec.volume))} voxels, "
        f"{spec.neurons:,} neurons, {result.parameters:,} parameters)"
    )
    print(
        f"validation MAE {result.validation_mae:.5f} a voxel at step {result.best_step} of "
        f"{result.steps} (stopped: {result.stopped})"
    )
    return 0
