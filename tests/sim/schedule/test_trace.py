"""The timeline of a scheduled chip, its counters, and one core tile pass by tile pass."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.sim.schedule.layers import random_program
from zapdeploy.sim.results import Result, summarize
from zapdeploy.sim.schedule import schedule, scheduled_chip
from zapdeploy.sim.schedule.core_events import core_events
from zapdeploy.sim.trace import chrome_trace

PROGRAM = random_program(1, any_cuts=False)


@pytest.fixture(scope="module")
def result() -> Result:
    return summarize(PROGRAM, scheduled=[scheduled_chip(PROGRAM)])


def test_spans_are_the_schedule(result: Result) -> None:
    found = schedule(PROGRAM)
    spans = result.stages[0].timeline.spans
    assert [(s.start, s.end) for s in spans] == [(s.begin, s.end) for s in found.layers]
    for span in spans:
        assert sum(span.waits.values()) == span.end - span.start
        assert span.limiter == max(span.waits, key=lambda cause: span.waits[cause])


def test_counters_follow_the_layers(result: Result) -> None:
    made = chrome_trace(result.flow, "chip", result.arrays)["traceEvents"]
    counters = [e for e in made if e["ph"] == "C"]
    memory = [e["args"]["bytes"] for e in counters if e["name"] == "memory of a core"]
    assert memory[-1] == 0
    assert max(memory) <= PROGRAM.memory.peak
    links = [e for e in counters if e["name"] == "busiest link, activation network"]
    assert len(links) == len(PROGRAM.layers)
    assert all(0 <= e["args"]["busy share"] <= 1 for e in links)


def test_one_core(result: Result) -> None:
    """Its tile passes add up to its matrix cycles, and nothing on a track overlaps."""
    found = schedule(PROGRAM)
    core = 5
    events = list(core_events(found, core))
    tile_passes = [e for e in events if e.track == "core (1, 1) matrix"]
    busy = sum(int(layer.events.work.matrix[0, core]) for layer in found.layers)
    assert sum(e.end - e.start for e in tile_passes) >= busy > 0
    for track in {e.track for e in events}:
        on_track = sorted((e.start, e.end) for e in events if e.track == track)
        assert all(a[1] <= b[0] for a, b in pairwise(on_track))
    made = chrome_trace(result.flow, "chip", result.arrays, [events])["traceEvents"]
    assert sum("waited for" in e.get("args", {}) for e in made) == len(events)


def test_heat_maps_have_the_array_s_form(result: Result) -> None:
    array = result.as_json()["array"][0]
    assert (array["rows"], array["columns"]) == (4, 4)
    for layer in array["layers"]:
        for grid in (*layer["busy_cycles"].values(), *layer["link_cycles"].values()):
            assert [len(row) for row in grid] == [4, 4, 4, 4]
    assert all(r["attained_ops_s"] <= r["roof_ops_s"] for r in array["roofline"])
