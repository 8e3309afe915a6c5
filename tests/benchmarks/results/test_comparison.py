"""Lines side by side: joined, ordered, and with ratios worked out by hand."""

from __future__ import annotations

import json

import pytest

from tests.benchmarks.examples import row
from zapdeploy.benchmarks import NotRun, Row, Scenario, compare_rows
from zapdeploy.benchmarks.results.comparison import Line
from zapdeploy.benchmarks.results.published import published_rows
from zapdeploy.benchmarks.results.rows import exactly
from zapdeploy.errors import UsageError
from zapdeploy.quantities import Estimate, Provenance


def _chip(precision: str = "int8", **fields: object) -> Row:
    energy = Estimate(0.002, 0.001, 0.004, Provenance.MODELLED)
    own = {"kind": Provenance.SIMULATED, "frames_per_s": 1000.0, "energy_per_frame": energy}
    return row("chip", precision, **{**own, **fields})


def _line(device: str, *rows: Row, baseline: tuple[str, str] = ("cpu", "int8")) -> Line:
    (model,) = compare_rows(rows, baseline=baseline).models
    return next(line for line in model.lines if line.device == device)


def test_throughput_and_latency_of_a_device_are_one_line() -> None:
    offline = row(scenario=Scenario.OFFLINE, batch=32, frames_per_s=400.0, latency_s=0.08)
    line = _line("cpu int8", row(), offline).as_json()
    assert (line["frames_per_s"], line["batch"], line["latency_s"]) == (400.0, 32, 0.01)


def test_a_device_with_one_row_has_a_line() -> None:
    assert _line("cpu int8", row()).as_json()["frames_per_s"] == 100.0
    offline = _line("cpu int8", row(scenario=Scenario.OFFLINE, latency_s=0.08)).as_json()
    assert offline["latency_s"] is None


def test_ratios_to_the_baseline() -> None:
    """10 times the rate; 50 mJ over 2 mJ is 25 times the frames per joule, at least
    20 mJ / 4 mJ = 5 times, at most 100 mJ / 1 mJ = 100 times.
    """
    line = _line("chip int8", row(), _chip())
    assert line.speed_ratio == pytest.approx(10)
    assert line.energy_ratio == pytest.approx((25, 5, 100))
    assert _line("cpu int8", row(), _chip()).energy_ratio == (1.0, 1.0, 1.0)


def test_a_bound_leaves_the_ratio_open_above() -> None:
    bound = Estimate(0.01, 0.0, 0.01, Provenance.PUBLISHED)
    line = _line("gpu int8", row(), row("gpu", energy_per_frame=bound, energy_is_bound=True))
    assert line.energy_ratio is not None
    assert line.energy_ratio[:2] == pytest.approx((5, 2))
    assert line.energy_ratio[2] is None


def test_another_boundary_is_marked() -> None:
    assert not _line("chip int8", row(), _chip(boundary="system")).same_boundary
    assert _line("chip int8", row(), _chip()).same_boundary


def test_a_model_without_the_default_baseline_has_no_ratios() -> None:
    (model,) = compare_rows([_chip()]).models
    assert model.baseline is None
    assert model.lines[0].speed_ratio is None


def test_a_chosen_baseline_must_be_there() -> None:
    line = _line("cpu int8", row(), _chip(), baseline=("chip", "int8"))
    assert line.speed_ratio == pytest.approx(0.1)
    with pytest.raises(UsageError, match=r"baseline must be one of chip int8, cpu int8, not 'cpu"):
        compare_rows([row(), _chip()], baseline=("cpu", "fp32"))


def test_own_lines_come_first_and_the_thriftiest_on_top() -> None:
    rows = [
        *published_rows("resnet50"),
        row(model="resnet50"),
        _chip(model="resnet50"),
        row("cpu", "fp32", model="resnet50", energy_per_frame=None),
    ]
    (model,) = compare_rows(rows).models
    assert [line.device for line in model.lines[:3]] == ["chip int8", "cpu int8", "cpu fp32"]
    published = [line.energy.value for line in model.lines[3:] if line.energy]
    assert published == sorted(published)


def test_the_later_row_of_the_same_thing_counts() -> None:
    assert _line("cpu int8", row(), row(frames_per_s=120.0)).main.frames_per_s == 120.0


def test_deadline_is_that_of_the_single_stream() -> None:
    offline = row(scenario=Scenario.OFFLINE, latency_s=0.5)
    (model,) = compare_rows([row(), offline], frame_rate_hz=40.0).models
    assert model.lines[0].deadline_met is True
    (model,) = compare_rows([offline], frame_rate_hz=40.0).models
    assert model.lines[0].deadline_met is None


def test_a_line_answers_what_a_user_asks() -> None:
    """Median 10 ms, 99th percentile 20 ms: within 100 ms, not within 12 ms."""
    offline = row(scenario=Scenario.OFFLINE, accuracy=0.0234, accuracy_metric="MAE")
    line = _line("cpu int8", row(), offline).as_json()
    assert (line["latency_s"], line["latency_p99_s"]) == (0.01, 0.02)
    assert [one["met"] for one in line["deadlines"]] == [True, True, True, False, False]
    assert (line["accuracy"], line["accuracy_metric"]) == (0.0234, "MAE")
    chip = _line("chip int8", _chip(transistors=10e9, limiter="host link", latency=None)).as_json()
    assert chip["frames_per_s_per_billion_transistors"] == pytest.approx(100)
    assert (chip["limiter"], chip["latency_p99_s"]) == ("host link", 0.01)


def test_a_recorded_row_stands_beside_the_one_measured_here() -> None:
    there = row(frames_per_s=500.0, recorded_on="Other CPU, 8 cores", machine="Other CPU, 8 cores")
    (model,) = compare_rows([row(), there]).models
    assert {line.device for line in model.lines} == {"cpu int8", "cpu int8 (Other CPU)"}
    assert model.baseline == "cpu int8"
    recorded = _line("cpu int8 (Other CPU)", row(), there)
    assert (recorded.kind, recorded.speed_ratio) == ("recorded", pytest.approx(5))


def test_reasons_are_said_once_a_device() -> None:
    reasons = [NotRun(s.value, "net", "int4", "cpu", s, "no such kernels") for s in Scenario]
    (model,) = compare_rows([row()], reasons).models
    assert model.not_run == (("cpu int4", "no such kernels"),)
    (alone,) = compare_rows([], reasons).models
    assert alone.lines == ()


def test_json_document_is_plain() -> None:
    metered = row(energy_per_frame=exactly(0.05, Provenance.MEASURED))
    comparison = compare_rows([metered, _chip()], frame_rate_hz=10.0)
    document = json.loads(json.dumps(comparison.as_json(), allow_nan=False))
    (model,) = document["models"]
    assert model["baseline"] == "cpu int8"
    assert model["lines"][0]["energy_ratio"]["value"] == pytest.approx(25)
    assert document["frame_rate_hz"] == 10.0
