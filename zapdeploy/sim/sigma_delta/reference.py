"""The dynamics of a sigma-delta network in NumPy, step by step: what Lava must run."""

from __future__ import annotations

from itertools import product

import numpy as np

from zapdeploy.compile.regions import IntArray
from zapdeploy.sim.sigma_delta.arithmetic import requantize
from zapdeploy.sim.sigma_delta.network import (
    Connection,
    SigmaDeltaNetwork,
    Spikes,
)


def run_reference(network: SigmaDeltaNetwork, stream: Spikes) -> dict[str, IntArray]:
    """What every population sends at every step [steps, x, y, channel].

    `stream`: the codes of every input population at every step.
    """
    steps = len(next(iter(stream.values())))
    shapes = {p.name: p.shape for p in network.populations}
    sums = {
        p.name: (np.zeros(p.shape, np.int64), np.zeros(p.shape, np.int64))
        for p in network.populations
    }
    sent = {name: np.zeros(shape, np.int64) for name, shape in shapes.items()}
    arriving = [np.zeros(shapes[c.target], np.int64) for c in network.connections]
    spikes = {name: np.zeros((steps, *shape), np.int64) for name, shape in shapes.items()}
    for step in range(steps):
        for connection, values in zip(network.connections, arriving, strict=True):
            sums[connection.target][connection.second][...] += values
        for population in network.populations:
            name = population.name
            if population.requantization is None:
                codes = stream[name][step]
            else:
                codes = requantize(*sums[name], population.requantization)
            change = codes - sent[name]
            message = np.where(np.abs(change) >= population.threshold, change, 0)
            sent[name] += message
            spikes[name][step] = message
        arriving = [
            apply(connection, spikes[connection.source][step], shapes[connection.target])
            for connection in network.connections
        ]
    return spikes


def apply(connection: Connection, message: IntArray, target: tuple[int, int, int]) -> IntArray:
    """What a message brings to every neuron of the target [x, y, channel]."""
    if connection.kind == "dense":
        return np.asarray(connection.weights @ message.reshape(-1)).reshape(target)
    total = np.zeros(target, np.int64)
    channels = connection.weights.shape[3]
    outputs = target[2] // connection.groups
    padded = np.pad(message, [(p, p) for p in connection.padding] + [(0, 0)])
    for kx, ky in product(*map(range, connection.weights.shape[1:3])):
        under = _under(padded, connection, (kx, ky), target)
        for group in range(connection.groups):
            ins = slice(group * channels, (group + 1) * channels)
            outs = slice(group * outputs, (group + 1) * outputs)
            total[..., outs] += under[..., ins] @ connection.weights[outs, kx, ky].T
    return total


def _under(
    padded: IntArray, connection: Connection, element: tuple[int, int], target: tuple[int, ...]
) -> IntArray:
    """The values under one kernel element at every position of the target."""
    index = tuple(
        slice(k * d, k * d + (n - 1) * s + 1, s)
        for k, d, s, n in zip(
            element, connection.dilations, connection.strides, target[:2], strict=True
        )
    )
    return padded[index]
