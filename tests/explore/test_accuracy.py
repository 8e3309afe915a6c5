"""Errors of forecasters over a recording: the same as `evaluate` says, over the same frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("pyarrow")

from tests.benchmarks.examples import trained_forecaster
from zapdeploy.benchmarks.accuracy.evaluation import evaluate_models
from zapdeploy.explore.exploring import explore
from zapdeploy.explore.page import axes_of
from zapdeploy.recordings.recording import open_recording

NEURONS = 5


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lab")
    for context in (4, 16):
        trained_forecaster(folder / f"linear-{context}", f"linear-c{context}")
    noise = np.random.default_rng(0).normal(size=(900, NEURONS)).astype(np.float32)
    np.save(folder / "recording.npy", np.cumsum(noise, axis=0) / 10)
    return folder


def _spec(lab: Path, **more: Any) -> dict[str, Any]:
    models = [f"{lab}/linear-4", f"{lab}/linear-16"]
    accuracy = {"data": str(lab / "recording.npy"), "windows": 20}
    axes = {"model": models, "precision": ["int8", "int4"], "batch": [1, 2]}
    return {"name": "lab", "axes": axes, "compute": {"accuracy": accuracy}, **more}


def test_forecasters_are_judged_over_the_same_frames(lab: Path, tmp_path: Path) -> None:
    rows = explore(_spec(lab), tmp_path, workers=0).rows
    assert {(row["network"], row["context"]) for row in rows} == {("linear", 4), ("linear", 16)}
    files = {
        (context, precision): next(
            (tmp_path / "networks").rglob(f"linear-{context}-*{precision}*.onnx")
        )
        for context in (4, 16)
        for precision in ("int8", "int4")
    }
    recording = open_recording(str(lab / "recording.npy"), NEURONS)
    together = evaluate_models([str(file) for file in files.values()], recording, windows=20)
    wanted = {key: np.mean(one.scores.mae) for key, one in zip(files, together, strict=True)}
    for row in rows:
        assert row["mae"] == pytest.approx(wanted[row["context"], row["precision"]], rel=1e-12)
        assert row["mae_low"] < row["mae"] < row["mae_high"]
        assert row["mae_reason"] == ""
    assert axes_of(rows) == ["context", "precision", "batch"]


def test_a_recording_that_is_too_short_says_so(lab: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.npy"
    np.save(short, np.zeros((60, NEURONS), np.float32))
    spec = _spec(lab, compute={"accuracy": {"data": str(short)}})
    rows = explore(spec, tmp_path / "out", workers=0).rows
    assert {row["mae"] for row in rows} == {None}
    assert all("window" in row["mae_reason"] for row in rows)
    assert {row["status"] for row in rows} == {"done"}


def test_a_search_may_be_for_the_error(lab: Path, tmp_path: Path) -> None:
    search = {"points": 6, "minimize": ["mae", "energy_per_frame_j"], "sampler": "random"}
    rows = explore(_spec(lab, search=search), tmp_path, workers=0).rows
    assert rows
    assert all(row["mae"] > 0 for row in rows)
    import optuna

    (journal,) = (tmp_path / "searches").glob("*.journal")
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    storage = optuna.storages.JournalStorage(backend)
    states = {
        trial.state.name for trial in optuna.load_study(study_name="lab", storage=storage).trials
    }
    assert states == {"COMPLETE"}
