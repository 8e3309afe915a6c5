"""The table of cards for a volume, at a size that a test can wait for."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("torch")

from zapdeploy.benchmarks.experiments.brain_volume import LEAD_TIMES, gpu_bounds, main


def test_bounds_by_hand() -> None:
    """A network of 10 million million multiply-accumulates a pass: 640 million million operations
    a frame, of which an A100's 624 make less than one in a second."""
    first, second = gpu_bounds(10**13)
    assert LEAD_TIMES == 32
    assert "at most 0.975" in first
    assert "at least 410 J" in first
    assert "at most 3.09" in second


@pytest.mark.slow
def test_a_small_volume(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--volumes", "4x8x8", "--cards", "1,4", "--bits", "8", "--least", "4", "--threads", "1"])
    out = capsys.readouterr().out
    rows = [line for line in out.splitlines() if re.match(r"\| [14] \(", line)]
    assert [row.split(" ")[1] for row in rows] == ["1", "4"]
    assert all("| yes |" in row for row in rows)
    assert "int8: 1 cards are the fewest that keep up" in out
    assert "measured on a crop" in out
