"""A trained video model: what it is, its folder (video.json and weights), and its ONNX file.

A file says in its metadata that it forecasts volumes, of how many neurons, so that whoever has the
segmentation can compare it with forecasters of traces.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zapdeploy.errors import DataError
from zapdeploy.exporter import quiet_exporter
from zapdeploy.files import atomic_write, replacing
from zapdeploy.forecasters.checkpoint import WEIGHTS_FILE
from zapdeploy.forecasters.folder import MOST_OF_ANY
from zapdeploy.forecasters.importing import load_checkpoint
from zapdeploy.typed import mapping, read_json, typed

if TYPE_CHECKING:
    from zapdeploy.forecasters.video_nunet import VideoNunet

NAME = "video-nunet"
DESCRIPTION = "video.json"
NOTE = "zapdeploy.video"  # in the metadata of files: the VideoSpec as JSON
OPSET = 17
INPUT_NAME, LEAD_NAME, OUTPUT_NAME = "input", "lead", "output"


@dataclass(frozen=True)
class VideoSpec:
    """What it takes to build a video model again.

    volume: depth, height and width of the recording's, in voxels. neurons: of its segmentation.
    skips: as for `VideoNunet`.
    """

    neurons: int
    volume: tuple[int, int, int]
    context: int = 4
    width: int = 16
    blocks: int = 2
    skips: bool = True


def is_video_folder(path: Path) -> bool:
    """Whether a video model was saved there."""
    return (path / DESCRIPTION).is_file()


def build_video(spec: VideoSpec, seed: int = 0) -> VideoNunet:
    """The network with weights drawn from `seed`."""
    import torch

    from zapdeploy.forecasters.video_nunet import VideoNunet

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VideoNunet(spec.context, spec.width, spec.blocks, skips=spec.skips)


def load_video(folder: Path) -> tuple[VideoSpec, VideoNunet]:
    """What `zapdeploy train video-nunet` wrote to a folder, in evaluation mode."""
    spec = read_video(folder)
    network = build_video(spec)
    load_checkpoint(network, folder / WEIGHTS_FILE, NAME)
    return spec, network.eval()


def write_video(folder: Path, spec: VideoSpec, record: Mapping[str, Any]) -> None:
    """Write video.json."""
    text = json.dumps({"video": asdict(spec), "training": dict(record)}, indent=2)
    with atomic_write(folder / DESCRIPTION) as file:
        file.write(text.encode() + b"\n")


def read_video(folder: Path) -> VideoSpec:
    """What video.json says. Raises DataError when it says it badly."""
    path = folder / DESCRIPTION
    try:
        return _spec(mapping(read_json(path.read_text(encoding="utf-8")))["video"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{DESCRIPTION} must describe a video model, not {type(error).__name__}: {error} "
            f"({path}); train it again"
        ) from None


def noted_video(notes: Mapping[str, str], where: str) -> VideoSpec | None:
    """What a file's metadata says; None where it forecasts no volumes."""
    if NOTE not in notes:
        return None
    try:
        return _spec(read_json(notes[NOTE]))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"metadata '{NOTE}' must describe a video model, not {type(error).__name__}: {error} "
            f"({where}); export it again"
        ) from None


def _spec(given: object) -> VideoSpec:
    found = mapping(given)
    spec = typed(VideoSpec, {f.name: found[f.name] for f in fields(VideoSpec)})
    sizes = (spec.neurons, spec.context, spec.width, spec.blocks, *spec.volume)
    if not all(0 < size < MOST_OF_ANY for size in sizes):
        raise ValueError(f"sizes {list(sizes)}")
    return spec


def export_video(folder: Path, path: Path) -> Path:
    """Write a folder's network as float32 ONNX (opset 17) for its recording's volume, whole or not
    at all.

    "input" [1, context, *volume] and "lead" [1] (frames, 1 to 32) -> "output" [1, 1, *volume].
    """
    import onnx
    import torch

    spec, network = load_video(folder)
    inputs = torch.zeros(1, spec.context, *spec.volume), torch.ones(1)
    with replacing(path) as temporary, torch.no_grad():
        with quiet_exporter():
            torch.onnx.export(
                network, inputs, str(temporary), input_names=[INPUT_NAME, LEAD_NAME],
                output_names=[OUTPUT_NAME], opset_version=OPSET, dynamo=False,
            )  # fmt: skip
        model = onnx.load(temporary)
        model.metadata_props.add(key=NOTE, value=json.dumps(asdict(spec)))
        onnx.save(model, temporary)
    return path
