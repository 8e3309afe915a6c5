"""ZAPBench's linear forecaster: one map from the context to the horizon, shared by all neurons.

For 32 frames 160 parameters with a context of 4 frames, 8,224 with one of 256.
"""

from __future__ import annotations

from torch import Tensor, nn

from zapdeploy.recordings.zapbench import HORIZON


class LinearForecaster(nn.Module):
    """dF/F float [batch, context, neurons] -> forecast [batch, horizon, neurons].

    nlinear: the last frame is subtracted before and added after (Zeng et al. 2022), so that the
    map forecasts a change, whose range is smaller and survives narrow integers better.
    """

    def __init__(self, context: int, horizon: int = HORIZON, *, nlinear: bool = False) -> None:
        super().__init__()
        self.nlinear = nlinear
        self.forecast = nn.Conv1d(context, horizon, 1)

    def forward(self, x: Tensor) -> Tensor:
        if not self.nlinear:
            forecast: Tensor = self.forecast(x)
            return forecast
        last = x[:, -1:]
        change: Tensor = self.forecast(x - last)
        return change + last
