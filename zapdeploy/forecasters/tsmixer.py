"""The ZAPBench TSMixer (arXiv 2503.02618): forecasts 32 frames of all neurons in one pass.

Two blocks of [residual time mix, residual feature mix], then one linear map from the context to the
horizon. At 71,721 neurons: 73,586,458 parameters with a context of 4 frames (width
256), 37,148,100 with one of 256 frames (width 128, with reversible instance normalisation).

Time mixes are linear maps shared by all neurons, written as 1x1 convolutions whose channels are
time and whose length is the neuron axis, so an exported file holds them once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zapdeploy.forecasters.scaled import Scaled
from zapdeploy.host_part import HostNormalisation, RevIN
from zapdeploy.host_part.revin import VARIANCE_FLOOR
from zapdeploy.recordings.zapbench import HORIZON

BLOCKS = 2


class TimeMix(nn.Module):
    """x + relu(dense(x)) along time. x: float [batch, context, neurons], same shape out."""

    def __init__(self, context: int) -> None:
        super().__init__()
        self.dense = nn.Conv1d(context, context, 1)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.relu(self.dense(x))
        return result


class FeatureMix(nn.Module):
    """x + up(relu(down(x))) along neurons. x: float [batch, context, neurons], same shape out.

    Both reshapes leave the leading size open, so that the batch of an exported file can be changed.
    """

    def __init__(self, context: int, neurons: int, width: int) -> None:
        super().__init__()
        self.context = context
        self.neurons = neurons
        self.down = nn.Linear(neurons, width)
        self.up = nn.Linear(width, neurons)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, self.neurons)
        mixed = self.up(self.relu(self.down(rows)))
        result: Tensor = x + mixed.reshape(-1, self.context, self.neurons)
        return result


class ReversibleInstanceNorm(nn.Module):
    """Removes each neuron's mean and spread over the context, and gives them back to the forecast.

    The statistics depend on the input, so these operators stay in floating point when the network
    between them is quantized: on the host, as `zapdeploy.host_part` computes them.
    """

    def __init__(self, neurons: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(neurons))
        self.bias = nn.Parameter(torch.zeros(neurons))

    def normalise(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Windows [batch, context, neurons] -> normalised, mean, deviation [batch, 1, neurons]."""
        mean = x.mean(dim=1, keepdim=True)
        centred = x - mean
        deviation = torch.sqrt((centred * centred).mean(dim=1, keepdim=True) + VARIANCE_FLOOR)
        return centred / deviation * self.scale + self.bias, mean, deviation

    def restore(self, y: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        """The inverse of `normalise`, for a forecast y [batch, horizon, neurons]."""
        standard: Tensor = (y - self.bias) / (self.scale + VARIANCE_FLOOR**2)
        return standard * deviation + mean


def take_out_norm(network: nn.Module) -> HostNormalisation | None:
    """Take a forecaster's reversible normalisation out, in place: what the host then has to do.

    None where the forecaster has none.
    """
    if isinstance(network, Scaled):
        return network.take_out()
    norm = getattr(network, "norm", None)
    if not isinstance(norm, ReversibleInstanceNorm):
        return None
    del network.norm
    network.register_module("norm", None)
    scale, bias = (value.detach().cpu().numpy().copy() for value in (norm.scale, norm.bias))
    return RevIN(scale, bias)


class TSMixer(nn.Module):
    """dF/F float [batch, context, neurons] -> forecast [batch, horizon, neurons]."""

    def __init__(
        self, neurons: int, context: int, width: int, horizon: int = HORIZON, *, revin: bool
    ) -> None:
        super().__init__()
        self.norm = ReversibleInstanceNorm(neurons) if revin else None
        blocks: list[nn.Module] = []
        for _ in range(BLOCKS):
            blocks += [TimeMix(context), FeatureMix(context, neurons, width)]
        self.blocks = nn.Sequential(*blocks)
        self.forecast = nn.Conv1d(context, horizon, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.norm is None:
            forecast: Tensor = self.forecast(self.blocks(x))
            return forecast
        x, mean, deviation = self.norm.normalise(x)
        return self.norm.restore(self.forecast(self.blocks(x)), mean, deviation)
