"""The table of cards for a volume, at a size that a test can wait for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from zapdeploy.benchmarks.experiments.brain_volume import LEAD_TIMES, Rows, gpu_bounds, main
from zapdeploy.benchmarks.results.journal import Journal


def test_bounds_by_hand() -> None:
    """A network of 10 million million multiply-accumulates a pass: 640 million million operations
    a frame, of which an A100's 624 make less than one in a second."""
    first, second = gpu_bounds(10**13)
    assert LEAD_TIMES == 32
    assert "at most 0.975" in first
    assert "| 410 J at that limit" in first
    assert "at most 3.09" in second


@pytest.mark.slow
def test_a_small_volume(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The table of two numbers of cards; a second time, from the rows that were kept."""
    asked = ["--volumes", "4x8x8", "--cards", "1,4", "--bits", "8", "--least", "4"]
    asked += ["--threads", "1", "-o", str(tmp_path / "rows.jsonl")]
    main(asked)
    out = capsys.readouterr().out
    rows = [line for line in out.splitlines() if re.match(r"\| [14] \(", line)]
    assert [row.split(" ")[1] for row in rows] == ["1", "4"]
    assert all("| yes |" in row for row in rows)
    assert "int8: 1 cards are the fewest that keep up" in out
    assert "measured on a crop" in out
    main(asked)
    said, table = capsys.readouterr().out.split("\n", 1)
    assert said == f"{tmp_path / 'rows.jsonl'} has 6 rows already"
    assert table == out


def test_rows_are_made_once(tmp_path: Path) -> None:
    """In one run, in the next one with the same file, and not for another chip."""
    file = Journal(tmp_path / "rows.jsonl")
    made: list[None] = []

    def make() -> dict[str, Any]:
        made.append(None)
        return {"cards": len(made)}

    rows = Rows(file, "a chip")
    assert rows.row("int8, 4 cards", make)["cards"] == 1
    assert rows.row("int8, 4 cards", make)["cards"] == 1
    assert Rows(file, "a chip").row("int8, 4 cards", make)["cards"] == 1
    assert Rows(file, "another chip").row("int8, 4 cards", make)["cards"] == 2
