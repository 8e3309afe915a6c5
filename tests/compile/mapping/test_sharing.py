"""Mappers that are shared choose what Mappers of their own would."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.chips import small_model
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.layers import group_layers
from zapdeploy.compile.mapping.mapper import Mapper
from zapdeploy.compile.mapping.sharing import NOT_READ, Shared, sharing
from zapdeploy.compile.multichip.pipeline import Pipeline
from zapdeploy.compile.multichip.pipeline_partitioner import build_pipeline
from zapdeploy.compile.program.program import Options, Origin
from zapdeploy.hardware_targets import Target, parse_target
from zapdeploy.hardware_targets.changes import changed_target_text, target_numbers

KEYS = {
    "core.memory": ["2100 B", "2200 B", "768 KiB"],
    "framebuffer.memory": ["1 MiB", "32 MiB"],
    "host.bandwidth": ["1 GB/s", "100 GB/s"],
    "host.transfer_latency": ["1 us", "1 s"],
    "host.launch_latency": ["1 us", "1 s"],
    "energy.host_byte": ["1 pJ/B", "1 uJ/B"],
    "energy.idle_power": ["1 W", "900 W"],
}


def chip(**changes: str) -> Target:
    text = changed_target_text("northpole-sim", changes)
    return parse_target(text, "chip")


def cuts(target: Target, model: Path, objective: str = "throughput") -> list[object]:
    """All that a mapping decides, and what it costs."""
    graph = import_model(model, batch=2).graph
    options = Options(2, 1, objective)
    made: Pipeline = build_pipeline(graph, Origin("", ""), target, "", options, 2, 1)
    return [
        (one.cut, one.digits, one.unit_cycles, one.counts, one.fetches)
        for one in made.stages[0].layers
    ] + [made.stages[0].memory.buffers]


def test_what_is_not_read_is_covered() -> None:
    """Every number that the list names is tried below."""
    assert set(KEYS) == NOT_READ
    assert set(target_numbers(chip())) >= NOT_READ


@pytest.mark.parametrize("objective", ["throughput", "energy"])
def test_shared_mappers_choose_the_same(tmp_path: Path, objective: str) -> None:
    model = small_model(tmp_path, width=512)
    changes = [{key: value} for key, values in KEYS.items() for value in values]
    alone = [cuts(chip(**change), model, objective) for change in changes]
    shared = Shared()
    with sharing(shared):
        together = [cuts(chip(**change), model, objective) for change in changes]
    assert together == alone
    # Two: a chip whose energies differ has lost the calibration of the stated one.
    assert (shared.mappers.made, shared.mappers.found) == (2, len(changes) - 2)
    assert len({str(found) for found in alone}) > 1  # little memory did change the cuts


def test_what_is_read_gets_a_mapper_of_its_own(tmp_path: Path) -> None:
    model, shared = small_model(tmp_path), Shared()
    with sharing(shared):
        cuts(chip(), model)
        cuts(chip(**{"networks.model.width": "64 B/cycle"}), model)
        cuts(chip(), model, "energy")
        cuts(chip(**{"core.weights": "resident"}), model)
    assert (shared.mappers.made, shared.mappers.found) == (4, 0)


def test_no_more_are_kept_than_asked_for(tmp_path: Path) -> None:
    layers = group_layers(import_model(small_model(tmp_path), batch=2).graph)
    shared = Shared(most_mappers=1)

    def one(objective: str) -> Mapper:
        return shared.mapper(layers, chip(), objective, lambda *_: None, {}, 1.0)  # type: ignore[arg-type]

    assert one("throughput") is one("throughput")
    one("energy")
    one("throughput")
    assert (shared.mappers.made, shared.mappers.found) == (3, 1)
