"""Two results compared: what changed beyond the noise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.examples import row
from zapdeploy.benchmarks import (
    BenchmarkResult,
    Change,
    Changes,
    Row,
    Scenario,
    Verdict,
    compare_results,
)
from zapdeploy.benchmarks.results.published import published_rows
from zapdeploy.errors import UsageError
from zapdeploy.quantities import Provenance


def _result(name: str, *rows: Row) -> BenchmarkResult:
    return BenchmarkResult(Path(name), rows, (), {"settings": {"frame_rate_hz": None}})


def _compared(before: Row, *after: Row) -> Changes:
    (changes,) = compare_results([_result("old", before), _result("new", *after)])
    return changes


def _one(changes: Changes, quantity: str) -> Change:
    return next(change for change in changes.changes if change.quantity == quantity)


@pytest.mark.parametrize(
    ("rate", "verdict"),
    [(104.0, Verdict.SAME), (96.0, Verdict.SAME), (106.0, Verdict.BETTER), (94.0, Verdict.WORSE)],
)
def test_five_percent_are_noise(rate: float, verdict: Verdict) -> None:
    changes = _compared(row(), row(frames_per_s=rate))
    assert _one(changes, "frames_per_s").verdict is verdict
    assert changes.regressed == (verdict is Verdict.WORSE)


def test_noisy_runs_must_differ_more() -> None:
    """Twice (0.10 + 0.01): a loss of 20 % is within 22 %."""
    changes = _compared(row(noise=0.1), row(frames_per_s=80.0))
    assert _one(changes, "frames_per_s").verdict is Verdict.SAME
    assert _one(changes, "frames_per_s").noise == pytest.approx(0.22)


def test_less_latency_is_better() -> None:
    assert _one(_compared(row(), row(latency_s=0.005)), "latency_s").verdict is Verdict.BETTER
    assert _compared(row(), row(latency_s=0.02)).regressed


@pytest.mark.parametrize(("metric", "worse"), [("MAE", True), ("top-1", False)])
def test_less_error_and_more_accuracy_are_better(metric: str, worse: bool) -> None:
    before = row(accuracy=0.02, accuracy_metric=metric)
    after = row(accuracy=0.03, accuracy_metric=metric)
    assert _compared(before, after).regressed == worse
    assert _compared(after, before).regressed != worse


def test_rows_recorded_elsewhere_are_left_out() -> None:
    recorded = row(recorded_on="another machine", frames_per_s=1.0)
    assert _compared(recorded, row()).changes == ()
    assert not _compared(row(), row(), recorded).regressed


def test_any_change_of_a_simulated_row_counts() -> None:
    simulated = row(kind=Provenance.SIMULATED, noise=None)
    slower = row(kind=Provenance.SIMULATED, noise=None, frames_per_s=99.999)
    assert _compared(simulated, slower).regressed
    assert not _compared(simulated, simulated).regressed


def test_machines_are_not_compared_with_each_other() -> None:
    changes = _compared(row(), row(frames_per_s=10.0, machine="another"))
    assert not changes.regressed
    assert _one(changes, "frames_per_s").verdict is Verdict.NOT_COMPARABLE
    assert "another machine" in _one(changes, "frames_per_s").note


def test_latencies_of_unequal_batches_are_not_compared() -> None:
    before = row(scenario=Scenario.OFFLINE, batch=8, latency_s=0.08)
    after = row(scenario=Scenario.OFFLINE, batch=32, latency_s=0.3)
    change = _one(_compared(before, after), "latency_s")
    assert (change.verdict, change.note) == (Verdict.NOT_COMPARABLE, "batch 32 in place of 8")


def test_missing_rows_are_said_and_published_ones_left_out() -> None:
    changes = _compared(row())
    assert {change.verdict for change in changes.changes} == {Verdict.MISSING}
    assert _one(changes, "latency_s").change is None
    assert _compared(published_rows("resnet50")[0]).changes == ()


def test_every_result_is_compared_with_the_first() -> None:
    results = [_result(name, row()) for name in ("a", "b", "c")]
    assert [(c.before, c.after) for c in compare_results(results)] == [("a", "b"), ("a", "c")]
    with pytest.raises(UsageError, match=r"results must be two folders or more, not 1"):
        compare_results(results[:1])


def test_json_document_is_plain() -> None:
    document = json.loads(json.dumps(_compared(row(), row(frames_per_s=50.0)).as_json()))
    assert document["regressed"] is True
    assert document["changes"][0]["change"] == pytest.approx(-0.5)
    assert document["changes"][0]["verdict"] == "worse"
