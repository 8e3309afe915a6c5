"""Events of a run, counted from what was sent, and their cost: sum(count x price).

A neuron that sends a message spikes once and sends one message to every core in which it has
synapses; there each of its synapses makes one synaptic operation. Every neuron is read and updated
in every step. A step takes as long as its busiest core, and the barrier.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from zapdeploy.compile.regions import IntArray
from zapdeploy.hardware_targets.event_driven.schema import EventTarget
from zapdeploy.quantities import Estimate, Provenance
from zapdeploy.sim.sigma_delta.network import Connection, Population, SigmaDeltaNetwork, Spikes
from zapdeploy.sim.sigma_delta.placement import Placement


@dataclass(frozen=True, eq=False)
class Events:
    """Counts over all steps of a run.

    `dense_synaptic_ops`, `conv_synaptic_ops`: operations that messages caused;
    `synaptic_ops_if_dense`: had every neuron sent at every step. `busy_s` [steps]: of the busiest
    core.
    """

    steps: int
    neuron_updates: int
    spikes: int
    messages: int
    dense_synaptic_ops: int
    conv_synaptic_ops: int
    synaptic_ops_if_dense: int
    hops_east_west: int
    hops_north_south: int
    busy_s: NDArray[np.float64]

    @property
    def synaptic_ops(self) -> int:
        return self.dense_synaptic_ops + self.conv_synaptic_ops

    @property
    def saved_share(self) -> float:
        """Share of the synaptic operations that were not needed."""
        return 1 - self.synaptic_ops / max(self.synaptic_ops_if_dense, 1)


@dataclass(frozen=True)
class EventCosts:
    """Per frame, one frame a step. Energies priced as Loihi 1's are upper bounds for Loihi 2."""

    energy_per_frame: Estimate
    step_s: float
    latency_s: float
    parts_j: dict[str, float]


def count_events(
    network: SigmaDeltaNetwork, spikes: Spikes, placement: Placement, target: EventTarget
) -> Events:
    """Events of a run, from what every population sent [steps, x, y, channel]."""
    steps = len(next(iter(spikes.values())))
    ops = {"dense": 0, "conv": 0}
    if_dense = messages = east_west = north_south = 0
    busy = np.zeros((steps, placement.cores))
    for population in network.populations:
        sent = (spikes[population.name] != 0).reshape(steps, -1).astype(np.float64)
        busy += _at_home(population, sent, placement, target)
        into: NDArray[np.bool_] = np.zeros((population.neurons, placement.cores), bool)
        for connection in _leaving(network, population):
            fan_out = fan_out_by_core(connection, network, placement)
            performed = sent @ fan_out
            ops[connection.kind] += int(performed.sum())
            if_dense += steps * int(fan_out.sum())
            busy += performed * _latency_of(connection.kind, target)
            into |= fan_out > 0
        arriving = sent @ into
        busy += arriving * target.latency.message_in.value
        messages += int(arriving.sum())
        home = placement.core_of[population.name]
        wide, high = placement.hops(home[:, None], np.arange(placement.cores)[None])
        east_west += int((sent @ (wide * into)).sum())
        north_south += int((sent @ (high * into)).sum())
    return Events(
        steps=steps,
        neuron_updates=steps * sum(p.neurons for p in network.populations),
        spikes=int(sum((spikes[p.name] != 0).sum() for p in network.populations)),
        messages=messages,
        dense_synaptic_ops=ops["dense"],
        conv_synaptic_ops=ops["conv"],
        synaptic_ops_if_dense=if_dense,
        hops_east_west=east_west,
        hops_north_south=north_south,
        busy_s=busy.max(axis=1),
    )


def price(events: Events, network: SigmaDeltaNetwork, target: EventTarget) -> EventCosts:
    """Joules and seconds per frame, at one frame a step."""
    prices = target.energy
    parts = {
        "synaptic operations, dense": (events.dense_synaptic_ops, prices.synaptic_op_dense),
        "synaptic operations, convolution": (events.conv_synaptic_ops, prices.synaptic_op_conv),
        "neuron reads": (events.neuron_updates, prices.neuron_access),
        "neuron updates": (events.neuron_updates, prices.neuron_update),
        "spikes": (events.spikes, prices.spike_out),
        "messages": (events.messages, prices.message_out),
        "hops east and west": (events.hops_east_west, prices.hop_east_west),
        "hops north and south": (events.hops_north_south, prices.hop_north_south),
    }

    def total(end: str) -> float:
        return float(sum(n * getattr(f, end) for n, f in parts.values()) / events.steps)

    step_s = float(events.busy_s.mean()) + target.latency.barrier.value
    return EventCosts(
        energy_per_frame=Estimate(total("value"), total("low"), total("high"), Provenance.MODELLED),
        step_s=step_s,
        latency_s=step_s * (network.depth + 1),
        parts_j={name: n * f.value / events.steps for name, (n, f) in parts.items()},
    )


def fan_out_by_core(
    connection: Connection, network: SigmaDeltaNetwork, placement: Placement
) -> NDArray[np.float64]:
    """Synapses of every source neuron in every core [source neurons, cores].

    A synapse of weight 0 is not stored.
    """
    core = placement.core_of[connection.target]
    source, target = network.population(connection.source), network.population(connection.target)
    if connection.kind == "dense":
        in_core = np.arange(placement.cores)[:, None] == core[None]
        return (in_core.astype(np.float64) @ (connection.weights != 0)).T
    found = np.zeros((*source.shape, placement.cores))
    by_position = core.reshape(target.shape)
    for (x, y), (kx, ky) in _positions_under(connection, source, target):
        present = (connection.weights[:, kx, ky] != 0).astype(np.float64)
        _add_kernel_element(found, by_position, present, x, y, connection.groups)
    return found.reshape(source.neurons, placement.cores)


def _add_kernel_element(
    found: NDArray[np.float64],
    core: IntArray,
    present: NDArray[np.float64],
    x: tuple[IntArray, IntArray],
    y: tuple[IntArray, IntArray],
    groups: int,
) -> None:
    """Synapses through one kernel element. `x`, `y`: source and target positions that it joins."""
    channels, outputs = present.shape[1], len(present) // groups
    (from_x, to_x), (from_y, to_y) = x, y
    homes = core[np.ix_(to_x, to_y)]  # [x, y, target channel]
    for group in range(groups):
        outs = slice(group * outputs, (group + 1) * outputs)
        here = homes[..., outs]
        for each in np.unique(here):
            weighed = (here == each).astype(np.float64) @ present[outs]
            ins = np.arange(group * channels, (group + 1) * channels)
            found[np.ix_(from_x, from_y, ins, [each])] += weighed[..., None]


def _positions_under(
    connection: Connection, source: Population, target: Population
) -> Iterator[tuple[tuple[tuple[IntArray, IntArray], ...], tuple[int, int]]]:
    """For every kernel element, which source position it joins to which target position."""
    for element in product(*map(range, connection.weights.shape[1:3])):
        joined = []
        for d in range(2):
            to = np.arange(target.shape[d])
            start = to * connection.strides[d] - connection.padding[d]
            at = start + element[d] * connection.dilations[d]
            inside = (at >= 0) & (at < source.shape[d])
            joined.append((at[inside], to[inside]))
        yield tuple(joined), (element[0], element[1])


def _leaving(network: SigmaDeltaNetwork, population: Population) -> list[Connection]:
    return [c for c in network.connections if c.source == population.name]


def _at_home(
    population: Population,
    sent: NDArray[np.float64],
    placement: Placement,
    target: EventTarget,
) -> NDArray[np.float64]:
    """Seconds that the population's own cores are busy with it [steps, cores]."""
    core = placement.core_of[population.name]
    here = (core[:, None] == np.arange(placement.cores)[None]).astype(np.float64)
    latency = target.latency
    updates = here.sum(axis=0) * (latency.neuron_access.value + latency.neuron_update.value)
    each = latency.spike_out.value + latency.message_out.value
    return updates[None] + sent @ here * each


def _latency_of(kind: str, target: EventTarget) -> float:
    latency = target.latency
    figure = latency.synaptic_op_dense if kind == "dense" else latency.synaptic_op_conv
    return figure.value
