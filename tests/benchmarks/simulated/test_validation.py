"""Simulated against published: roles, intervals, and when the command says no."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmarks.chips import small_model
from tests.cli.conftest import Call
from tests.cli.conftest import zapdeploy as zapdeploy  # a fixture
from zapdeploy.api import compile_model, simulate
from zapdeploy.benchmarks.simulated import validation
from zapdeploy.benchmarks.simulated.rates import spread
from zapdeploy.benchmarks.simulated.validation import Prediction, Role, predictions
from zapdeploy.commands import validate as commands
from zapdeploy.sim.results import Result

INSIDE = Prediction("rate", "1/s", 100.0, 90.0, 80.0, 110.0, Role.COMPARED, "a paper", "errors")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Result]:
    """A throughput result and a latency result of a small network, as if it were ResNet-50."""
    path = small_model(tmp_path_factory.mktemp("validation"))
    many = simulate(compile_model(path, batch=validation.BATCH))
    return many, simulate(compile_model(path, objective="latency"))


@pytest.fixture(scope="module")
def rows(results: tuple[Result, Result]) -> dict[str, Prediction]:
    found = tuple(predictions(*results))
    assert len({row.what for row in found}) == len(found)
    return {row.what: row for row in found}


def test_only_the_power_is_calibrated(rows: dict[str, Prediction]) -> None:
    calibrated = [row.what for row in rows.values() if row.role is Role.CALIBRATED]
    assert calibrated == ["resnet50, power"]
    assert rows["resnet50, power"].published == 74
    resting = {row.what for row in rows.values() if row.role is Role.PARTLY}
    assert resting == {
        "resnet50, energy of a frame",
        "resnet50, frames per second and watt",
        "resnet50, frames per joule over NVIDIA H100-SXM (v2.1)",
    }


def test_the_rate_is_judged_by_the_interval_of_the_assumptions(
    rows: dict[str, Prediction], results: tuple[Result, Result]
) -> None:
    row = rows["resnet50, frames per second"]
    expected = spread(results[0]).frames_per_s
    assert (row.low, row.high) == (expected.low, expected.high)
    assert row.interval.startswith("90 %, over the assumed numbers")
    assert (row.published, row.simulated) == (42460, results[0].throughput_fps)
    assert row.role is Role.COMPARED


def test_work_of_another_network_fails(rows: dict[str, Prediction]) -> None:
    """8 x 16 + 16 x 4 multiply-accumulates a frame are not ResNet-50's 4.089e9."""
    row = rows["resnet50, multiply-accumulates of a frame"]
    assert row.simulated == 8 * 16 + 16 * 4
    assert row.fails


def test_totals_of_the_chip_agree_with_its_parts(rows: dict[str, Prediction]) -> None:
    totals = [row for row in rows.values() if row.interval == "1 % for rounding"]
    assert {row.what for row in totals} >= {"peak 8bit", "peak 4bit", "peak 2bit", "core memory"}
    assert all(row.role is Role.RESTATED and row.contains for row in totals)


def test_ratios_are_those_of_published_power_limits(
    rows: dict[str, Prediction], results: tuple[Result, Result]
) -> None:
    """700 W / 81292.2 frames/s are 8.611 mJ a frame of the H100."""
    row = rows["resnet50, frames per joule over NVIDIA H100-SXM (v2.1)"]
    assert row.published == 5
    assert row.simulated == pytest.approx(700 / 81292.2 / results[0].energy_per_frame.value)
    assert row.low < row.simulated < row.high
    orientation = [row for row in rows.values() if row.role is Role.ORIENTATION]
    assert len(orientation) == 2
    assert not any(row.fails for row in orientation)


@pytest.mark.parametrize(
    ("changes", "contains", "fails"),
    [
        ({}, True, False),
        ({"published": 111.0}, False, True),
        ({"published": 79.0}, False, True),
        ({"published": 79.0, "at_least": True}, True, False),
        ({"published": 111.0, "at_least": True}, False, True),
        ({"published": 111.0, "role": Role.PARTLY}, False, False),
    ],
)
def test_what_fails(changes: dict[str, object], contains: bool, fails: bool) -> None:
    one = replace(INSIDE, **changes)  # type: ignore[arg-type]
    assert (one.contains, one.fails) == (contains, fails)


def _validates(monkeypatch: pytest.MonkeyPatch, *found: Prediction) -> None:
    monkeypatch.setattr(commands, "predict", lambda folder, progress: found)


def test_a_row_outside_its_interval_is_exit_status_1(
    zapdeploy: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = replace(INSIDE, what="other rate", published=111.0)
    _validates(monkeypatch, INSIDE, outside)
    called = zapdeploy("validate", "--json")
    assert called.status == 1
    assert called.json["passed"] is False
    assert [row["fails"] for row in called.json["rows"]] == [False, True]
    assert set(called.json["rows"][0]) == {
        *("what", "unit", "published", "simulated", "low", "high", "role", "source", "interval"),
        *("at_least", "error", "contains", "fails"),
    }
    assert called.json["rows"][1]["error"] == pytest.approx(90 / 111 - 1)
    text = zapdeploy("validate")
    assert text.status == 1
    (line,) = (line for line in text.out.splitlines() if "other rate" in line)
    assert "NO" in line


def test_rows_that_are_not_judged_leave_exit_status_0(
    zapdeploy: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart = replace(INSIDE, what="other rate", published=111.0, role=Role.CALIBRATED)
    _validates(monkeypatch, INSIDE, apart)
    called = zapdeploy("validate")
    assert called.status == 0
    assert "no, not judged" in called.out
    assert zapdeploy("validate", "--json").json["passed"] is True


def test_the_whole_way_from_the_file_to_the_rows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a small network: it is made, compiled, scheduled and judged."""
    small = small_model(tmp_path)
    made = []

    def made_file(workload: object, precision: str, folder: Path) -> object:
        made.append((precision, folder))
        return type("File", (), {"path": small})

    monkeypatch.setattr(validation, "precision_file", made_file)
    found = validation.predict(tmp_path)
    assert made == [("int4", tmp_path)]
    assert [row.what for row in found if row.fails][:2] == [
        "resnet50, frames per second",
        "resnet50, multiply-accumulates of a frame",
    ]
