"""Our own forecaster: a residual MLP per neuron, a neuron embedding, a pooled global state.

The family of the strongest recent short-context forecasters. All layers are linear maps with
BatchNorm and ReLU, so that in integers nothing but products, additions and clamps is left; the
forecast is the change from the last frame, which leaves narrow integers the small range.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zapdeploy.recordings.zapbench import HORIZON

BLOCKS = 3
EMBEDDING_DEVIATION = 0.1


class MLPBlock(nn.Module):
    """x + relu(norm(dense(x))) over channels. x: float [batch, width, neurons], same shape out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Conv1d(width, width, 1)
        self.norm = nn.BatchNorm1d(width)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.relu(self.norm(self.dense(x)))
        return result


class GlobalState(nn.Module):
    """The population's state in `width` numbers: [batch, context, neurons] -> [batch, width, 1].

    Every frame is mapped from neurons to width / 2 numbers by one matrix, as a feature mix does.
    """

    def __init__(self, neurons: int, context: int, width: int) -> None:
        super().__init__()
        self.neurons = neurons
        self.flat = context * (width // 2)
        self.pool = nn.Linear(neurons, width // 2)
        self.dense = nn.Linear(self.flat, width)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.relu(self.pool(x.reshape(-1, self.neurons)))
        state: Tensor = self.dense(pooled.reshape(-1, self.flat))
        return state.unsqueeze(2)


class ResidualMLPForecaster(nn.Module):
    """dF/F float [batch, context, neurons] -> forecast [batch, horizon, neurons].

    adds_last: whether the forecast is the last frame and the change; else it is the change alone.
    """

    def __init__(
        self,
        neurons: int,
        context: int,
        width: int,
        horizon: int = HORIZON,
        *,
        adds_last: bool = True,
    ) -> None:
        super().__init__()
        self.adds_last = adds_last
        self.enter = nn.Conv1d(context, width, 1)
        self.norm = nn.BatchNorm1d(width)
        self.embedding = nn.Parameter(torch.empty(1, width, neurons))
        nn.init.normal_(self.embedding, std=EMBEDDING_DEVIATION)
        self.state = GlobalState(neurons, context, width)
        self.relu = nn.ReLU()
        self.blocks = nn.Sequential(*(MLPBlock(width) for _ in range(BLOCKS)))
        self.forecast = nn.Conv1d(width, horizon, 1)

    def forward(self, x: Tensor) -> Tensor:
        last = x[:, -1:]
        own = self.norm(self.enter(x)) + self.embedding
        mixed = self.blocks(self.relu(own + self.state(x)))
        change: Tensor = self.forecast(mixed)
        return change + last if self.adds_last else change


def fold_residual_mlp(network: ResidualMLPForecaster) -> ResidualMLPForecaster:
    """The same function in evaluation mode without BatchNorm. Changes `network` in place."""
    network.eval()
    for parent, dense in ((network, "enter"), *((block, "dense") for block in network.blocks)):
        layer, norm = parent.get_submodule(dense), parent.get_submodule("norm")
        if isinstance(layer, nn.Conv1d) and isinstance(norm, nn.BatchNorm1d):
            setattr(parent, dense, nn.utils.fuse_conv_bn_eval(layer, norm))
            parent.norm = nn.Identity()
    return network
