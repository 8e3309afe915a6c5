"""Small torch modules to quantize."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class ResidualNetwork(nn.Module):
    """Convolutions with BatchNorm, a residual sum, a concatenation, pooling: [b, 1, 8, 8] -> 10."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU()
        self.branch = nn.Conv2d(8, 8, 3, padding=1)
        self.left = nn.Conv2d(8, 4, 1)
        self.right = nn.Conv2d(8, 4, 1)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.relu(self.norm(self.stem(x))), 2)
        x = torch.relu(x + self.branch(x))
        x = torch.cat([self.left(x), self.right(x).relu()], dim=1)
        scores: Tensor = self.head(x.mean((2, 3)))
        return scores


class TimeMixer(nn.Module):
    """Residual mixes along time and along neurons: [b, 4, 12] -> [b, 6, 12]."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Conv1d(4, 4, 1)
        self.down = nn.Linear(12, 5)
        self.up = nn.Linear(5, 12)
        self.forecast = nn.Conv1d(4, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x + torch.relu(self.time(x))
        mixed = self.up(torch.relu(self.down(x.reshape(-1, 12))))
        x = x + mixed.reshape(-1, 4, 12)
        forecast: Tensor = self.forecast(x)
        return forecast


class Branching(nn.Module):
    """Cannot be traced: it looks at values."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x
        result: Tensor = self.layer(x)
        return result


def residual_network() -> ResidualNetwork:
    """Seeded, with BatchNorm statistics of random images."""
    torch.manual_seed(0)
    network = ResidualNetwork().train()
    for _ in range(10):
        network(torch.randn(16, 1, 8, 8))
    return network.eval()


def time_mixer() -> TimeMixer:
    """Seeded."""
    torch.manual_seed(0)
    return TimeMixer().eval()


def perceptron() -> nn.Module:
    """Three layers on 16 inputs; a factory for the command line."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 8)
    )


def branching() -> nn.Module:
    """A factory of what cannot be traced."""
    return Branching()


def no_module() -> int:
    """A factory that returns something else."""
    return 3


def samples(*shape: int, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Standard normal calibration inputs."""
    return {"input": np.random.default_rng(seed).standard_normal(shape, np.float32)}
