"""The wired forecaster as it is exported: gathers with constant indices, and products.

Neurons come in blocks of 32. A block of receivers gathers the blocks of senders that any of its
neurons hears, and multiplies them with a small dense matrix: a convolution of as many groups as
there are blocks of receivers. Blocks without an edge are in no gather. Groups of a convolution are
equally large, so blocks of receivers that hear about equally many stand in one, and what is filled
up is gathered from block 0 and multiplied with zeros. A last gather puts the receivers of several
convolutions into their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zapdeploy.connectomes.ordering import BLOCK
from zapdeploy.forecasters.wired import WiredForecaster

UNIT = 64  # blocks of receivers after which another convolution may begin


@dataclass(frozen=True, eq=False)
class BlockPart:
    """Some blocks of receivers [groups]. blocks [groups * most]: the blocks of senders that each
    gathers. weights float32 [groups * BLOCK, most * BLOCK, 1]."""

    receivers: NDArray[np.int64]
    blocks: NDArray[np.int64]
    weights: NDArray[np.float32]


def block_parts(
    post: NDArray[np.int64], pre: NDArray[np.int64], values: NDArray[np.float32], neurons: int
) -> tuple[BlockPart, ...]:
    """A sparse matrix by its entries; blocks of receivers by how many blocks they hear, where that
    makes several parts."""
    across = -(-neurons // BLOCK)
    pairs, entry = np.unique(post // BLOCK * across + pre // BLOCK, return_inverse=True)
    receiver, sender = pairs // across, pairs % across
    count = np.bincount(receiver, minlength=across)
    first = np.cumsum(count) - count
    slot = np.arange(pairs.size) - first[receiver]  # of a pair, among those of its receiver
    order = np.argsort(count, kind="stable")
    ranges = _split(count[order])
    if len(ranges) == 1:
        order = np.arange(across)
    place = np.empty(across, np.int64)
    place[order] = np.arange(across)
    parts = []
    for low, high in ranges:
        groups, most = high - low, max(int(count[order[low:high]].max()), 1)
        group = place[receiver] - low
        mine = (group >= 0) & (group < groups)
        blocks = np.zeros((groups, most), np.int64)
        blocks[group[mine], slot[mine]] = sender[mine]
        held = mine[entry]
        pair = entry[held]
        weights = np.zeros((groups * BLOCK, most * BLOCK, 1), np.float32)
        row = group[pair] * BLOCK + post[held] % BLOCK
        weights[row, slot[pair] * BLOCK + pre[held] % BLOCK, 0] = values[held]
        parts.append(BlockPart(order[low:high], blocks.reshape(-1), weights))
    return tuple(parts)


def _split(count: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Ranges of blocks of receivers, which hear ascending numbers of blocks, so that filling each
    up to its most costs least; a range counts as a hundredth of all."""
    ends = [0, *range(UNIT, count.size - UNIT // 2, UNIT), count.size]
    heard = np.maximum(count, 1)
    costs, best = [0.0], [0]
    for k in range(1, len(ends)):
        tried = [
            costs[j] + (ends[k] - ends[j]) * heard[ends[k] - 1] + heard.sum() / 100
            for j in range(k)
        ]
        best.append(int(np.argmin(tried)))
        costs.append(tried[best[k]])
    found, k = [], len(ends) - 1
    while k:
        found.append((ends[best[k]], ends[k]))
        k = best[k]
    return found[::-1]


class BlockProduct(nn.Module):
    """h [batch, width, padded neurons] -> W h, the same shape."""

    def __init__(self, parts: Sequence[BlockPart]) -> None:
        super().__init__()
        self.groups = [part.receivers.size for part in parts]
        order = np.argsort(np.concatenate([part.receivers for part in parts]))
        self.places: Tensor
        self.register_buffer("places", torch.from_numpy(order))
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
        if len(found) == 1:
            return found[0].reshape(-1, width, neurons)
        rows = torch.cat(found, dim=1).reshape(-1, neurons // BLOCK, BLOCK)
        return rows.index_select(1, self.places).reshape(-1, width, neurons)


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
