"""Workers in processes of their own: the same rows, and an end to points that take too much."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.explore.test_explore import spec_of
from zapdeploy.explore.exploring import explore
from zapdeploy.explore.worker import Allowed, Watch

pytest.importorskip("distributed")


@pytest.mark.slow
def test_workers_give_the_same_rows(tmp_path: Path) -> None:
    alone = explore(spec_of(tmp_path), tmp_path / "alone", workers=0)
    assert explore(spec_of(tmp_path), tmp_path / "out", workers=2).rows == alone.rows


@pytest.mark.slow
def test_a_point_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, limits={"seconds": 1e-3}, axes={"batch": 1, "frame_rate": 1.0})
    found = explore(spec, tmp_path / "out", workers=1)
    ended = [row for row in found.rows if row["status"] == "ended"]
    assert ended
    assert {row["reason"] for row in ended} == {"took longer than 0.001 s"}


@pytest.mark.parametrize(
    ("allowed", "reason"),
    [
        (Allowed(0.05, 1e15), "took longer than 0.05 s"),
        (Allowed(100.0, 1e6), "took more than 0.001 GB of memory"),
    ],
)
def test_the_watch(allowed: Allowed, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    monkeypatch.setattr("zapdeploy.explore.worker._LOOK_EVERY_S", 0.01)
    monkeypatch.setattr("zapdeploy.explore.worker._REPORT_S", 0.01)
    said: list[Any] = []
    ended = threading.Event()
    watch = Watch(allowed, lambda *what: said.append(what), lambda status: ended.set())
    with watch:
        watch.begin("digest")
        assert ended.wait(5)
    assert said == [("digest", reason)]
