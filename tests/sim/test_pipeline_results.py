"""What several chips cost together, from what each costs alone."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

from tests.networks import ORIGIN, northpole, resnet50_program, small_cnn, small_cnn_program
from zapdeploy.compile.mapping.pricing import energy_of
from zapdeploy.compile.multichip.pipeline import Pipeline, single
from zapdeploy.compile.multichip.pipeline_file import load_pipeline, save_pipeline
from zapdeploy.compile.multichip.pipeline_partitioner import build_pipeline
from zapdeploy.compile.program.program import Options, Program
from zapdeploy.hardware_targets import target_text
from zapdeploy.sim.results import Result, summarize
from zapdeploy.sim.timing import time_program


@cache
def over(chips: int, batch: int = 8, micro_batch: int = 2) -> Pipeline:
    """Six layers with residuals, two frames at a time."""
    options = Options(batch, chips, "throughput")
    text = target_text("northpole-sim")[1]
    graph = small_cnn(micro_batch)
    return build_pipeline(graph, ORIGIN, northpole(), text, options, micro_batch, chips)


@pytest.fixture(scope="module")
def result() -> Result:
    return summarize(over(3))


@pytest.mark.parametrize("program", [resnet50_program(), small_cnn_program()])
def test_one_stage_is_the_chip_to_the_last_digit(program: Program) -> None:
    timeline, found = time_program(program), summarize(single(program))
    counts = sum((layer.counts for layer in program.layers), program.boundary_counts)
    energy = energy_of(counts, timeline.interval_s, program.target)
    assert found.latency_s == timeline.latency_s
    assert found.throughput_fps == timeline.throughput_fps
    assert found.cycles == timeline.cycles
    assert found.counts == counts
    assert found.energy_per_frame == energy.scaled(1 / program.options.batch)
    assert found.as_json() == summarize(program).as_json()


def test_the_slowest_stage_sets_the_throughput(result: Result) -> None:
    intervals = [time_program(stage).interval_s for stage in over(3).stages]
    assert result.throughput_fps == 2 / max(intervals)
    assert result.flow.slowest == intervals.index(max(intervals))
    assert result.throughput_fps <= result.bound_throughput_fps


def test_latency_lies_between_the_stages_one_by_one_and_all_in_turn(result: Result) -> None:
    alone = sum(time_program(stage).latency_s for stage in over(3).stages)
    fill = 3 * result.flow.interval_s  # three more micro-batches behind the first
    assert alone + fill * 0.5 < result.latency_s <= alone + fill * (1 + 1e-9)


def test_energy_is_all_chips_for_as_long_as_the_slowest_takes(result: Result) -> None:
    energy = northpole().energy
    static = 3 * energy.price(energy.static_power) * result.flow.interval_s
    events = energy_of(result.counts, 0.0, northpole()).value
    assert 2 * result.energy_per_frame.value == pytest.approx(static + events)
    assert result.power_w.value > 3 * energy.price(energy.static_power)


def test_parts_and_chips_add_up(result: Result) -> None:
    total = result.energy_per_frame.value
    assert sum(part.value for part in result.energy_parts.values()) == pytest.approx(total)
    chips = [result.stage_energy(stage) for stage in result.stages]
    assert sum(chip.value for chip in chips) == pytest.approx(total)


def test_between_chips_every_byte_is_counted_twice(result: Result) -> None:
    """Once out and once in, beside the images and the results."""
    between = sum(link.size_bytes * (1 + len(link.readers)) for link in over(3).links)
    assert result.counts.host_bytes == between + 2 * (3 * 8 * 8 + 10)


def test_all_chips_wait_for_a_slow_stream(result: Result) -> None:
    rate = 0.5 * result.throughput_fps
    found = result.at(rate)
    idle = 3 * northpole().energy.price(northpole().energy.idle_power)
    waiting = 1 / rate - 1 / result.throughput_fps
    assert found.keeps_up
    assert found.busy_share == pytest.approx(0.5)
    assert found.energy_per_frame.value == pytest.approx(
        result.energy_per_frame.value + idle * waiting
    )


def test_json(result: Result) -> None:
    found = json.loads(json.dumps(result.as_json(), allow_nan=False))
    assert (found["chips"], found["batch"], found["micro_batch"]) == (3, 8, 2)
    assert [stage["chip"] for stage in found["stages"]] == [0, 1, 2]
    assert sum(stage["layers"] for stage in found["stages"]) == len(found["layers"])
    assert sum(stage["cycles"] for stage in found["stages"]) == found["cycles"]
    assert max(stage["busy_share"] for stage in found["stages"]) == 1
    for stage in found["stages"]:
        first = next(layer for layer in found["layers"] if layer["chip"] == stage["chip"])
        assert first["name"] == stage["first_layer"]
    assert {link["source"] for link in found["links"]} == {0, 1}
    assert found["memory"]["per_core_peak_bytes"] == max(
        stage["per_core_peak_bytes"] for stage in found["stages"]
    )


def test_a_file_costs_what_was_compiled(result: Result, tmp_path: Path) -> None:
    saved = save_pipeline(over(3), tmp_path / "p.zap")
    loaded = summarize(load_pipeline(tmp_path / "p.zap"))
    assert summarize(saved).as_json() == loaded.as_json()
    ours, theirs = result.as_json(), loaded.as_json()
    assert {**ours, "digest": theirs["digest"]} == theirs
