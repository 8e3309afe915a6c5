"""ZAPBench's time-mix forecaster: five residual time mixes, shared by all neurons, then a map.

260 parameters with a context of 4 frames; 480,626 with one of 256 at 71,721 neurons, of which
143,442 are those of the reversible instance normalisation.
"""

from __future__ import annotations

from torch import Tensor, nn

from zapdeploy.forecasters.tsmixer import ReversibleInstanceNorm, TimeMix
from zapdeploy.recordings.zapbench import HORIZON

BLOCKS = 5


class TimeMixForecaster(nn.Module):
    """dF/F float [batch, context, neurons] -> forecast [batch, horizon, neurons]."""

    def __init__(self, neurons: int, context: int, horizon: int = HORIZON, *, revin: bool) -> None:
        super().__init__()
        self.norm = ReversibleInstanceNorm(neurons) if revin else None
        self.blocks = nn.Sequential(*(TimeMix(context) for _ in range(BLOCKS)))
        self.forecast = nn.Conv1d(context, horizon, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.norm is None:
            forecast: Tensor = self.forecast(self.blocks(x))
            return forecast
        x, mean, deviation = self.norm.normalise(x)
        return self.norm.restore(self.forecast(self.blocks(x)), mean, deviation)
