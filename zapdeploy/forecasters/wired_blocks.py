"""The wired forecaster as it is exported: gathers with constant indices, and products.

Neurons come in blocks of 32. A block of receivers gathers the blocks of senders that any of its
neurons hears, and multiplies them with a small dense matrix: a convolution of as many groups as
there are blocks of receivers. Blocks without an edge are in no gather. Groups of a convolution are
equally large, so blocks of receivers that hear about equally many stand in one; what is filled up
is gathered from block 0 and multiplied with zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zapdeploy.connectomes.ordering import BLOCK, UNIT
from zapdeploy.forecasters.wired import WiredForecaster

MOST_PARTS = 4  # convolutions that a product is split into


@dataclass(frozen=True, eq=False)
class BlockPart:
    """Some blocks of receivers. blocks [groups * most]: the blocks of senders that each gathers.
    weights float32 [groups * BLOCK, most * BLOCK, 1]."""

    groups: int
    blocks: NDArray[np.int64]
    weights: NDArray[np.float32]


def block_parts(
    post: NDArray[np.int64], pre: NDArray[np.int64], values: NDArray[np.float32], neurons: int
) -> tuple[BlockPart, ...]:
    """A sparse matrix by its entries, one after the other over all blocks of receivers."""
    across = -(-neurons // BLOCK)
    pairs, place = np.unique(post // BLOCK * across + pre // BLOCK, return_inverse=True)
    receiver, sender = pairs // across, pairs % across
    count = np.bincount(receiver, minlength=across)
    first = np.concatenate([[0], np.cumsum(count)])
    slot = np.arange(pairs.size) - first[receiver]  # of a pair, among those of its receiver
    parts = []
    for low, high in _split(count):
        groups, most = high - low, max(int(count[low:high].max()), 1)
        mine = (receiver >= low) & (receiver < high)
        blocks = np.zeros((groups, most), np.int64)
        blocks[receiver[mine] - low, slot[mine]] = sender[mine]
        entries = mine[place]
        weights = np.zeros((groups * BLOCK, most * BLOCK, 1), np.float32)
        column = slot[place[entries]] * BLOCK + pre[entries] % BLOCK
        weights[post[entries] - low * BLOCK, column, 0] = values[entries]
        parts.append(BlockPart(groups, blocks.reshape(-1), weights))
    return tuple(parts)


def _split(count: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Ranges of blocks of receivers so that filling each up to its most costs least, a further
    range counted as a twentieth of all."""
    ends = [*range(UNIT, count.size - UNIT // 2, UNIT), count.size]

    def filled(borders: Sequence[int]) -> int:
        ranges = zip((0, *borders), (*borders, count.size), strict=True)
        return sum((high - low) * max(int(count[low:high].max()), 1) for low, high in ranges)

    whole = filled(())
    choices = [c for n in range(MOST_PARTS) for c in combinations(ends[:-1], n)]
    best = min(choices, key=lambda c: filled(c) + len(c) * whole / 20)
    return list(zip((0, *best), (*best, count.size), strict=True))


class BlockProduct(nn.Module):
    """h [batch, width, padded neurons] -> W h, the same shape."""

    def __init__(self, parts: Sequence[BlockPart]) -> None:
        super().__init__()
        self.groups = [part.groups for part in parts]
        for number, part in enumerate(parts):
            self.register_buffer(f"blocks{number}", torch.from_numpy(part.blocks))
            self.register_buffer(f"weights{number}", torch.from_numpy(part.weights))

    def forward(self, h: Tensor) -> Tensor:
        width, neurons = h.shape[1], h.shape[2]
        blocks = h.reshape(-1, neurons // BLOCK, BLOCK)
        found = []
        for number, groups in enumerate(self.groups):
            index = self.get_buffer(f"blocks{number}")
            weights = self.get_buffer(f"weights{number}")
            gathered = blocks.index_select(1, index).reshape(-1, groups * weights.shape[1], 1)
            found.append(nn.functional.conv1d(gathered, weights, groups=groups))
        together = found[0] if len(found) == 1 else torch.cat(found, dim=1)
        return together.reshape(-1, width, neurons)


class BlockedWired(nn.Module):
    """The same function as a WiredForecaster, in the form in which it is exported."""

    def __init__(self, network: WiredForecaster) -> None:
        super().__init__()
        self.network = network
        self.padding = -network.neurons % BLOCK
        self.products = nn.ModuleList()
        if network.gain is not None:
            counts = torch.diff(network.first).long()
            post = torch.repeat_interleave(torch.arange(network.neurons), counts).numpy()
            pre = network.pre.long().numpy()
            for step in range(network.wiring.steps):
                values = network.values(step).detach().numpy()
                parts = block_parts(post, pre, values, network.neurons + self.padding)
                self.products.append(BlockProduct(parts))

    def forward(self, x: Tensor) -> Tensor:
        network = self.network
        full = nn.functional.pad(x, (0, self.padding)) if self.padding else x
        h = network.enter(full)
        if network.state is not None:
            h = h + network.state(x)
        h = network.relu(h)
        for step, layer in enumerate(network.messages):
            h = layer(h, self.products[step](h) if len(self.products) else None)
        change = network.forecast(h) + network.direct(full)
        if network.adds_last:
            change = change + full[:, -1:]
        result: Tensor = change[:, :, : network.neurons] if self.padding else change
        return result
