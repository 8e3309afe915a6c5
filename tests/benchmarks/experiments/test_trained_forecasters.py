"""The experiment that trains every forecaster: its rows, its verdict, its table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("tensorstore")

from zapdeploy.benchmarks.experiments import trained_forecasters as experiment
from zapdeploy.forecasters import list_models
from zapdeploy.forecasters.training_options import TrainingOptions

NEURONS = 16


def test_every_forecaster_has_a_plan() -> None:
    names = [info.name for info in list_models() if info.context is not None]
    assert list(experiment.PLANS) == names


def test_worse_from_the_fourth_step_on() -> None:
    """By hand: step 1 does not count, a draw does."""
    naive = (0.2,) * 32
    mae = (0.3, 0.3, 0.3, 0.2, *(0.1,) * 27, 0.21)
    assert experiment.Row("linear-c4", 1, 0.0, mae, naive).worse_at == (4, 32)
    assert experiment.Row("linear-c4", 1, 0.0, (0.1,) * 32, naive).worse_at == ()


def test_a_short_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trained once, scored against the least naive mean of its context, judged by the status."""
    monkeypatch.setenv("ZAPDEPLOY_CACHE", str(tmp_path / "cache"))
    plan = TrainingOptions(steps=2, validate_every=1, validation_windows=3)
    monkeypatch.setattr(experiment, "PLANS", {"linear-c4": plan})
    call = ["--neurons", str(NEURONS), "--windows", "1", "-o", str(tmp_path / "out")]
    status = experiment.main(call)
    out = capsys.readouterr().out
    assert "| best mean of up to 4 frames | " in out
    assert "| linear-c4 | " in out
    document = json.loads((tmp_path / "out" / "forecasters.json").read_text())
    (row,) = document["rows"]
    assert (document["synthetic"], document["neurons"], row["trained_steps"]) == (True, NEURONS, 2)
    assert len(row["mae"]) == len(row["naive"]) == 32
    assert status == (1 if row["worse_at"] else 0)
    experiment.main(call)
    assert capsys.readouterr().out == out
