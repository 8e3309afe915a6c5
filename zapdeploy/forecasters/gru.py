"""A gated recurrent unit (Cho et al. 2014) that runs over each neuron's context.

Weights are shared by all neurons; what tells them apart is the state that each starts from, which
is learnt. The steps are written out one after the other, as 1x1 convolutions over the neuron axis,
sigmoids and products, so that an exported file needs no recurrent operator.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

STATE_DEVIATION = 0.1


class GRUForecaster(nn.Module):
    """Traces [batch, context, neurons] -> forecast [batch, horizon, neurons]."""

    def __init__(self, neurons: int, context: int, width: int, horizon: int) -> None:
        super().__init__()
        self.context = context
        self.start = nn.Parameter(STATE_DEVIATION * torch.randn(1, width, neurons))
        self.reset_in = nn.Conv1d(1, width, 1)
        self.reset_state = nn.Conv1d(width, width, 1, bias=False)
        self.update_in = nn.Conv1d(1, width, 1)
        self.update_state = nn.Conv1d(width, width, 1, bias=False)
        self.new_in = nn.Conv1d(1, width, 1)
        self.new_state = nn.Conv1d(width, width, 1)
        self.forecast = nn.Conv1d(width, horizon, 1)

    def forward(self, x: Tensor) -> Tensor:
        frames = torch.split(x, 1, dim=1)
        state = self.step(frames[0], self.start)
        for frame in frames[1 : self.context]:
            state = self.step(frame, state)
        result: Tensor = self.forecast(state)
        return result

    def step(self, frame: Tensor, state: Tensor) -> Tensor:
        """The state after one more frame [batch, 1, neurons]."""
        reset = torch.sigmoid(self.reset_in(frame) + self.reset_state(state))
        update = torch.sigmoid(self.update_in(frame) + self.update_state(state))
        new = torch.tanh(self.new_in(frame) + reset * self.new_state(state))
        return new + update * (state - new)
