"""Populations of sigma-delta neurons and the connections between them.

Every population is a box of neurons [x, y, channel]. A neuron holds up to two running sums of what
has arrived, turns them into a code, and sends the difference to what it has sent before, when that
is at least its threshold. Codes are relative to the zero point, so that nothing sent means zero.
A message takes one step to arrive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from zapdeploy.compile.regions import IntArray
from zapdeploy.sim.sigma_delta.layout import Layout

NO_LIMITS = (-(1 << 31), (1 << 31) - 1)


@dataclass(frozen=True, eq=False)
class Requantization:
    """What a neuron makes of its two sums, in integers.

        inner = r24((second + second_bias) second_multiplier + offset)
        code  = clamp(round(r24((first + bias) multiplier + inner) / 2^shift) - zero)

    `round` is half to even. r24 rounds to 24 significant bits, half to even, as float32 does, where
    `rounds_first`; otherwise it does nothing. Arrays broadcast against [x, y, channel].
    """

    bias: IntArray
    multiplier: IntArray
    second_bias: IntArray
    second_multiplier: IntArray
    offset: IntArray
    shift: int
    zero: int
    low: int
    high: int
    rounds_first: bool

    @classmethod
    def of_one_sum(
        cls,
        bias: IntArray,
        multiplier: IntArray,
        shift: int,
        limits: tuple[int, int],
        *,
        rounds_first: bool,
    ) -> Requantization:
        """A neuron that listens to one connection."""
        none = np.zeros((1, 1, 1), np.int64)
        return cls(bias, multiplier, none, none, none, shift, 0, *limits, rounds_first)


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons, or the encoders of a network input where `requantization` is None.

    `layout`: where the elements of the graph's tensor are; `depth`: steps from the input to its
    codes; `threshold`: the least change that is sent, in steps of its own code.
    """

    name: str
    layout: Layout
    depth: int
    requantization: Requantization | None
    threshold: int = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.layout.box

    @property
    def neurons(self) -> int:
        return int(np.prod(self.shape))


@dataclass(frozen=True, eq=False)
class Connection:
    """Synapses from one population to another; `second`: into the second sum.

    `kind` "conv": weights [out, kernel x, kernel y, in / groups], as a correlation. "dense":
    weights [out, in] over both populations in row-major order.
    """

    source: str
    target: str
    kind: str
    weights: IntArray
    second: bool = False
    strides: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1


@dataclass(frozen=True, eq=False)
class Output:
    """A tensor that leaves the chip: the population that has its codes, their order, their value.

    `scale` [x, y, channel], or broadcasting to it: what one step of the code is worth.
    """

    name: str
    population: str
    layout: Layout
    scale: NDArray[np.float32]

    def reals(self, codes: IntArray) -> NDArray[np.float32]:
        """Codes [frames, x, y, channel] as the tensor's numbers [frames, *tensor]."""
        return self.layout.to_tensor(codes.astype(np.float32) * self.scale)


@dataclass(frozen=True, eq=False)
class SigmaDeltaNetwork:
    """Populations in an order in which each comes after those that it listens to."""

    name: str
    populations: tuple[Population, ...]
    connections: tuple[Connection, ...]
    outputs: tuple[Output, ...]

    def population(self, name: str) -> Population:
        return next(p for p in self.populations if p.name == name)

    @property
    def inputs(self) -> tuple[Population, ...]:
        return tuple(p for p in self.populations if p.requantization is None)

    @property
    def depth(self) -> int:
        """Steps from an input frame to the last output of it."""
        return max(self.population(o.population).depth for o in self.outputs)


# What every population sent: int [steps, x, y, channel] by population.
Spikes = Mapping[str, IntArray]


def with_thresholds(network: SigmaDeltaNetwork, threshold: int) -> SigmaDeltaNetwork:
    """The same network with one threshold, in steps of each population's code, but for outputs.

    Output neurons send every change: a threshold there would save nothing behind them.
    """
    last = {output.population for output in network.outputs}
    populations = tuple(
        population if population.name in last else replace(population, threshold=threshold)
        for population in network.populations
    )
    return replace(network, populations=populations)


def stream_with_drain(network: SigmaDeltaNetwork, frames: Mapping[str, IntArray]) -> Spikes:
    """Input codes [frames, x, y, channel], the last frame held until its outputs are there."""
    return {
        name: np.concatenate([codes, np.repeat(codes[-1:], network.depth, axis=0)])
        for name, codes in frames.items()
    }


def outputs_of(network: SigmaDeltaNetwork, spikes: Spikes, frames: int) -> dict[str, IntArray]:
    """Codes of every output for every frame [frames, x, y, channel], from what was sent."""
    found = {}
    for output in network.outputs:
        depth = network.population(output.population).depth
        codes = np.cumsum(spikes[output.population], axis=0, dtype=np.int64)
        found[output.name] = codes[depth : depth + frames]
    return found
