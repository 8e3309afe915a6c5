"""ZAPBench's TiDE (Das et al. 2023): a residual MLP per neuron, with the stimuli to come.

In the published configuration past covariates and static embeddings are zero, so what is left is
live: 577,762 parameters with a context of 4 frames, 650,338 with one of 256, the same for all
neurons.

Everything that depends on the stimuli alone is the same for all neurons. Layers that read traces
and stimuli are therefore held as two maps that are added: one over the neurons, as a 1x1
convolution, and one over the frame, computed once. `forward_per_neuron` is the same function as it
is usually written, with the stimuli copied to every neuron.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zapdeploy.recordings.zapbench import HORIZON, STIMULI

HIDDEN = 128
FEATURES = 32  # of a frame's stimuli, and of the decoder for each frame of the horizon


class ResidualMLP(nn.Module):
    """up(relu(down(x))) + skip(x) over the channels of [batch, channels, ...]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.down = nn.Conv1d(inputs, HIDDEN, 1)
        self.up = nn.Conv1d(HIDDEN, outputs, 1)
        self.skip = nn.Conv1d(inputs, outputs, 1)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.up(self.relu(self.down(x))) + self.skip(x)
        return result


class SplitResidualMLP(nn.Module):
    """A residual MLP over [neuron's channels, frame's channels], split by where they come from.

    x: float [batch, traces, steps, neurons]; frame: float [batch, frames, steps, 1] -> float
    [batch, outputs, steps, neurons].
    """

    def __init__(self, traces: int, frames: int, outputs: int) -> None:
        super().__init__()
        self.down_traces = nn.Conv2d(traces, HIDDEN, 1, bias=False)
        self.down_frame = nn.Conv2d(frames, HIDDEN, 1)
        self.up = nn.Conv2d(HIDDEN, outputs, 1)
        self.skip_traces = nn.Conv2d(traces, outputs, 1, bias=False)
        self.skip_frame = nn.Conv2d(frames, outputs, 1)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor, frame: Tensor) -> Tensor:
        hidden = self.relu(self.down_traces(x) + self.down_frame(frame))
        result: Tensor = self.up(hidden) + (self.skip_traces(x) + self.skip_frame(frame))
        return result

    def whole(self, x: Tensor) -> Tensor:
        """The same over rows [..., traces + frames], with whole matrices."""
        down = torch.cat([self.down_traces.weight, self.down_frame.weight], 1).flatten(1)
        skip = torch.cat([self.skip_traces.weight, self.skip_frame.weight], 1).flatten(1)
        hidden = self.relu(nn.functional.linear(x, down, self.down_frame.bias))
        up = nn.functional.linear(hidden, self.up.weight.flatten(1), self.up.bias)
        return up + nn.functional.linear(x, skip, self.skip_frame.bias)


class TiDE(nn.Module):
    """dF/F [batch, context, neurons], covariates to come [batch, horizon, K] -> forecast [batch,
    horizon, neurons].
    """

    def __init__(self, context: int, horizon: int = HORIZON, covariates: int = STIMULI) -> None:
        super().__init__()
        self.horizon = horizon
        self.covariates = ResidualMLP(covariates, FEATURES)
        self.encoder = SplitResidualMLP(context, horizon * FEATURES, HIDDEN)
        self.decoder = ResidualMLP(HIDDEN, FEATURES * horizon)
        self.temporal = SplitResidualMLP(FEATURES, FEATURES, 1)
        self.skip = nn.Conv1d(context, horizon, 1)

    # Named as the ONNX file names its inputs, so that calibration windows serve both.
    def forward(self, input: Tensor, covariates: Tensor) -> Tensor:  # noqa: A002
        features = self.covariates(covariates.transpose(1, 2))  # [batch, features, 32]
        encoded = self.encoder(
            input.unsqueeze(2), features.reshape(-1, FEATURES * self.horizon, 1, 1)
        )
        decoded = self.decoder(encoded.squeeze(2))
        steps = decoded.reshape(-1, FEATURES, self.horizon, input.shape[2])
        temporal: Tensor = self.temporal(steps, features.unsqueeze(3)).squeeze(1)
        return temporal + self.skip(input)

    def forward_per_neuron(self, x: Tensor, stimuli: Tensor) -> Tensor:
        """As TiDE is defined: every neuron is a row that carries the frame's stimuli along."""
        batch, _, neurons = x.shape
        rows = x.transpose(1, 2)  # [batch, neurons, context]
        features = self.covariates(stimuli.transpose(1, 2))
        copied = features.flatten(1).unsqueeze(1).expand(batch, neurons, FEATURES * self.horizon)
        encoded = self.encoder.whole(torch.cat([rows, copied], dim=2))
        decoded = self.decoder(encoded.transpose(1, 2)).transpose(1, 2)
        steps = decoded.reshape(batch, neurons, FEATURES, self.horizon).transpose(2, 3)
        frames = (
            features.transpose(1, 2).unsqueeze(1).expand(batch, neurons, self.horizon, FEATURES)
        )
        temporal: Tensor = self.temporal.whole(torch.cat([steps, frames], dim=3)).squeeze(3)
        return temporal.transpose(1, 2) + self.skip(x)
