"""Weights that a training starts from, as the benchmark draws them.

ZAPBench's models are Flax modules (arXiv 2503.02618, github.com/google-research/zapbench): dense
layers start from LeCun's truncated normal and biases from zero; the linear forecaster starts as the
mean of its context. torch's own default draws biases of up to 1 / sqrt(inputs), half of the full
scale of dF/F with four frames of context, which thousands of steps at a rate of 0.001 go to undo.
Our residual MLP and wired forecaster, whose hidden units are of size 1, start by forecasting no
change.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from zapdeploy.forecasters.linear import LinearForecaster
from zapdeploy.forecasters.low_rank import LowRankForecaster
from zapdeploy.forecasters.residual_mlp import ResidualMLPForecaster
from zapdeploy.forecasters.scaled import Scaled
from zapdeploy.forecasters.wired import WiredForecaster

# Standard deviation of a unit normal that is cut off at two deviations (as Flax and TensorFlow do).
TRUNCATED_DEVIATION = 0.87962566103423978


def initialise(network: nn.Module, seed: int) -> None:
    """Draw the weights of all dense layers anew, in place, from `seed` alone."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for layer in network.modules():
            if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
                _lecun_normal(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        if isinstance(network, Scaled):
            last = getattr(network.network, "forecast", None)
            if isinstance(last, nn.Linear | nn.Conv1d):  # it starts by forecasting no change
                nn.init.zeros_(last.weight)
            if isinstance(network.network, LowRankForecaster):
                nn.init.zeros_(network.network.factors.weight)
            if isinstance(network.network, WiredForecaster):
                nn.init.zeros_(network.network.direct.weight)
        elif isinstance(network, LinearForecaster):
            weight = network.forecast.weight
            nn.init.constant_(weight, 1 / weight.shape[1])
        elif isinstance(network, ResidualMLPForecaster):
            nn.init.zeros_(network.forecast.weight)
        elif isinstance(network, WiredForecaster):
            nn.init.zeros_(network.forecast.weight)
            nn.init.zeros_(network.direct.weight)


def _lecun_normal(weight: torch.Tensor) -> None:
    """weight: [outputs, inputs, ...]; variance 1 / inputs."""
    deviation = 1 / math.sqrt(weight[0].numel()) / TRUNCATED_DEVIATION
    nn.init.trunc_normal_(weight, std=deviation, a=-2 * deviation, b=2 * deviation)
