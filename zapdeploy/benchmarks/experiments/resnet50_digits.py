"""ResNet-50 trained on scikit-learn's digits: real trained weights where ImageNet's cannot be had.

Run: python -m zapdeploy.benchmarks.experiments.resnet50_digits -o FOLDER

The network is the one that is deployed, with its 1,000 outputs, of which ten occur; the 8 x 8
digits are enlarged to its 224 x 224 x 3. Most epochs see smaller images, which take about a tenth
of the time, and the last ones adapt to the full size (as in Touvron et al. 2019, arXiv:1906.06423).
An interrupted call goes on where it stopped, to the same weights, and a folder that holds weights
is not trained again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from zapdeploy.benchmarks.experiments.digits import Digits, accuracy, load_digits
from zapdeploy.errors import DataError, UsageError, ZapdeployError
from zapdeploy.forecasters.build import build_model
from zapdeploy.forecasters.devices import use_threads
from zapdeploy.forecasters.folder import WEIGHTS, write_tensors
from zapdeploy.forecasters.images import FRAME_SIZE, IMAGENET_DEVIATION, IMAGENET_MEAN
from zapdeploy.forecasters.resuming import RESUME, Progressed, read_resume, write_resume
from zapdeploy.progress import Progress

CALIBRATION_IMAGES = 64
STATISTICS_IMAGES = 256  # that BatchNorm's last statistics are taken from
MOMENTUM = 0.1  # of BatchNorm's moving statistics, torch's own
WARM_UP = 0.1  # share of the steps
# Largest rotation in radians, change of size, and shift in pixels of the 8 x 8.
ROTATION, ZOOM, SHIFT = 0.2, 0.15, 1.0


@dataclass(frozen=True)
class Plan:
    """How to train. sizes: edge of the images in pixels, epoch by epoch; the last one is deployed.

    learning_rate: at its highest (AdamW). images: the first so many to train on; None: all.
    bfloat16: convolve in it, faster on processors that multiply it and slower on all others.
    """

    sizes: tuple[int, ...] = (64,) * 8 + (128,) * 3 + (FRAME_SIZE,) * 3
    batch: int = 16
    learning_rate: float = 7e-4
    weight_decay: float = 0.05
    images: int | None = None
    bfloat16: bool = False
    seed: int = 0

    def rate(self, done: float) -> float:
        """The learning rate after this share of all steps: up to its highest, then down to 0."""
        return self.learning_rate * min(done / WARM_UP, (1 - done) / (1 - WARM_UP))


class TrainedDigits(NamedTuple):
    """A network in evaluation mode, and what it takes to quantize and to judge it.

    calibration: training images, float32 [n, 3, 224, 224]. images, labels: the test images, float
    [597, 3, 224, 224], ImageNet-normalised, and their labels [597].
    """

    network: nn.Module
    calibration: NDArray[np.float32]
    images: Tensor
    labels: Tensor


def trained(
    folder: Path,
    plan: Plan | None = None,
    *,
    calibration_images: int = CALIBRATION_IMAGES,
    progress: Progress = lambda what, done, total: None,
) -> TrainedDigits:
    """ResNet-50 with the weights in `folder`, trained first where it holds none.

    Raises UsageError when the folder holds another training, unfinished, and DataError when its
    weights are not this network's.
    """
    chosen, digits = plan or Plan(), load_digits()
    if not (folder / WEIGHTS).is_file():
        train(build_model("resnet50", seed=chosen.seed), digits, folder, chosen, progress=progress)
    network = build_model("resnet50", checkpoint=folder / WEIGHTS)
    size = chosen.sizes[-1]
    calibration = enlarge(digits.train[0][:calibration_images], size).numpy()
    return TrainedDigits(network, calibration, enlarge(digits.test[0], size), digits.test[1])


def train(
    network: nn.Module,
    digits: Digits,
    folder: Path,
    plan: Plan,
    *,
    progress: Progress = lambda what, done, total: None,
) -> Progressed:
    """Train `network` in place, from where the folder's training was interrupted if it was.

    Writes the state after every epoch, and the weights at the end. Returns the share of validation
    images that were taken for another digit, epoch by epoch.
    """
    _make(folder)
    for norm in _norms(network):
        norm.momentum = MOMENTUM  # random weights come with 1, which keeps a single batch's
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=plan.weight_decay)
    identity = {"training": "digits", **asdict(plan)}
    state = read_resume(folder, identity, network, optimizer)
    while state.step < len(plan.sizes):
        loss = train_epoch(network, optimizer, digits, plan, state.step)
        wrong = _validation_error(network.eval(), digits, plan.sizes[state.step])
        state = state.stepped().validated(wrong)
        write_resume(folder, identity, state, network, optimizer)
        line = f"loss {loss:.4f}, validation images wrong {wrong:.1%}"
        progress(line, state.step, len(plan.sizes))
    _take_statistics(network, enlarge(digits.train[0][:STATISTICS_IMAGES], plan.sizes[-1]), plan)
    write_tensors(folder / WEIGHTS, network.state_dict(), {"training": json.dumps(identity)})
    (folder / RESUME).unlink(missing_ok=True)
    return state


def train_epoch(
    network: nn.Module, optimizer: torch.optim.Optimizer, digits: Digits, plan: Plan, epoch: int
) -> float:
    """One pass over the training images in an order of its own; the mean loss.

    Raises DataError when the loss is no longer finite.
    """
    images, labels = (part[: plan.images] for part in digits.train)
    steps = len(images) // plan.batch
    order = np.random.default_rng((plan.seed, epoch)).permutation(len(images))
    network.train()
    total = 0.0
    for step in range(steps):
        rows = torch.from_numpy(order[step * plan.batch : (step + 1) * plan.batch])
        random = np.random.default_rng((plan.seed, epoch, step))
        x = enlarge(images[rows], plan.sizes[epoch], _placements(plan.batch, random))
        x = x.contiguous(memory_format=torch.channels_last)  # faster on a CPU
        with torch.autocast("cpu", torch.bfloat16, enabled=plan.bfloat16):
            scores = network(x)
        loss = functional.cross_entropy(scores.float(), labels[rows])
        for group in optimizer.param_groups:
            group["lr"] = plan.rate((epoch * steps + step + 0.5) / (len(plan.sizes) * steps))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += float(loss.detach())
    if not np.isfinite(total):
        raise DataError(
            f"loss must be finite, not {total} (epoch {epoch}); take a smaller learning rate"
        )
    return total / steps


def enlarge(images: Tensor, size: int, placements: Tensor | None = None) -> Tensor:
    """Digits [n, 1, 8, 8] on [0, 1] as ImageNet-normalised RGB float [n, 3, size, size], bilinear.

    placements [n, 2, 3]: where each pixel is taken from, as `affine_grid` has it; None: in place.
    """
    taken = torch.eye(2, 3).expand(len(images), 2, 3) if placements is None else placements
    grid = functional.affine_grid(taken, [len(images), 1, size, size], align_corners=False)
    grey = functional.grid_sample(images, grid, align_corners=False)
    mean, deviation = (
        torch.from_numpy(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_DEVIATION)
    )
    return (grey - mean) / deviation


def _placements(count: int, random: np.random.Generator) -> Tensor:
    """Random small rotations, zooms and shifts: float [count, 2, 3]."""
    angle = random.uniform(-ROTATION, ROTATION, count)
    zoom = random.uniform(1 - ZOOM, 1 + ZOOM, count)
    right, down = random.uniform(-SHIFT / 4, SHIFT / 4, (2, count))  # of half the 8 pixels
    cosine, sine = zoom * np.cos(angle), zoom * np.sin(angle)
    rows = [[cosine, -sine, right], [sine, cosine, down]]
    return torch.from_numpy(np.moveaxis(np.array(rows, np.float32), 2, 0).copy())


def _validation_error(network: nn.Module, digits: Digits, size: int) -> float:
    images, labels = digits.validation
    return 1 - accuracy(network, (enlarge(images, size), labels)) / 100


def _take_statistics(network: nn.Module, images: Tensor, plan: Plan) -> None:
    """Give every BatchNorm the mean statistics of these images' batches under the last weights.

    The moving ones are of enlargements that the network met while it still learned.
    """
    for norm in _norms(network):
        norm.reset_running_stats()
        norm.momentum = None  # weigh all batches alike
    network.train()
    with torch.no_grad():
        for x in torch.split(images, plan.batch):
            network(x)
    network.eval()


def _norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"output must be a folder that can be written, not {folder}: {error.strerror}"
        ) from None


def _show(what: str, done: int, total: int) -> None:
    print(f"epoch {done} of {total}: {what}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of the experiment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("resnet50-digits"))
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--bfloat16", action="store_true", help="train faster, on some processors")
    parser.add_argument("--restart", action="store_true", help="forget what the folder holds")
    options: Any = parser.parse_args(arguments)
    try:
        use_threads(options.threads)
        for name in (RESUME, WEIGHTS) if options.restart else ():
            (options.output / name).unlink(missing_ok=True)
        found = trained(options.output, Plan(bfloat16=options.bfloat16), progress=_show)
    except ZapdeployError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    percent = accuracy(found.network, (found.images, found.labels))
    print(f"float32: {percent:.2f} % of {len(found.labels)} test images right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
