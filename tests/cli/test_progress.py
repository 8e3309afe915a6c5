"""Something moves while work goes on: one line on a terminal, several in a log."""

from __future__ import annotations

import sys
import time

import pytest

from zapdeploy.cli import show
from zapdeploy.cli.app import run


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show, "_SHOW_AFTER_S", 0.02)
    monkeypatch.setattr(show, "LINE_EVERY_S", 0.05)


def test_a_log_has_lines_while_one_long_step_calls_nobody(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with show.progress() as progress:
        progress("quantizing", 1, 4)
        time.sleep(0.5)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2
    assert all(line.startswith("quantizing 1/4 (") for line in lines)
    assert all("\r" not in line for line in lines)


def test_work_that_says_nothing_still_moves(capsys: pytest.CaptureFixture[str]) -> None:
    with show.progress():
        time.sleep(0.5)
    assert capsys.readouterr().err.startswith("working (")


def test_a_terminal_has_one_line_that_is_gone_in_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with show.progress() as progress:
        progress("scheduling", 1, 2)
        time.sleep(0.5)
    text = capsys.readouterr().err
    assert "\n" not in text
    assert "[############------------] scheduling 1/2 (" in text
    assert text.count("\r\x1b[K") >= 3
    assert text.endswith("\r\x1b[K")


def test_short_work_and_json_are_silent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with show.progress(enabled=False) as progress:
        progress("x", 0, 1)
        time.sleep(0.2)
    monkeypatch.setattr(show, "_SHOW_AFTER_S", 10.0)
    with show.progress() as progress:
        progress("x", 0, 1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("call", [("targets", "list"), ("models", "list"), ("doctor",)])
def test_verbose_says_of_every_verb_what_it_took(
    call: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    for more, lines in (((), 0), (("--verbose",), 1), (("-v", "--json"), 1)):
        assert run([*call, *more]) == 0
        assert capsys.readouterr().err.count(" s  in all") == lines
