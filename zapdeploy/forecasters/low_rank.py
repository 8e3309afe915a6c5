"""A linear forecaster of low rank: each neuron's own past, and that of a few shared factors.

The baseline of population forecasting (reduced-rank regression, Izenman 1975): one map from the
context to the horizon, shared by all neurons, and beside it the traces projected on `rank` factors,
forecast, and given back to the neurons.
"""

from __future__ import annotations

from torch import Tensor, nn


class LowRankForecaster(nn.Module):
    """Traces [batch, context, neurons] -> forecast [batch, horizon, neurons]."""

    def __init__(self, neurons: int, context: int, rank: int, horizon: int) -> None:
        super().__init__()
        self.neurons, self.context, self.rank, self.horizon = neurons, context, rank, horizon
        self.forecast = nn.Conv1d(context, horizon, 1)
        self.down = nn.Linear(neurons, rank, bias=False)
        self.factors = nn.Conv1d(context, horizon, 1)
        self.up = nn.Linear(rank, neurons, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        own = self.forecast(x)
        reduced = self.down(x.reshape(-1, self.neurons)).reshape(-1, self.context, self.rank)
        shared = self.up(self.factors(reduced).reshape(-1, self.rank))
        result: Tensor = own + shared.reshape(-1, self.horizon, self.neurons)
        return result
