"""A residual CNN on scikit-learn's digits, float and quantized by every recipe.

Run: python -m zapdeploy.benchmarks.experiments.digits -o FOLDER
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from zapdeploy.files import atomic_write
from zapdeploy.quantize.modules.build import build
from zapdeploy.quantize.modules.module_file import prepare_module, write_module
from zapdeploy.quantize.modules.training import TrainingPlan, train
from zapdeploy.quantize.recipes import RECIPES, ModuleRecipe

TEST_IMAGES, VALIDATION_IMAGES = 597, 200  # of 1,797
BATCH = 64
CALIBRATION_IMAGES = 256


class Block(nn.Module):
    """relu(x + conv(relu(conv(x)))), each convolution with BatchNorm: float [batch, c, h, w]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(x + self.bn2(self.conv2(y)))


class DigitsNetwork(nn.Module):
    """Digits float [batch, 1, 8, 8] on [0, 1] -> scores [batch, 10]; 40,000 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 24, 3, padding=1)
        self.block1 = Block(24)
        self.down = nn.Conv2d(24, 32, 3, stride=2, padding=1)
        self.block2 = Block(32)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block1(torch.relu(self.stem(x)))
        x = self.block2(torch.relu(self.down(x)))
        scores: Tensor = self.head(x.mean((2, 3)))
        return scores


@dataclass(frozen=True, eq=False)
class Digits:
    """Images float [n, 1, 8, 8] and labels [n] of the three parts, the same for the same seed."""

    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]


def load_digits(seed: int = 0) -> Digits:
    """The 1,797 digits in a seeded order: 1,000 to train on, 200 to stop by, 597 to test."""
    from sklearn.datasets import load_digits as load

    bunch = load()
    order = np.random.default_rng(seed).permutation(len(bunch.target))
    images = torch.from_numpy(bunch.images[order].astype(np.float32) / 16)[:, None]
    labels = torch.from_numpy(bunch.target[order].astype(np.int64))
    parts = []
    for start, stop in ((0, 1000), (1000, 1000 + VALIDATION_IMAGES), (1797 - TEST_IMAGES, 1797)):
        parts.append((images[start:stop], labels[start:stop]))
    return Digits(*parts)


def accuracy(network: nn.Module, part: tuple[Tensor, Tensor]) -> float:
    """Share of images whose highest score is their label, in percent."""
    with torch.no_grad():
        found = torch.cat([network(x).argmax(1) for x in torch.split(part[0], BATCH)])
    return float((found == part[1]).double().mean() * 100)


def train_float(digits: Digits, epochs: int = 40, seed: int = 0) -> DigitsNetwork:
    """A trained network in evaluation mode; images are shifted by up to one pixel."""
    torch.manual_seed(seed)
    network = DigitsNetwork()
    images, labels = digits.train
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    steps = epochs * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
    network.train()
    for step in range(steps):
        x, y = _batch(images, labels, np.random.default_rng((seed, step)))
        optimizer.zero_grad()
        loss = functional.cross_entropy(network(x), y, label_smoothing=0.05)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return network.eval()


def _batch(images: Tensor, labels: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A random batch, shifted by up to one pixel in either direction."""
    rows = torch.from_numpy(random.integers(0, len(images), BATCH))
    x = functional.pad(images[rows], (1, 1, 1, 1))
    top, left = (int(v) for v in random.integers(0, 3, 2))
    return x[:, :, top : top + 8, left : left + 8], labels[rows]


@dataclass(frozen=True)
class Row:
    """One recipe: accuracies on the test images in percent, and the file's agreement and size."""

    recipe: str
    after_training: float
    trained: float | None
    float32: float
    agreed: bool
    file_bytes: int


def run(
    folder: Path,
    *,
    recipes: Sequence[ModuleRecipe] = RECIPES,
    steps: int = 600,
    epochs: int = 40,
    seed: int = 0,
) -> list[Row]:
    """Train in float, quantize by every recipe, train again below 8 bits, write files and table."""
    folder.mkdir(parents=True, exist_ok=True)
    digits = load_digits(seed)
    network = train_float(digits, epochs, seed)
    exact = accuracy(network, digits.test)
    calibration = {"input": digits.train[0][:CALIBRATION_IMAGES].numpy()}
    prepared = prepare_module(network, calibration)
    rows = []
    for recipe in recipes:
        quantized = build(prepared, recipe)
        before = accuracy(quantized.graph, digits.test)
        result = None
        if recipe.weights < 8:
            plan = TrainingPlan(steps, learning_rate=5e-4, step_rate=2e-3, seed=seed)
            result = _train(quantized.graph, network, digits, plan)
        after = accuracy(quantized.graph, digits.test)
        record = write_module(
            prepared,
            quantized,
            folder / f"digits-{recipe.name}.onnx",
            trained=result,
            score=lambda graph: {"test_accuracy_percent": accuracy(graph, digits.test)},
            source="digits",
            seed=seed,
        )
        trained = after if result is not None else None
        row = Row(recipe.name, before, trained, exact, record.agreed, record.result_bytes)
        rows.append(row)
        print(f"{recipe.name}: float {exact:.2f}, quantized {before:.2f}, trained {after:.2f}")
    document: Any = {"kind": "measured", "seed": seed, "rows": [asdict(row) for row in rows]}
    with atomic_write(folder / "digits.json") as file:
        file.write(json.dumps(document, indent=2).encode() + b"\n")
    return rows


def _train(graph: fx.GraphModule, teacher: nn.Module, digits: Digits, plan: TrainingPlan) -> Any:
    """Quantization-aware training on labels and on the float network's scores."""
    images, labels = digits.train

    def batches(step: int) -> tuple[tuple[Tensor, ...], Tensor]:
        x, y = _batch(images, labels, np.random.default_rng((plan.seed, 1, step)))
        with torch.no_grad():
            wanted = functional.softmax(teacher(x), dim=1)
        return (x,), 0.5 * wanted + 0.5 * functional.one_hot(y, 10)

    def validate(candidate: fx.GraphModule) -> float:
        with torch.no_grad():
            scores = candidate(digits.validation[0])
        return float(functional.cross_entropy(scores, digits.validation[1]))

    return train(graph, batches, functional.cross_entropy, validate, plan)


def main() -> None:
    """Command line of the experiment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("digits"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    run(options.output, seed=options.seed)


if __name__ == "__main__":
    main()
