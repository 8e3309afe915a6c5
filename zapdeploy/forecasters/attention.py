"""Multi-head attention over computed tensors, as the transformer networks here share it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zapdeploy.errors import UsageError


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(query key' / sqrt(size)) value.

    query [..., rows, size], key and value [..., columns, size] -> [..., rows, size]
    """
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    result: Tensor = torch.softmax(scores, dim=-1) @ value
    return result


def in_heads(x: Tensor, heads: int) -> Tensor:
    """[batch, rows, width] -> [batch, heads, rows, width / heads]."""
    batch, rows, width = x.shape
    return x.view(batch, rows, heads, width // heads).transpose(1, 2)


def from_heads(x: Tensor) -> Tensor:
    """The inverse of `in_heads`."""
    batch, heads, rows, size = x.shape
    return x.transpose(1, 2).reshape(batch, rows, heads * size)


def check_heads(width: int, heads: int) -> None:
    """Raise UsageError unless the width can be shared out among the heads."""
    if heads < 1 or width < 1 or width % heads:
        raise UsageError(f"width must be a multiple of heads, {heads}, not {width} (attention)")


class Attention(nn.Module):
    """Queries of one tensor, keys and values of another (or the same).

    x [batch, rows, width], memory [batch, columns, width] -> [batch, rows, width]
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        check_heads(width, heads)
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        query, key, value = (
            in_heads(layer(source), self.heads)
            for layer, source in ((self.query, x), (self.key, memory), (self.value, memory))
        )
        result: Tensor = self.output(from_heads(attend(query, key, value)))
        return result
