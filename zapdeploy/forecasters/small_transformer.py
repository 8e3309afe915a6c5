"""A small transformer whose tokens are neurons (as iTransformer has it, Liu et al. 2024).

Each neuron's context is one token, and neurons attend to each other: for populations of up to a few
thousand neurons, as attention grows with their square.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zapdeploy.forecasters.attention import Attention

HEADS = 4
LAYERS = 2
MOST_NEURONS = 4_096


class TransformerLayer(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); x [batch, neurons, width]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, HEADS)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + self.attention(y, y)
        result: Tensor = x + self.mlp(self.norm2(x))
        return result


class TransformerForecaster(nn.Module):
    """Traces [batch, context, neurons] -> forecast [batch, horizon, neurons]."""

    def __init__(self, neurons: int, context: int, width: int, horizon: int) -> None:
        super().__init__()
        self.embed = nn.Linear(context, width)
        self.embedding = nn.Parameter(0.02 * torch.randn(neurons, width))
        self.layers = nn.Sequential(*(TransformerLayer(width) for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(width)
        self.forecast = nn.Linear(width, horizon)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x.transpose(1, 2)) + self.embedding
        result: Tensor = self.forecast(self.norm(self.layers(tokens))).transpose(1, 2)
        return result
