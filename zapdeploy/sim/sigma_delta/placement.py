"""Which core of an event-driven chip holds which neurons, as few cores as their limits allow.

Populations follow one another; each begins in a core of its own and is cut, in row-major order,
where a core's neurons or synapses are used up. Synapses of a convolution are shared by all
positions of a core, so a core stores each kernel once; those of a dense connection are its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zapdeploy.compile.noc.mesh import Mesh
from zapdeploy.compile.regions import IntArray
from zapdeploy.errors import ModelError
from zapdeploy.hardware_targets.event_driven.schema import EventTarget
from zapdeploy.sim.sigma_delta.network import Connection, Population, SigmaDeltaNetwork


@dataclass(frozen=True, eq=False)
class Placement:
    """`core_of`: per population the core of every neuron, [neurons]. Input encoders are placed too.

    Core numbers go tile by tile; `tiles`: the mesh of these.
    """

    core_of: dict[str, IntArray]
    cores: int
    synapses: int
    tiles: Mesh
    cores_per_tile: int

    def hops(self, sources: IntArray, targets: IntArray) -> tuple[IntArray, IntArray]:
        """Hops east or west, and north or south, between cores."""
        return self.tiles.steps(sources // self.cores_per_tile, targets // self.cores_per_tile)


def place(network: SigmaDeltaNetwork, target: EventTarget) -> Placement:
    """Raises ModelError, with the numbers, when the network does not fit the chip."""
    chip = target.chip
    core_of: dict[str, IntArray] = {}
    first = synapses = 0
    for population in network.populations:
        into = [c for c in network.connections if c.target == population.name]
        each = _neurons_per_core(population, into, target)
        core_of[population.name] = first + np.arange(population.neurons) // each
        used = -(-population.neurons // each)
        synapses += sum(_stored(c, min(each, population.neurons), population) for c in into) * used
        first += used
    if first > int(chip.cores):
        raise ModelError(
            f"network must fit {int(chip.cores)} cores of {target.name}, not {first} "
            f"({sum(p.neurons for p in network.populations):,} neurons, {synapses:,} synapses); "
            "take fewer neurons"
        )
    each, columns = int(chip.cores_per_tile), int(chip.tile_columns)
    tiles = Mesh(-(-int(chip.cores) // (each * columns)), columns)
    return Placement(core_of, first, synapses, tiles, each)


def _neurons_per_core(population: Population, into: list[Connection], target: EventTarget) -> int:
    """Neurons that fit a core with their synapses."""
    limit, synapses = int(target.chip.neurons_per_core), int(target.chip.synapses_per_core)
    shared = sum(c.weights.size for c in into if c.kind != "dense")
    per_neuron = sum(c.weights.shape[1] for c in into if c.kind == "dense")
    room = synapses - shared
    fitting = min(limit, room // per_neuron) if per_neuron else limit
    if room < 0 or fitting < 1:
        raise ModelError(
            f"synapses of one neuron must fit a core's {synapses:,}, not take "
            f"{shared + per_neuron:,} ('{population.name}')"
        )
    return min(fitting, population.neurons)


def _stored(connection: Connection, neurons: int, population: Population) -> int:
    """Synapses of a connection that a core with so many target neurons stores."""
    if connection.kind != "dense":
        return int(connection.weights.size)
    return int(connection.weights.shape[1]) * neurons
