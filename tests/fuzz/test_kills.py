"""A few moments at which commands are ended, and two writers of one file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fuzz import files, kills
from tests.fuzz.kills import COMMANDS, NotSafeError, attempt, ended, started


@pytest.mark.parametrize("seed", [0, 2, 5, 7])
def test_a_command_that_is_ended_loses_nothing(seed: int) -> None:
    attempt(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 40))
def test_every_command_at_many_moments(seed: int) -> None:
    attempt(seed)


def test_what_is_left_over_is_found(tmp_path: Path) -> None:
    (tmp_path / ".out.zap.1.ab").touch()
    with pytest.raises(NotSafeError, match=r"left over: \.out\.zap\.1\.ab"):
        kills._check_left(tmp_path, None, "compile")
    (tmp_path / "out.zap").write_bytes(b"half")
    with pytest.raises(NotSafeError, match="neither whole nor what was there"):
        kills._check_output(COMMANDS["compile"], tmp_path / "out.zap", (b"old", b"new"), "compile")


def test_two_writers_of_one_file(tmp_path: Path) -> None:
    """Both end well, and what is there is whole."""
    _, whole = kills.whole_run("compile")
    both = [started(COMMANDS["compile"].call(tmp_path)) for _ in range(2)]
    assert [ended(child) for child in both] == [0, 0]
    assert (tmp_path / "out.zap").read_bytes() == whole
    assert os.listdir(tmp_path) == ["out.zap"]


def test_two_runs_in_one_folder(tmp_path: Path) -> None:
    """One of them has the folder; the other is told so, or comes when it is free again."""
    both = [started(COMMANDS["bench"].call(tmp_path)) for _ in range(2)]
    statuses = sorted(ended(child) for child in both)
    assert statuses in ([0, 0], [0, 2], [1, 2], [0, 1])
    rows = (tmp_path / "results" / "rows.jsonl").read_text().splitlines()
    assert len(rows) == len(set(rows))
    quiet, _ = files._quiet()
    with quiet:
        assert files.run_cli(["compare", str(tmp_path / "results"), "--json"]) == 0
