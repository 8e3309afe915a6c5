"""zapdeploy report: one file, or one line that says what is wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.benchmarks.examples import row
from tests.cli.conftest import Call
from zapdeploy.benchmarks.results.results import ResultFolder

COMMON = {
    "settings": {
        "frame_rate_hz": None,
        "size": {"neurons": None, "width": None, "seed": 0},
        "data": "synthetic",
    },
    "machine": {"cpu": "Example", "cores": 2, "memory_bytes": 2**33, "system": "Linux"},
    "versions": {"zapdeploy": "0.1.0"},
}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two measured rows."""
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "benchmark.json").write_text(json.dumps(COMMON))
    for precision in ("fp32", "int8"):
        ResultFolder(folder).add(row(precision=precision))
    return folder


def test_report_is_written(zapdeploy: Call, results: Path, tmp_path: Path) -> None:
    called = zapdeploy("report", results, "-o", tmp_path / "r.html", "--json")
    assert called.status == 0
    size = (tmp_path / "r.html").stat().st_size
    assert called.json == {"report": str(tmp_path / "r.html"), "rows": 2, "bytes": size}
    assert zapdeploy("report", results, "-o", tmp_path / "s.html").out.startswith("wrote ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "benchmark.json").unlink(), "must hold benchmark results"),
        (lambda folder: (folder / "rows.jsonl").unlink(), "at least one finished row, not none"),
        (lambda folder: _damage(folder), "details must be whole and of this version"),
    ],
)
def test_bad_folders(zapdeploy: Call, results: Path, tmp_path: Path, change, said) -> None:  # type: ignore[no-untyped-def]
    change(results)
    called = zapdeploy("report", results, "-o", tmp_path / "r.html")
    assert called.status == 2
    assert said in called.err
    assert len(called.err.splitlines()) == 1
    assert not (tmp_path / "r.html").exists()


def _damage(folder: Path) -> None:
    simulated = row("northpole-sim", digest="d1", configuration={"cycles": 5}, key="simulated")
    ResultFolder(folder).add(simulated)
    (folder / "details").mkdir()
    (folder / "details" / "d1.json").write_text("{")


def test_without_plotly(
    zapdeploy: Call, results: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    called = zapdeploy("report", results, "-o", tmp_path / "r.html")
    assert called.status == 2
    assert "report must have plotly and Jinja2; pip install 'zapdeploy[report]'" in called.err
