"""ResNet-50 on digits: images, learning, going on after an interruption, and the command."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("brevitas")
pytest.importorskip("sklearn")
pytest.importorskip("PIL")

import torch
from torch import Tensor, nn

from zapdeploy.benchmarks.experiments import resnet50_digits as experiment
from zapdeploy.benchmarks.experiments.digits import load_digits
from zapdeploy.benchmarks.experiments.resnet50_digits import (
    Plan,
    enlarge,
    train,
    train_epoch,
    trained,
)
from zapdeploy.errors import DataError, UsageError
from zapdeploy.forecasters import build_model
from zapdeploy.forecasters.folder import WEIGHTS
from zapdeploy.forecasters.images import IMAGENET_DEVIATION, IMAGENET_MEAN
from zapdeploy.forecasters.resuming import RESUME

DIGITS = load_digits()
PLAN = Plan(sizes=(16, 16, 24), batch=8, images=32)


def small_network(classes: int = 10) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8, classes))


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_images_are_enlarged_normalised_and_gray() -> None:
    """The middle of an 8-fold enlarged pixel is near it; between two pixels is their mean."""
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, 3, 3:5] = torch.tensor([1.0, 0.5])
    found = enlarge(image, 16).numpy()[0] * IMAGENET_DEVIATION[:, None, None]
    found += IMAGENET_MEAN[:, None, None]
    assert found.shape == (3, 16, 16)
    np.testing.assert_allclose(found[0], found[2], atol=1e-6)
    # Bilinear by hand: output 7 is at pixel 3.25, output 6 at 2.75 (rows and columns alike).
    assert found[0, 6, 7] == pytest.approx(0.75 * (0.75 * 1 + 0.25 * 0.5), abs=1e-5)
    assert found[0, 0, 0] == pytest.approx(0, abs=1e-6)


def test_placements_move_by_a_pixel_at_most() -> None:
    found = experiment._placements(64, np.random.default_rng(0))
    assert found.shape == (64, 2, 3)
    zoom = torch.linalg.det(found[:, :, :2]).sqrt()
    assert 0.85 <= float(zoom.min()) < float(zoom.max()) <= 1.15
    assert float(found[:, :, 2].abs().max()) <= 1 / 4  # of half the 8 pixels: one of them


def test_the_rate_rises_and_falls_to_nothing() -> None:
    rates = [Plan(learning_rate=1.0).rate(done) for done in (0.05, 0.1, 0.55, 1.0)]
    assert rates == pytest.approx([0.5, 1, 0.5, 0])


def test_resnet50_learns_a_handful() -> None:
    """As it is built, with all 1,000 outputs: chance is log(1000) = 6.9, and it is left behind."""
    plan = Plan(sizes=(32,) * 4, batch=8, images=8)
    network = build_model("resnet50")
    optimizer = torch.optim.AdamW(network.parameters())
    losses = [train_epoch(network, optimizer, DIGITS, plan, epoch) for epoch in range(4)]
    assert losses[0] > 0.8 * math.log(1000)
    assert losses[-1] < 0.5 * losses[0]


def test_an_interrupted_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = small_network()
    history = train(whole, DIGITS, tmp_path / "whole", PLAN).history

    def interrupt(what: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(small_network(), DIGITS, tmp_path / "cut", PLAN, progress=interrupt)
    assert (tmp_path / "cut" / RESUME).is_file()
    assert not (tmp_path / "cut" / WEIGHTS).exists()
    resumed, epochs = small_network(), []
    again = train(
        resumed, DIGITS, tmp_path / "cut", PLAN, progress=lambda _, done, __: epochs.append(done)
    )
    assert epochs == [3]
    assert again.history == history
    assert same(state(resumed), state(whole))
    assert not same(state(resumed), state(small_network()))
    contents = [(tmp_path / name / WEIGHTS).read_bytes() for name in ("whole", "cut")]
    assert contents[0] == contents[1]
    assert [path.name for path in (tmp_path / "cut").iterdir()] == [WEIGHTS]


def test_another_training_is_not_continued(tmp_path: Path) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(small_network(), DIGITS, tmp_path, PLAN, progress=interrupt)
    with pytest.raises(UsageError, match="its batch is 8, not 4"):
        train(small_network(), DIGITS, tmp_path, replace(PLAN, batch=4))


def test_statistics_are_those_of_the_last_weights(tmp_path: Path) -> None:
    """The first BatchNorm's mean over a whole number of batches, from its convolution alone."""
    network = small_network()
    train(network, DIGITS, tmp_path, PLAN)
    images = enlarge(DIGITS.train[0][: experiment.STATISTICS_IMAGES], 24)
    with torch.no_grad():
        mean = network[0](images).mean((0, 2, 3))
    torch.testing.assert_close(network[1].running_mean, mean, rtol=1e-4, atol=1e-5)


def test_a_loss_that_is_not_finite_is_an_error(tmp_path: Path) -> None:
    network = small_network()
    with torch.no_grad():
        network[-1].weight.fill_(math.inf)
    with pytest.raises(DataError, match="loss must be finite, not nan"):
        train(network, DIGITS, tmp_path, PLAN)


def test_trained_once_then_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the network; what counts is what is trained, kept and returned."""

    def build(name: str, *, seed: int = 0, checkpoint: Path | None = None) -> nn.Module:
        network = small_network()
        if checkpoint is not None:
            from safetensors.torch import load_file

            network.load_state_dict(load_file(checkpoint))
        return network.eval()

    monkeypatch.setattr(experiment, "build_model", build)
    epochs: list[int] = []
    calls = [
        trained(
            tmp_path, PLAN, calibration_images=5, progress=lambda _, done, __: epochs.append(done)
        )
        for _ in range(2)
    ]
    assert epochs == [1, 2, 3]
    assert same(state(calls[0].network), state(calls[1].network))
    network, calibration, images, labels = calls[0]
    assert not network.training
    assert (calibration.shape, calibration.dtype) == ((5, 3, 24, 24), np.float32)
    assert (images.shape, labels.shape) == ((597, 3, 24, 24), (597,))
    assert torch.equal(labels, DIGITS.test[1])


def test_weights_of_another_network_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(small_network(), DIGITS, tmp_path, PLAN)
    assert experiment.main(["-o", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: checkpoint must hold the tensors of resnet50, not ")


def test_the_folder_must_be_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="output must be a folder that can be written"):
        train(small_network(), DIGITS, tmp_path / "file", PLAN)
