"""A short run of absurd calls, and what longer ones found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import commands
from tests.fuzz.commands import WrongEndError, drawn, judge, verbs

pytest.importorskip("pynwb")


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_call_ends_as_calls_may(data: Any) -> None:
    judge(lambda count: data.draw(st.integers(0, count - 1)))


def test_every_verb_is_drawn(tmp_path: Path) -> None:
    import random

    assert {"compile", "data show", "explore run", "targets list", "verify"} <= set(verbs())
    seen = set()
    for seed in range(300):
        folder = tmp_path / str(seed)
        folder.mkdir()
        seen.add(drawn(random.Random(seed).randrange, folder, tmp_path)[0])
    assert seen == {name.split()[0] for name in verbs()}


def test_a_wrong_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(call: list[str]) -> int:
        print("Traceback", call)
        return commands.INTERNAL_ERROR

    monkeypatch.setattr(commands, "run_cli", broken)
    with pytest.raises(WrongEndError, match="exit status 70"):
        judge(lambda count: 0)


@pytest.mark.parametrize(
    "call",
    [
        ["verify"],
        ["check"],
        ["compile"],
        ["simulate"],
        ["quantize", "-o", "q.onnx"],
        ["report", "-o", "r.html"],
        ["data", "show"],
        ["targets", "show"],
        ["compare", "a"],
    ],
    ids=" ".join,
)
def test_names_that_no_file_can_have(
    call: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert commands.run_cli([*call, "x" * 300]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("zapdeploy: ")
    assert "internal error" not in printed
    assert printed.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_ending_says_nothing_of_a_models_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its ending a file was read as JSON."""
    (tmp_path / "net.json").write_text("one")
    assert commands.run_cli(["quantize", str(tmp_path / "net.json"), "-o", "q.onnx"]) == 2
    assert "internal error" not in capsys.readouterr().err
