"""zapdeploy bench and compare: tables, the second table, another machine's rows, baselines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.chips import small_model
from tests.cli.conftest import Call
from tests.compile.frontend.onnx_files import OnnxFile
from zapdeploy.forecasters.build import build_forecaster
from zapdeploy.forecasters.folder import ForecasterSpec, save_forecaster


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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--models", "trained", "--neurons", 7), "--neurons must be 5, not 7; trained was"),
        (("--models", "."), "a folder that zapdeploy train wrote, not '.'; check the path"),
    ],
)
def test_folders_that_do_not_fit_are_one_line(
    zapdeploy: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[object, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = ForecasterSpec("linear-c4", 5)
    save_forecaster(tmp_path / "trained", spec, build_forecaster(spec), {})
    called = zapdeploy("bench", *arguments, "--targets", "tile64-sim", "-o", "results")
    assert (called.status, called.out) == (2, "")
    assert called.err.count("\n") == 1
    assert said in called.err
    assert not (tmp_path / "results").exists()


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


def test_lengths_that_a_file_leaves_open_are_given(zapdeploy: Call, tmp_path: Path) -> None:
    file = OnnxFile(opset=17)
    weights = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    x = file.input("x", ["n", 3, "height", "width"])
    file.output(file.node("GlobalAveragePool", [file.node("Conv", [x, file.constant(weights)])]))
    model = file.save(tmp_path / "open.onnx")
    ask = ("bench", "--models", model, "--targets", "tile64-sim", "--precisions", "int8")
    out = tmp_path / "results"
    called = zapdeploy(*ask, "--shape", "x=1,3,16,16", "-o", out, "--json")
    assert called.status == 0, called.err
    assert {row["model"] for row in called.json["rows"]} == {str(out / "open-1x3x16x16.onnx")}
    again = zapdeploy(*ask, "--shape", "x=1,3,16,16", "-o", out, "--json", "--resume")
    assert again.json["rows"] == called.json["rows"]
    wrong = zapdeploy(*ask, "--shape", "z=1,3,16,16", "-o", tmp_path / "other")
    assert wrong.status == 2
    assert "must name an input of one of the files in --models, not 'z'" in wrong.err
    assert not (tmp_path / "other").exists()
    (tmp_path / "file").write_text("x")
    taken = zapdeploy(*ask, "--shape", "x=1,3,16,16", "-o", tmp_path / "file")
    assert taken.status == 2
    assert "output must be a folder that can be made" in taken.err
