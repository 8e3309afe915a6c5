"""Scheduled times against a machine that steps from cycle to cycle."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim.schedule.layers import random_program
from tests.sim.schedule.playing import chip_of, cores_of, messages_of, play
from tests.sim.schedule.reference_machine import OverwrittenError, run
from zapdeploy.sim.schedule import schedule

WITHIN = 0.01


def differences(seeds: range) -> list[float]:
    """Of every layer, how far the scheduled cycles are from those of the reference machine."""
    found = []
    for seed in seeds:
        for layer in schedule(random_program(seed)).layers:
            expected = play(layer) - layer.begin
            found.append((layer.cycles - expected) / expected)
    return found


def test_two_hundred_layers() -> None:
    found = differences(range(100, 170))
    assert len(found) >= 200
    assert max(map(abs, found)) <= WITHIN


def test_the_reference_knows_the_machine() -> None:
    """A slower matrix unit or a narrower port would show."""
    for layer in schedule(random_program(0)).layers[:2]:
        cores = cores_of(layer)
        messages = messages_of(layer, cores)
        chip = chip_of(layer.target)
        assert run(chip, cores, messages, layer.start) == layer.end
        slow = replace(chip, matrix_latency=chip.matrix_latency + 7)
        assert run(slow, cores, messages, layer.start) == layer.end + 7
        narrow = replace(chip, port_width=chip.input_width // 2)
        assert run(narrow, cores, messages, layer.start) > layer.end


def test_weights_that_come_too_early_are_found() -> None:
    """A register must not be overwritten while the tile pass before has not begun."""
    layer = next(s for s in schedule(random_program(0)).layers if len(s.sent_weights) > 2)
    cores = cores_of(layer)
    messages = messages_of(layer, cores)
    last = max(m for m, message in enumerate(messages) if message.network == "model")
    messages = [replace(messages[last], start=layer.begin)]
    with pytest.raises(OverwrittenError):
        run(chip_of(layer.target), cores, messages, layer.start)


@given(st.integers(0, 10_000))
@settings(max_examples=4, deadline=None)
def test_wider_networks_are_never_slower_on_the_same_schedule(seed: int) -> None:
    """The same starts, shorter messages."""
    layer = schedule(random_program(seed)).layers[-1]
    cores = cores_of(layer)
    messages = messages_of(layer, cores)
    wider = [replace(m, cycles=-(-m.cycles // 2)) for m in messages]
    chip = chip_of(layer.target)
    assert run(chip, cores, wider, layer.start) <= run(chip, cores, messages, layer.start)
