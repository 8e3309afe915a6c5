"""zapdeploy bench and compare: tables, the second table, another machine's rows, baselines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.chips import small_model
from tests.cli.conftest import Call


@pytest.fixture
def folder(zapdeploy: Call, tmp_path: Path) -> Path:
    """Results of a small network on one simulated chip."""
    model = small_model(tmp_path)
    called = zapdeploy(
        *("bench", "--models", model, "--targets", "tile64-sim", "--precisions", "int8"),
        *("--frame-rate", 10, "-o", tmp_path / "results", "--json"),
    )
    assert called.status == 0
    assert {row["limiter"] for row in called.json["rows"]} - {""}
    return tmp_path / "results"


def test_verbose_prints_the_second_table(zapdeploy: Call, folder: Path) -> None:
    brief, full = zapdeploy("compare", folder), zapdeploy("compare", folder, "--verbose")
    assert brief.status == full.status == 0
    assert "limited by" not in brief.out
    assert "limited by" in full.out
    assert "within 278 ms: two-photon imaging at 3.6 Hz." in full.out


def test_ratios_are_to_the_chosen_baseline(zapdeploy: Call, folder: Path) -> None:
    assert "speed /" not in zapdeploy("compare", folder).out
    chosen = zapdeploy("compare", folder, "--baseline", "tile64-sim,int8")
    assert "speed /" in chosen.out
    assert "1x" in chosen.out


def test_a_baseline_that_is_not_there_is_one_line(zapdeploy: Call, folder: Path) -> None:
    called = zapdeploy("compare", folder, "--baseline", "cpu,fp32")
    assert (called.status, called.out) == (2, "")
    assert called.err.count("\n") == 1
    assert "baseline must be one of tile64-sim int8, not 'cpu fp32'" in called.err


def test_recorded_results_without_a_measured_row_are_one_line(
    zapdeploy: Call, folder: Path, tmp_path: Path
) -> None:
    called = zapdeploy(
        *("bench", "--models", tmp_path / "small8.onnx", "--targets", "tile64-sim"),
        *("--precisions", "int8", "--recorded", folder, "-o", tmp_path / "again"),
    )
    assert (called.status, called.out) == (2, "")
    assert "--recorded must hold measured rows of" in called.err
    assert not (tmp_path / "again").exists()
