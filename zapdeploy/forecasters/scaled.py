"""A forecaster around which every neuron is scaled, in torch as the host does it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from zapdeploy.host_part.scaling import LIMIT, FixedScaling
from zapdeploy.recordings.recording import Recording

LOW, HIGH = 1.0, 99.0  # percentiles between which a neuron's range is taken
SPREADS = 4.0  # so many spreads make that range: close to a normal distribution's deviation
NEURONS_AT_ONCE = 4096
# Frames that ranges are taken from: fewer of very many neurons, which may be on disk.
LEAST_FRAMES, MOST_FRAMES, MOST_VALUES = 2_000, 20_000, 2**28


class Scaled(nn.Module):
    """Traces [batch, context, neurons] -> what the host and the network between make of them.

    `take_out` leaves the network alone, as it is exported and quantized.
    """

    def __init__(self, network: nn.Module, neurons: int) -> None:
        super().__init__()
        self.network = network
        self.plain = False
        self.centre: Tensor
        self.scale: Tensor
        self.register_buffer("centre", torch.zeros(neurons))
        self.register_buffer("scale", torch.ones(neurons))

    def forward(self, x: Tensor) -> Tensor:
        if self.plain:
            found: Tensor = self.network(x)
            return found
        scaled = self.scaled(x)
        return self.restored(scaled, self.network(scaled))

    def scaled(self, x: Tensor) -> Tensor:
        """As the network is given it."""
        return torch.asinh((x - self.centre) / self.scale)

    def restored(self, scaled: Tensor, change: Tensor) -> Tensor:
        """The forecast in the data's unit."""
        after = (scaled[:, -1:] + change).clamp(-LIMIT, LIMIT)
        return torch.sinh(after) * self.scale + self.centre

    def take_out(self) -> FixedScaling:
        """Stop scaling: what the host then has to do."""
        self.plain = True
        scale, centre = (v.detach().cpu().numpy().copy() for v in (self.scale, self.centre))
        return FixedScaling(scale, centre)

    def fit(self, recording: Recording) -> None:
        """Take each neuron's centre and spread from the frames that may be learnt from."""
        centre, scale = robust_scales(recording)
        self.centre.copy_(torch.from_numpy(centre))
        self.scale.copy_(torch.from_numpy(scale))


class ScaledWithCovariates(Scaled):
    """The same around a network that reads covariates, which are scaled before."""

    def forward(self, input: Tensor, covariates: Tensor) -> Tensor:  # type: ignore[override]  # noqa: A002
        if self.plain:
            found: Tensor = self.network(input, covariates)
            return found
        scaled = self.scaled(input)
        return self.restored(scaled, self.network(scaled, covariates))


def robust_scales(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """Centre and spread of every neuron, float32 [neurons]: from the training frames alone, evenly
    thinned where there are very many. A neuron that never changes has a spread of 1.
    """
    known = np.sort(np.concatenate([c.known_frames() for c in recording.conditions]))
    most = max(LEAST_FRAMES, min(MOST_FRAMES, MOST_VALUES // recording.neurons))
    frames = known[:: max(1, -(-known.size // most))]
    centre = np.empty(recording.neurons, np.float32)
    scale = np.empty(recording.neurons, np.float32)
    seen = recording.traces[frames]  # at once: of traces on disk whole frames are read, and once
    for start in range(0, recording.neurons, NEURONS_AT_ONCE):
        part = slice(start, start + NEURONS_AT_ONCE)
        block = seen[:, part]
        low, middle, high = np.percentile(block, (LOW, 50, HIGH), axis=0)
        deviation = block.std(axis=0)
        spread = np.where(high > low, (high - low) / SPREADS, deviation)
        centre[part] = middle
        scale[part] = np.where(spread > 1e-6 * (1 + np.abs(middle)), spread, 1.0)
    return centre, scale
