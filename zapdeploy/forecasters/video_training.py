"""Training of the video model on crops of a volume, one lead time a crop.

As for forecasters of traces: AdamW, mean absolute error (over voxels of neurons), early stopping on
the validation split, and everything random from the seed and the step's number, so that a run that
was killed ends with the weights of one that was not.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import save_arrays
from zapdeploy.errors import DataError, UsageError
from zapdeploy.forecasters.calibration import CALIBRATION
from zapdeploy.forecasters.checkpoint import WEIGHTS_FILE
from zapdeploy.forecasters.folder import write_tensors
from zapdeploy.forecasters.resuming import Progressed, read_resume, write_resume
from zapdeploy.forecasters.training import TrainingResult
from zapdeploy.forecasters.training_options import TrainingOptions
from zapdeploy.forecasters.video import INPUT_NAME, LEAD_NAME, VideoSpec, build_video, write_video
from zapdeploy.progress import Progress
from zapdeploy.recordings.conditions import Split, window_starts
from zapdeploy.recordings.recording import Recording
from zapdeploy.recordings.volume import Shape, Volume
from zapdeploy.recordings.zapbench import HORIZON

if TYPE_CHECKING:
    from torch import Tensor
Sample = tuple[NDArray[np.float32], float, NDArray[np.float32], NDArray[np.bool_]]
VALIDATION_CROPS = 128
CALIBRATION_VOLUMES = 64
_TRAINING, _VALIDATION, _CALIBRATION = 0, 1, 2  # what random numbers are for


def train_video(
    spec: VideoSpec,
    recording: Recording,
    volume: Volume,
    folder: Path,
    options: TrainingOptions,
    crop: Shape | None = None,
    progress: Progress = lambda what, done, total: None,
) -> TrainingResult:
    """Train a video model and keep its best weights in `folder`, with volumes to quantize it on.

    crop: what a sample is of, the whole volume where it is None. A folder that holds the same
    training, unfinished, is continued; UsageError when it holds another one.
    """
    size = crop or volume.shape
    if any(not 0 < a <= b for a, b in zip(size, volume.shape, strict=True)):
        raise UsageError(f"--crop must lie within {list(volume.shape)} voxels, not {list(size)}")
    folder.mkdir(parents=True, exist_ok=True)
    run = _Run(spec, recording, volume, folder, options, size)
    while not run.finished:
        run.step()
        progress(run.line, run.state.step, options.steps)
    save_arrays(folder / CALIBRATION, calibration_volumes(recording, volume, spec, options.seed))
    return run.result()


def calibration_volumes(
    recording: Recording, volume: Volume, spec: VideoSpec, seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """Whole volumes of the training split and lead times, by the ONNX file's input names."""
    starts = window_starts(Split.TRAIN, spec.context, HORIZON, recording.conditions)
    random = np.random.default_rng((seed, 7, _CALIBRATION))
    count = min(CALIBRATION_VOLUMES, len(starts))
    chosen = np.sort(random.choice(starts, count, replace=False)).tolist()
    lead = random.integers(1, HORIZON + 1, count).astype(np.float32)
    frames = np.stack([volume.frames(start, start + spec.context) for start in chosen])
    return {INPUT_NAME: frames, LEAD_NAME: lead}


class _Run:
    """One training under way."""

    def __init__(
        self,
        spec: VideoSpec,
        recording: Recording,
        volume: Volume,
        folder: Path,
        options: TrainingOptions,
        crop: Shape,
    ) -> None:
        import torch

        self.spec, self.volume, self.folder, self.options = spec, volume, folder, options
        self.crop, self.source, self.device = crop, recording.source, torch.device(options.device)
        self.network = build_video(spec, options.seed).to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
        )
        self.starts, self.judged = (
            window_starts(split, spec.context, HORIZON, recording.conditions)
            for split in (Split.TRAIN, Split.VALIDATION)
        )
        self.state: Progressed = read_resume(folder, self.identity, self.network, self.optimizer)

    @property
    def identity(self) -> dict[str, Any]:
        """What makes two trainings the same."""
        options = {k: v for k, v in asdict(self.options).items() if k != "device"}
        found = {"video": asdict(self.spec), "crop": self.crop, "data": self.source}
        return {**found, "options": options}

    @property
    def out_of_patience(self) -> bool:
        return self.state.stale >= self.options.patience

    @property
    def finished(self) -> bool:
        return self.state.step >= self.options.steps or self.out_of_patience

    @property
    def line(self) -> str:
        """Where training stands, in words."""
        best = f", validation MAE {self.state.best:.5f} a voxel" if self.state.history else ""
        return f"training the video model{best}"

    def step(self) -> None:
        """One batch; after every `validate_every` of them, and after the last, a validation."""
        self.network.train()
        random = np.random.default_rng((self.options.seed, 7, _TRAINING, self.state.step))
        samples = [self._sample(random, self.starts) for _ in range(self.options.batch)]
        loss = self._loss(samples)
        if not bool(loss.isfinite()):
            raise DataError(
                f"loss must be finite, not {float(loss)} (step {self.state.step}); take a smaller "
                "learning rate"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.rate(self.state.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.state = self.state.stepped()
        if self.state.step % self.options.validate_every == 0 or self.finished:
            self._validate()

    def result(self) -> TrainingResult:
        state = self.state
        stopped = "no improvement" if self.out_of_patience else "steps"
        parameters = sum(value.numel() for value in self.network.parameters())
        return TrainingResult(
            state.step, state.best_step, state.best, stopped, parameters, state.history
        )

    def _sample(self, random: np.random.Generator, starts: NDArray[np.int64]) -> Sample:
        """A crop: context, lead time, the frame to come, and which voxels are of neurons."""
        start, lead = int(random.choice(starts)), int(random.integers(1, HORIZON + 1))
        spare = [whole - part for whole, part in zip(self.volume.shape, self.crop, strict=True)]
        z, y, x = (int(random.integers(0, each + 1)) for each in spare)
        depth, height, width = self.crop
        last, corner = start + self.spec.context, (z, y, x)
        context = self.volume.frames(start, last, corner, self.crop)
        coming = self.volume.frames(last + lead - 1, last + lead, corner, self.crop)
        owned = self.volume.segments[z : z + depth, y : y + height, x : x + width] > 0
        return context, float(lead), coming, owned

    def _loss(self, samples: list[Sample]) -> Tensor:
        """Mean absolute error over the voxels of neurons."""
        import torch

        context, lead, coming, owned = (
            torch.from_numpy(np.stack(part)).to(self.device) for part in zip(*samples, strict=True)
        )
        wrong = (self.network(context, lead.float()) - coming).abs()
        return (wrong * owned[:, None]).sum() / owned.sum().clamp(min=1)

    def _validate(self) -> None:
        """Judge the network on the same crops every time, and write what the next step needs."""
        import torch

        self.network.eval()
        random = np.random.default_rng((self.options.seed, 7, _VALIDATION))
        size, errors = self.options.batch, []
        with torch.inference_mode():
            for _ in range(-(-VALIDATION_CROPS // size)):
                samples = [self._sample(random, self.judged) for _ in range(size)]
                errors.append(float(self._loss(samples)))
        error = float(np.mean(errors))
        self.state = self.state.validated(error, self.options.min_improvement)
        if self.state.best_step == self.state.step:
            write_tensors(self.folder / WEIGHTS_FILE, self.network.state_dict(), {})
        write_resume(self.folder, self.identity, self.state, self.network, self.optimizer)
        best = {"steps": self.state.step, "best_step": self.state.best_step}
        said = {**self.identity, **best, "validation_mae": self.state.best}
        write_video(self.folder, self.spec, said)
