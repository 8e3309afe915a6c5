"""BERT's encoder (Devlin et al. 2018), from embeddings on: a yardstick for attention.

The base size has 12 layers of width 768 with 12 heads and 3072 hidden units: 85,054,464 parameters,
11.17 GMAC for 128 tokens. Looking up the tokens' embeddings is the host's work, and all tokens are
there (no padding mask).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zapdeploy.forecasters.attention import Attention

INITIAL_DEVIATION = 0.02  # BERT's own


class EncoderLayer(nn.Module):
    """x = norm(x + attention(x)), then norm(x + mlp(x)); x: float [batch, tokens, width]."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.up = nn.Linear(width, hidden)
        self.gelu = nn.GELU()
        self.down = nn.Linear(hidden, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(x + self.attention(x, x))
        result: Tensor = self.norm2(x + self.down(self.gelu(self.up(x))))
        return result


class Encoder(nn.Module):
    """Embeddings [batch, tokens, width] -> features of the same shape."""

    def __init__(
        self, layers: int = 12, width: int = 768, heads: int = 12, hidden: int = 3072
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(width, heads, hidden) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def randomize(network: nn.Module) -> None:
    """Weights as BERT begins: normal with deviation 0.02, biases zero; from torch's present state.

    Gains of normalizations differ from channel to channel, as training makes them.
    """
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=INITIAL_DEVIATION)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LayerNorm):
                module.weight.copy_(torch.exp(0.2 * torch.randn_like(module.weight)))
