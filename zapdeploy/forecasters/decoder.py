"""Layers of a decoder of the Llama kind (Touvron et al. 2023), one token at a time.

Grouped-query attention, rotary position embedding, RMS normalization, SwiGLU. Keys and values of
the tokens so far are inputs and outputs of one shape: a cache, which a chip can keep.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zapdeploy.errors import UsageError
from zapdeploy.forecasters.attention import check_heads, in_heads

MASKED = -1e4  # stands for minus infinity, and is a half-precision number
ROTARY_BASE = 10_000.0


@dataclass(frozen=True)
class DecoderSize:
    """`kv_heads`: heads of keys and values, each shared by heads / kv_heads queries. `tokens`: how
    many the cache holds."""

    layers: int = 1
    width: int = 2048
    heads: int = 32
    kv_heads: int = 8
    hidden: int = 8192
    tokens: int = 1024

    def __post_init__(self) -> None:
        check_heads(self.width, self.heads)
        if self.kv_heads < 1 or self.heads % self.kv_heads or self.head_size % 2:
            raise UsageError(
                f"heads must be a multiple of kv_heads and of even size, not {self.heads}, "
                f"{self.kv_heads} and {self.head_size} (decoder)"
            )
        if min(self.layers, self.hidden, self.tokens) < 1:
            raise UsageError(f"layers, hidden and tokens must be at least 1, not {self}")

    @property
    def head_size(self) -> int:
        return self.width // self.heads

    @property
    def cache_shapes(self) -> dict[str, tuple[int, int, int]]:
        """Of the keys and the values of one layer, without the batch.

        Keys lie as the product with the queries reads them, so that no frame transposes them.
        """
        return {
            "key": (self.kv_heads, self.head_size, self.tokens),
            "value": (self.kv_heads, self.tokens, self.head_size),
        }


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + epsilon) * scale along the last dimension."""

    def __init__(self, width: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        mean_square = x.pow(2).mean(dim=-1, keepdim=True)
        return x / torch.sqrt(mean_square + self.epsilon) * self.scale


class CachedAttention(nn.Module):
    """One token's queries against the keys and values of all tokens up to it.

    x [batch, 1, width], position [batch, 1, 1, 1], caches of keys [batch, kv_heads, head size,
    tokens] and of values [batch, kv_heads, tokens, head size] -> [batch, 1, width] and the caches
    with this token in its place.
    """

    tokens: Tensor
    frequencies: Tensor

    def __init__(self, size: DecoderSize) -> None:
        super().__init__()
        self.size = size
        cached = size.kv_heads * size.head_size
        self.query = nn.Linear(size.width, size.width, bias=False)
        self.key = nn.Linear(size.width, cached, bias=False)
        self.value = nn.Linear(size.width, cached, bias=False)
        self.output = nn.Linear(size.width, size.width, bias=False)
        half = torch.arange(size.head_size // 2) / (size.head_size // 2)
        self.register_buffer("frequencies", ROTARY_BASE**-half, persistent=False)
        self.register_buffer("tokens", torch.arange(float(size.tokens)), persistent=False)

    def forward(
        self, x: Tensor, position: Tensor, past_key: Tensor, past_value: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        angles = position * self.frequencies
        query, key, value = (
            layer(x).view(len(x), self.size.kv_heads, -1, self.size.head_size)
            for layer in (self.query, self.key, self.value)
        )
        column = _rotated(key, angles).reshape(*value.shape[:2], -1, 1)
        key = torch.where(self.tokens == position, column, past_key)
        value = torch.where(self.tokens[:, None] == position, value, past_value)
        # The queries that share a head of keys are the rows of one matrix.
        scores = _rotated(query, angles) @ key * self.size.head_size**-0.5
        seen = self.tokens <= position
        shares = torch.softmax(torch.where(seen, scores, MASKED), dim=-1)
        return self.output((shares @ value).reshape(x.shape)), key, value

    def remember(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Caches of as many tokens as there are room for, all at once: x [batch, tokens, width]."""
        angles = self.tokens[:, None] * self.frequencies
        key, value = (in_heads(layer(x), self.size.kv_heads) for layer in (self.key, self.value))
        return _rotated(key, angles).transpose(-1, -2), value


def _rotated(x: Tensor, angles: Tensor) -> Tensor:
    """Rotary embedding: pairs (i, i + half) turned by their angles (Su et al. 2021)."""
    first, second = x.chunk(2, dim=-1)
    cosine, sine = torch.cos(angles), torch.sin(angles)
    turned = (first * cosine - second * sine, second * cosine + first * sine)
    return torch.cat(turned, dim=-1)


class DecoderLayer(nn.Module):
    """x + attention(norm(x)), then x + down(silu(gate(norm(x))) * up(norm(x)))."""

    def __init__(self, size: DecoderSize) -> None:
        super().__init__()
        self.norm1 = RMSNorm(size.width)
        self.attention = CachedAttention(size)
        self.norm2 = RMSNorm(size.width)
        self.gate = nn.Linear(size.width, size.hidden, bias=False)
        self.up = nn.Linear(size.width, size.hidden, bias=False)
        self.down = nn.Linear(size.hidden, size.width, bias=False)

    def forward(
        self, x: Tensor, position: Tensor, past_key: Tensor, past_value: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        change, key, value = self.attention(self.norm1(x), position, past_key, past_value)
        x = x + change
        y = self.norm2(x)
        gate = self.gate(y)
        return x + self.down(gate * torch.sigmoid(gate) * self.up(y)), key, value


class Decoder(nn.Module):
    """x [batch, 1, width], position [batch, 1, 1, 1], a key and a value cache for each layer ->
    y [batch, 1, width] and the caches, in the same order."""

    def __init__(self, size: DecoderSize) -> None:
        super().__init__()
        self.size = size
        self.layers = nn.ModuleList(DecoderLayer(size) for _ in range(size.layers))

    def forward(self, x: Tensor, position: Tensor, *caches: Tensor) -> tuple[Tensor, ...]:
        found: list[Tensor] = []
        for index, layer in enumerate(self.layers):
            x, key, value = layer(x, position, *caches[2 * index : 2 * index + 2])
            found += (key, value)
        return (x, *found)


def cache_names(size: DecoderSize) -> tuple[tuple[str, str], ...]:
    """Names of the caches as inputs and as outputs, in order."""
    return tuple(
        (f"past_{what}_{layer}", f"present_{what}_{layer}")
        for layer in range(size.layers)
        for what in ("key", "value")
    )
