"""Forecasters by every recipe: what a change is measured against, and what is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("brevitas")

from tests.recordings.examples import small
from zapdeploy.benchmarks.experiments import quantized_forecasters
from zapdeploy.benchmarks.experiments.quantized_forecasters import STEPS, Row, document, run, table
from zapdeploy.forecasters.folder import ForecasterSpec
from zapdeploy.forecasters.training import train
from zapdeploy.forecasters.training_options import TrainingOptions


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Row], Path]:
    """A time mix trained for a moment on a small recording, at 8 and at 4 bits."""
    place, recording = tmp_path_factory.mktemp("mixes"), small()
    options = TrainingOptions(steps=10, validate_every=10, learning_rate=0.01, validation_windows=8)
    train(ForecasterSpec("time-mix-c4", recording.neurons), recording, place / "mix", options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantized_forecasters, "CALIBRATION_FRAMES", 64)
        patch.setattr(quantized_forecasters, "LEAST_CALIBRATION_WINDOWS", 16)
        found = run(
            place / "mix", recording, place, recipes=("int8", "int4"), training_steps=12, windows=2
        )
    return found, place


def test_changes_are_against_the_same_training(rows: tuple[list[Row], Path]) -> None:
    """A recipe that was trained is compared with the float network that went on as long."""
    exact, *others = rows[0]
    assert (exact.recipe, exact.trained_steps) == ("float32", 0)
    assert [row.recipe for row in others if row.recipe != "float32"] == ["int8", "int4"]
    assert any(row.trained_steps for row in others)
    longer = exact
    for row in others:
        against = (longer if row.trained_steps else exact).mae
        if row.recipe == "float32":
            longer, against = row, exact.mae
            assert row.trained_steps == 12
        wanted = 100 * (np.asarray(row.mae) / np.asarray(against) - 1)
        np.testing.assert_allclose(row.change_percent, wanted)


def test_files_and_records_are_written(rows: tuple[list[Row], Path]) -> None:
    found, place = rows
    for row in (row for row in found if row.recipe != "float32"):
        assert row.agreed
        assert (place / f"mix-{row.recipe}.onnx").stat().st_size == row.file_bytes


def test_table_and_document(rows: tuple[list[Row], Path]) -> None:
    lines = table(rows[0]).splitlines()
    assert lines[0].startswith("| forecaster | recipe | h=1 | h=4")
    assert lines[2].startswith("| mix | float32 | ")
    written = document(rows[0], small())
    assert written["steps"] == list(STEPS)
    assert all(row["within_limit"] is not None for row in written["rows"])


def test_a_limit_is_one_for_every_step() -> None:
    zeros = (0.0,) * len(STEPS)
    row = Row("m", "int8", 0, zeros, zeros, (0.1, 0.1, 0.6, 0.1, 0.1), True, 1)
    assert not row.within
    assert Row("m", "w4a8", 0, zeros, zeros, row.change_percent, True, 1).within
