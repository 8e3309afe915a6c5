"""Rows: the contract's keys, the way to JSON and back, deadlines."""

from __future__ import annotations

import json

import pytest

from tests.benchmarks.examples import row
from zapdeploy.benchmarks import NotRun, Row, Scenario
from zapdeploy.benchmarks.results.published import published_rows
from zapdeploy.benchmarks.results.rows import Horizon, Latency, exactly, frames_per_joule
from zapdeploy.quantities import Estimate, Provenance

CONTRACT = {
    *("model", "precision", "target", "batch", "frames_per_s", "latency_s"),
    *("energy_per_frame_j", "boundary", "kind", "accuracy", "source"),
}
ADDED = {
    *(
        "frames_per_s_per_w",
        "latency_percentiles_s",
        "paced_latency_s",
        "power_w",
        "energy_kind",
        "note",
        "machine",
    ),
    *("versions", "digest", "configuration", "scenario", "deadline_met", "key", "tried", "noise"),
    *("accuracy_metric", "limiter", "transistors", "recorded_on", "deadlines", "horizon"),
    "frames_per_s_per_billion_transistors",
    *("energy_measured_per_frame_j", "energy_at_frame_rate_j", "frame_rate_hz", "energy_is_bound"),
}


def test_json_has_the_keys_of_the_contract_and_the_added_ones() -> None:
    assert set(row().as_json()) == CONTRACT | ADDED


@pytest.mark.parametrize(
    "one",
    [
        row(),
        row(latency=None, energy_per_frame=None, noise=None),
        row(horizon=Horizon((0.01, 0.02), (0.02, 0.03), "two windows")),
    ],
)
def test_row_survives_json(one: Row) -> None:
    assert Row.from_json(json.loads(json.dumps(one.as_json()))) == one


def test_published_rows_survive_json() -> None:
    for one in published_rows("resnet50"):
        again = Row.from_json(json.loads(json.dumps(one.as_json(), allow_nan=False)))
        assert again.as_json() == one.as_json()


def test_reason_survives_json() -> None:
    one = NotRun("k", "net", "int4", "cpu", Scenario.OFFLINE, "no such kernels")
    assert NotRun.from_json(json.loads(json.dumps(one.as_json()))) == one


def test_measured_energy_stays_empty_without_a_meter() -> None:
    modelled = row().as_json()
    assert modelled["energy_measured_per_frame_j"] is None
    assert modelled["energy_kind"] == "modelled"
    metered = row(energy_per_frame=exactly(0.05, Provenance.MEASURED)).as_json()
    assert metered["energy_measured_per_frame_j"] == 0.05
    assert metered["energy_kind"] == "measured"


def test_frames_per_watt_is_the_inverse_of_energy_with_its_interval() -> None:
    assert frames_per_joule(Estimate(0.5, 0.25, 1.0, Provenance.MODELLED)) == {
        "value": 2.0,
        "low": 1.0,
        "high": 4.0,
        "kind": "modelled",
    }
    bound = frames_per_joule(Estimate(0.5, 0.0, 0.5, Provenance.PUBLISHED))
    assert bound is not None
    assert bound["high"] is None


@pytest.mark.parametrize(("rate_hz", "met"), [(None, None), (49.0, True), (51.0, False)])
def test_deadline_counts_the_99th_percentile(rate_hz: float | None, met: bool | None) -> None:
    slow_tail = row(latency=Latency(0.001, 0.002, 0.02, 0.002, 100), latency_s=0.001)
    assert slow_tail.meets_deadline(rate_hz) is met


def test_deadlines_count_the_99th_percentile_where_one_was_measured() -> None:
    """20 ms is under 100 ms and over 12 ms; the median of 1 ms does not count."""
    slow_tail = row(latency=Latency(0.001, 0.002, 0.02, 0.002, 100), latency_s=0.001)
    met = {one["deadline_s"]: one["met"] for one in slow_tail.as_json()["deadlines"]}
    assert met == {0.914: True, 0.278: True, 0.1: True, 0.012: False, 0.001: False}
    simulated = row(kind=Provenance.SIMULATED, latency=None, latency_s=0.001)
    assert all(one["met"] for one in simulated.as_json()["deadlines"])
    assert simulated.latency_p99_s == 0.001


def test_rate_per_transistor() -> None:
    """1000 frames/s over 20 billion transistors are 50 for each billion."""
    chip = row(frames_per_s=1000.0, transistors=20e9).as_json()
    assert chip["frames_per_s_per_billion_transistors"] == pytest.approx(50)
    assert row().frames_per_s_per_billion_transistors is None


def test_a_row_from_before_a_field_existed_is_read() -> None:
    later = ("limiter", "transistors", "horizon")
    old = {k: v for k, v in row().as_json().items() if k not in later}
    assert Row.from_json(old) == row()


def test_no_deadline_for_frames_that_wait_for_a_batch() -> None:
    assert row(scenario=Scenario.OFFLINE).meets_deadline(1.0) is None
    assert row(latency=None, latency_s=None).meets_deadline(1.0) is None
