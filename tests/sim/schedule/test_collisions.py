"""Two messages on one link in one cycle are found, whoever put them there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.sim.schedule.layers import random_program
from tests.sim.schedule.playing import play
from tests.sim.schedule.reference_machine import CollisionError
from zapdeploy.compile.noc.mesh import Mesh
from zapdeploy.errors import SimulationError
from zapdeploy.sim.schedule import LayerSchedule, schedule
from zapdeploy.sim.schedule.collisions import check_collisions, check_links


@pytest.fixture(scope="module")
def layers() -> tuple[LayerSchedule, ...]:
    return tuple(layer for seed in range(4) for layer in schedule(random_program(seed)).layers)


def test_schedules_have_none(layers: tuple[LayerSchedule, ...]) -> None:
    for layer in layers:
        check_collisions(layer)


def test_a_moved_activation_is_found(layers: tuple[LayerSchedule, ...]) -> None:
    """A packet at the time of another one of the same core: they share its port at least."""
    moved = 0
    for layer in layers:
        for place, sending in enumerate(layer.arrived.sendings):
            senders = sending.delivery.messages.senders[sending.packets.message]
            pairs = [np.flatnonzero((senders == k) & (sending.cycles > 0)) for k in set(senders)]
            pairs = [pair for pair in pairs if len(pair) > 1]
            if not pairs:
                continue
            start = sending.start.copy()
            start[pairs[0][1]] = start[pairs[0][0]]
            sendings = list(layer.arrived.sendings)
            sendings[place] = replace(sending, start=start)
            wrong = replace(layer, arrived=replace(layer.arrived, sendings=tuple(sendings)))
            with pytest.raises(SimulationError, match="activation network must carry one message"):
                check_collisions(wrong)
            with pytest.raises(CollisionError):
                play(wrong)
            moved += 1
    assert moved > 2


def test_moved_weights_are_found(layers: tuple[LayerSchedule, ...]) -> None:
    moved = 0
    for layer in layers:
        sent = layer.trace.sent.copy()
        trees, first, packets = np.unique(sent[:, 0], return_index=True, return_counts=True)
        several = np.flatnonzero((trees >= 0) & (packets > 1))
        if not len(several):
            continue
        one = first[several[0]]
        other = np.flatnonzero(sent[:, 0] == sent[one, 0])[1]
        sent[other, 1] = sent[one, 1]
        wrong = replace(layer, trace=layer.trace._replace(sent=sent))
        with pytest.raises(SimulationError, match="of the model network must carry one message"):
            check_collisions(wrong)
        moved += 1
    assert moved > 2


def test_the_message_names_link_and_cycle() -> None:
    mesh = Mesh(2, 2, 1)
    links, begin, end = np.array([5, 3, 5]), np.array([10, 0, 14]), np.array([15, 50, 20])
    with pytest.raises(SimulationError) as error:
        check_links(mesh, "model", links, begin, end, "layer 'a'")
    assert str(error.value) == (
        "the west link of core (0, 1) of the model network must carry one message at a time, not "
        "two in cycle 14 (layer 'a'); this is a fault of the scheduler, report it"
    )
    check_links(mesh, "model", links, begin, np.array([14, 50, 20]), "layer 'a'")
