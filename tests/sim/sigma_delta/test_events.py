"""Events of a two-layer network counted by hand, and what they cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.sim.sigma_delta.streams import drifting, linear_net, stream_of
from zapdeploy.errors import ModelError, TargetError
from zapdeploy.hardware_targets import load_event_target, load_target
from zapdeploy.sim.sigma_delta import (
    SigmaDeltaNetwork,
    convert,
    count_events,
    place,
    price,
    run_reference,
)
from zapdeploy.sim.sigma_delta.layout import Layout
from zapdeploy.sim.sigma_delta.network import (
    NO_LIMITS,
    Connection,
    Output,
    Population,
    Requantization,
)

TARGET = load_event_target("loihi2-sim")
ONE = np.ones((1, 1, 1), np.int64)


def two_layers() -> SigmaDeltaNetwork:
    """Three inputs, two neurons that sum them (one weight is 0), one for their difference."""
    identity = Requantization.of_one_sum(0 * ONE, ONE, 0, NO_LIMITS, rounds_first=False)
    layouts = [Layout((1, n), (1, n)) for n in (3, 2, 1)]
    populations = (
        Population("in", layouts[0], 0, None),
        Population("hidden", layouts[1], 1, identity),
        Population("out", layouts[2], 2, identity),
    )
    connections = (
        Connection("in", "hidden", "dense", np.asarray([[1, 1, 1], [1, 0, 2]])),
        Connection("hidden", "out", "dense", np.asarray([[1, -1]])),
    )
    output = Output("out", "out", layouts[2], np.ones(1, np.float32))
    return SigmaDeltaNetwork("two", populations, connections, (output,))


def test_counts_by_hand() -> None:
    """Step 1: inputs 2 and 3 send (fan-out 1 and 2). Step 2: input 1 sends (2), and both hidden
    neurons, which have heard of step 1. Step 3: the first hidden neuron's sum changes by 4, the
    second's too, their difference does not; the output has heard 5 - 6 = -1 and sends.
    """
    network = two_layers()
    stream = {"in": np.asarray([[0, 2, 3], [4, 2, 3], [4, 2, 3]]).reshape(3, 1, 1, 3)}
    spikes = run_reference(network, stream)
    assert spikes["hidden"].reshape(3, 2).tolist() == [[0, 0], [5, 6], [4, 4]]
    assert spikes["out"].reshape(3).tolist() == [0, 0, -1]
    placement = place(network, TARGET)
    assert placement.cores == 3, "every population begins in a core of its own"
    events = count_events(network, spikes, placement, TARGET)
    assert events.steps == 3
    assert events.neuron_updates == 3 * 6
    assert events.spikes == 2 + 3 + 3
    assert events.dense_synaptic_ops == (1 + 2) + 2 + 2 + 2
    assert events.synaptic_ops_if_dense == 3 * (5 + 2)
    assert events.messages == 2 + 1 + 2 + 2, "the output's message leaves the chip"
    assert events.hops_east_west == events.hops_north_south == 0, "all in one tile"


def test_cost_by_hand() -> None:
    network = two_layers()
    stream = {"in": np.asarray([[0, 2, 3], [4, 2, 3], [4, 2, 3]]).reshape(3, 1, 1, 3)}
    spikes = run_reference(network, stream)
    events = count_events(network, spikes, place(network, TARGET), TARGET)
    costs = price(events, network, TARGET)
    picojoules = 9 * 35.5 + 18 * (51.2 + 21.6) + 8 * 69.3 + 7 * 111.0
    assert costs.energy_per_frame.value == pytest.approx(picojoules * 1e-12 / 3)
    assert costs.energy_per_frame.low == 0.0, "Loihi 2's own figures are not known"
    assert sum(costs.parts_j.values()) == pytest.approx(costs.energy_per_frame.value)
    assert costs.latency_s == pytest.approx(3 * costs.step_s)
    assert costs.step_s > TARGET.latency.barrier.value


def test_the_busiest_core_by_hand() -> None:
    """Step 1: the input core sends 2 spikes and messages and updates 3 neurons: 30 + 5.1 each and
    9.7 each. It is the busiest: 99.3 ns."""
    network = two_layers()
    stream = {"in": np.asarray([[0, 2, 3]]).reshape(1, 1, 1, 3)}
    events = count_events(network, run_reference(network, stream), place(network, TARGET), TARGET)
    assert events.busy_s.tolist() == pytest.approx([(2 * 35.1 + 3 * 9.7) * 1e-9])


def test_messages_go_to_every_core_with_a_synapse() -> None:
    """4 inputs x 40 neurons; outputs 40 x 32 over three cores of 500: positions 0 to 15, 15 to 31,
    31 to 39. The channels of positions 15 and 31 are split, so their inputs send two messages."""
    chip = TARGET.chip.model_copy(
        update={
            "neurons_per_core": TARGET.chip.neurons_per_core.model_copy(update={"value": 500.0})
        }
    )
    target = replace_chip(chip)
    graph = linear_net(40)
    network = convert(graph)
    placement = place(network, target)
    assert placement.cores == 1 + 3
    spikes = run_reference(network, stream_of(network, graph, drifting(graph, 30)))
    events = count_events(network, spikes, placement, target)
    sent = np.count_nonzero(spikes["x"].reshape(-1, 40, 4), axis=(0, 2))
    twice = sent[15] + sent[31]
    assert events.messages == sent.sum() + twice
    assert events.conv_synaptic_ops == 32 * sent.sum()


def replace_chip(chip: object) -> object:
    return TARGET.model_copy(update={"chip": chip})


def test_a_network_that_is_too_large_does_not_fit() -> None:
    network = two_layers()
    population = network.populations[0]
    wide = replace(population, layout=Layout((1, 2_000_000), (1, 2_000_000)))
    network = replace(network, populations=(wide, *network.populations[1:]), connections=())
    with pytest.raises(ModelError, match=r"must fit 128 cores of loihi2-sim, not 259 \(2,000,003"):
        place(network, TARGET)


def test_synapses_of_one_neuron_must_fit_a_core() -> None:
    network = two_layers()
    wide = Connection("in", "hidden", "dense", np.ones((2, 1_000_000), np.int64))
    network = replace(network, connections=(wide, network.connections[1]))
    with pytest.raises(
        ModelError, match=r"must fit a core's 937,500, not take 1,000,000 \('hidden'\)"
    ):
        place(network, TARGET)


def test_a_core_array_is_no_event_driven_chip_and_the_other_way_round() -> None:
    with pytest.raises(TargetError, match=r"event-driven target must be one of loihi2-sim"):
        load_event_target("northpole-sim")
    with pytest.raises(TargetError, match=r"'loihi2-sim', which is event-driven"):
        load_target("loihi2-sim")
