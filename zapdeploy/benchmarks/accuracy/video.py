"""The video model among forecasters of traces: its forecast is the mean over each segment's voxels.

The volume is that of the recording which everything is compared on, `df_over_f` and `segmentation`
beside its traces. One pass for each lead time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zapdeploy.arrays import Floats
from zapdeploy.benchmarks.accuracy.training_data import noted
from zapdeploy.errors import DataError
from zapdeploy.forecasters.evaluation import FromRecording
from zapdeploy.forecasters.video import (
    INPUT_NAME,
    LEAD_NAME,
    VideoSpec,
    is_video_folder,
    load_video,
    noted_video,
    read_video,
)
from zapdeploy.recordings.recording import SYNTHETIC, ZAPBENCH, Recording
from zapdeploy.recordings.volume import Volume, open_volume
from zapdeploy.recordings.zapbench import ZAPBENCH_URL

# By the ONNX file's input names, one volume and lead time -> its output [1, 1, *volume].
Run = Callable[[Mapping[str, Floats]], Floats]


def video_of(model: str) -> VideoSpec | None:
    """What a video model's folder, ONNX or .zap file says; None of anything else."""
    path = Path(model)
    if is_video_folder(path):
        return read_video(path)
    return noted_video(noted(path), model)


@dataclass(eq=False)
class VideoForecast(FromRecording):
    """A video model as a forecaster of traces, wherever it runs."""

    run: Run
    spec: VideoSpec
    where: str
    volumes: dict[str, Volume] = field(default_factory=dict)

    def windows(self, recording: Recording, starts: Sequence[int], horizon: int) -> Floats:
        volume = self._volume(recording)
        columns = slice(None) if recording.columns is None else recording.columns
        found = np.empty((len(starts), horizon, recording.neurons), np.float32)
        for window, start in enumerate(starts):
            frames = volume.frames(start, start + self.spec.context)[None]
            for step in range(horizon):
                lead = np.array([step + 1], np.float32)
                made = self.run({INPUT_NAME: frames, LEAD_NAME: lead})
                found[window, step] = volume.segment_means(made[0, 0])[columns]
        return found

    def _volume(self, recording: Recording) -> Volume:
        source = recording.source
        if source not in self.volumes:
            self.volumes[source] = recorded_volume(source)
        volume = self.volumes[source]
        if volume.shape != self.spec.volume or volume.neurons != self.spec.neurons:
            raise DataError(
                f"volume must be {list(self.spec.volume)} voxels of {self.spec.neurons} neurons, as"
                f" the model was made for, not {list(volume.shape)} of {volume.neurons} "
                f"({self.where}); give the recording that it was trained on"
            )
        return volume


def recorded_volume(source: str) -> Volume:
    """The volume of a recording, by what the recording is called."""
    if source.startswith(SYNTHETIC):
        raise DataError(
            "recording must bring its volume, not be traces alone (synthetic); run: zapdeploy data "
            "synthesize-volume -o DIR"
        )
    return open_volume(ZAPBENCH_URL if source == ZAPBENCH else source)


def run_in_torch(folder: Path) -> Run:
    """The float network of a folder."""
    import torch

    _, network = load_video(folder)

    def run(inputs: Mapping[str, Floats]) -> Floats:
        with torch.inference_mode():
            given = (torch.from_numpy(inputs[name]) for name in (INPUT_NAME, LEAD_NAME))
            found: Floats = network(*given).numpy()
        return found

    return run
