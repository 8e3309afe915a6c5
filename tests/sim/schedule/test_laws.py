"""What must hold for every schedule."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks import changed_target, resnet50_program
from tests.sim.schedule.layers import random_program
from zapdeploy.compile.mapping.pricing import Counts
from zapdeploy.hardware_targets import Target
from zapdeploy.sim.results import summarize
from zapdeploy.sim.schedule import Schedule, schedule, scheduled_chip
from zapdeploy.sim.schedule.collisions import check_collisions
from zapdeploy.sim.schedule.counting import core_counts, network_counts
from zapdeploy.sim.schedule.critical import critical_path
from zapdeploy.sim.schedule.loads import layer_load, roofline

SEEDS = st.integers(0, 100_000)
COUNTED = (
    "macs_8bit",
    "macs_4bit",
    "accumulator_bytes",
    "model_bit_hops",
    "activation_bit_hops",
    "partial_sum_bit_hops",
    "instruction_bit_hops",
    "framebuffer_bytes",
)


@st.composite
def targets(draw: st.DrawFn) -> Target:
    """northpole-sim with another array and other numbers."""
    pick = st.sampled_from
    return changed_target(
        {
            "array.rows": draw(pick(["2", "4"])),
            "array.columns": draw(pick(["3", "4"])),
            "networks.activation.width": draw(pick(["16 B/cycle", "64 B/cycle"])),
            "networks.model.width": draw(pick(["64 B/cycle", "256 B/cycle"])),
            "networks.model.hop_latency": draw(pick(["0 cycle/hop", "3 cycle/hop"])),
            "networks.partial_sum.width": draw(pick(["32 B/cycle", "128 B/cycle"])),
            "core.memory_port.width": draw(pick(["64 B/cycle", "256 B/cycle"])),
            "core.matrix_unit.accumulators": draw(pick(["4 KiB", "64 KiB"])),
        }
    )


def check(found: Schedule) -> None:
    """Never below the bound; no collision; every cycle explained; units not busier than time."""
    end = 0
    for layer in found.layers:
        compiled = layer.events.program
        assert layer.begin == end
        assert layer.cycles >= compiled.bound_cycles, compiled.name
        check_collisions(layer)
        path = critical_path(layer)
        assert sum(path.values()) == layer.cycles
        assert min(path.values()) > 0
        load = layer_load(layer)
        busiest = load.busiest()
        busiest.pop("instruction_network")  # the next program may still be on its way at the end
        assert max(busiest.values()) <= layer.cycles, busiest
        end = layer.end
    assert all(r.attained_ops_s <= r.roof_ops_s for r in roofline(found.program, found.layers))


@given(SEEDS, targets())
@settings(max_examples=4, deadline=None)
def test_any_cut_on_any_target(seed: int, target: Target) -> None:
    check(schedule(random_program(seed, target)))


@given(SEEDS)
@settings(max_examples=5, deadline=None)
def test_the_same_counts_everywhere(seed: int) -> None:
    same_counts(schedule(random_program(seed, any_cuts=False)))


def same_counts(found: Schedule) -> None:
    for layer in found.layers:
        counted = network_counts(layer) + core_counts(layer)
        compiled = layer.events.program.counts
        for name in COUNTED:
            assert getattr(counted, name) == getattr(compiled, name), name
        matrix = (
            layer.trace.tile_pass_end - layer.trace.tile_pass_start - layer.trace.tile_pass_stretch
        ).sum(1)
        assert matrix.tolist() == layer.events.work.matrix[0].tolist()


@given(SEEDS)
@settings(max_examples=5, deadline=None)
def test_the_cores_hold_every_element_of_a_layer_once(seed: int) -> None:
    for layer in schedule(random_program(seed)).layers:
        times = np.zeros(layer.events.layer.output.shape, np.int64)
        held = layer.events.held
        for low, high in zip(held.low, held.high, strict=True):
            times[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] += 1
        assert (times == 1).all()


def test_energy_parts_add_up() -> None:
    program = random_program(3, any_cuts=False)
    result = summarize(program, scheduled=[scheduled_chip(program)])
    total = sum(part.value for part in result.energy_parts.values())
    assert total == pytest.approx(result.energy_per_frame.value)
    estimated = summarize(program)
    assert result.counts == estimated.counts
    assert result.cycles != estimated.cycles
    assert result.as_json()["timing_level"] == "scheduled"
    assert estimated.as_json()["timing_level"] == "estimated"


def test_resnet50_lies_between_half_and_all_of_the_estimate() -> None:
    """Published for the chip: 42,460 frames/s, to which nothing is fitted; the estimate is 45,779,
    every unit always busy 47,912."""
    program = resnet50_program()
    found = schedule(program)
    check(found)
    same_counts(found)
    frames_per_s = program.options.batch * program.target.clock_hz / found.cycles
    assert 0.85 * 42_460 < frames_per_s < 45_779
    waits = sum((Counter(critical_path(layer)) for layer in found.layers), Counter())
    assert max(waits, key=lambda cause: waits[cause]) == "matrix"
    assert sum((network_counts(layer) for layer in found.layers), Counts()).macs_4bit == 0
