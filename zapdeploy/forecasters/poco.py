"""A forecaster of POCO's kind (arXiv 2506.14957): an MLP for every neuron, conditioned by FiLM on
what a few latents learn of the whole population by attention.

Every neuron is a token: its trace, projected, and an embedding of its own. Eight learned latents
attend to all tokens and to each other; every neuron attends to the latents, and what it finds
scales and shifts the hidden units of its MLP. The paper's tokens are segments of longer traces;
with a context of a few frames there is one for each neuron.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zapdeploy.forecasters.attention import Attention, check_heads, from_heads, in_heads
from zapdeploy.recordings.zapbench import HORIZON

LATENTS = 8
HEADS = 4
# Sums over more neurons than this could leave 32-bit accumulators: 2^31 / (255 x 255) = 33,025.
SUMMED_AT_ONCE = 32_768


class Gathering(nn.Module):
    """Latents' attention to tokens; learned queries are constants, so that they and the keys'
    projection are one matrix.

    tokens [batch, neurons, width] -> [batch, latents, width]
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        check_heads(width, heads)
        self.heads = heads
        self.query = nn.Parameter(torch.randn(heads, LATENTS, width // heads))
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, neurons, width = tokens.shape
        key = self.key.weight.view(self.heads, -1, width)
        mixed = (self.query @ key).view(-1, width).T * (width // self.heads) ** -0.5
        scores = (tokens @ mixed).transpose(1, 2).reshape(batch, self.heads, LATENTS, neurons)
        shares = torch.split(torch.softmax(scores, dim=-1), SUMMED_AT_ONCE, dim=-1)
        values = torch.split(in_heads(self.value(tokens), self.heads), SUMMED_AT_ONCE, dim=-2)
        parts = [share @ value for share, value in zip(shares, values, strict=True)]
        found = parts[0]
        for part in parts[1:]:
            found = found + part
        result: Tensor = self.output(from_heads(found))
        return result


class LatentBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)) with GELU; x [batch, latents, width]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + self.attention(y, y)
        result: Tensor = x + self.mlp(self.norm2(x))
        return result


class PocoForecaster(nn.Module):
    """Traces [batch, context, neurons] -> forecast [batch, 32, neurons] (last frame + change)."""

    def __init__(self, neurons: int, context: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(context, width)
        self.embedding = nn.Parameter(0.02 * torch.randn(neurons, width))
        self.gather = Gathering(width, HEADS)
        self.latents = LatentBlock(width, HEADS)
        self.norm = nn.LayerNorm(width)
        self.spread = Attention(width, HEADS)
        self.film = nn.Linear(width, 2 * width)
        self.enter = nn.Linear(context, width)
        self.gelu = nn.GELU()
        self.leave = nn.Linear(width, HORIZON)

    def forward(self, x: Tensor) -> Tensor:
        traces = x.transpose(1, 2)
        tokens = self.embed(traces) + self.embedding
        latents = self.norm(self.latents(self.gather(tokens)))
        scale, shift = self.film(self.spread(tokens, latents)).chunk(2, dim=-1)
        hidden = self.gelu(self.enter(traces) * (1 + scale) + shift)
        return x[:, -1:] + self.leave(hidden).transpose(1, 2)
