"""Workers in processes of their own: the same rows, and an end to points that take too much."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from tests.benchmarks.chips import small_model
from tests.explore.test_explore import spec_of
from zapdeploy.errors import UsageError, WorkerError
from zapdeploy.explore.apart import apart
from zapdeploy.explore.exploring import explore
from zapdeploy.explore.worker import Allowed, Watch

pytest.importorskip("distributed")


@pytest.mark.slow
def test_workers_give_the_same_rows(tmp_path: Path) -> None:
    alone = explore(spec_of(tmp_path), tmp_path / "alone", workers=0)
    assert explore(spec_of(tmp_path), tmp_path / "out", workers=2).rows == alone.rows


@pytest.mark.slow
def test_a_point_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    slow = {"batch": 64, "frame_rate": 1.0, "effort": "thorough"}  # more than the watch's interval
    limits, compute = {"seconds": 1e-3}, {"timing": "schedule"}
    spec = spec_of(tmp_path, limits=limits, compute=compute, axes=slow)
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


def _broken(folder: Path) -> str:
    """A float network that cannot be quantized: none of its operators has weights."""
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 4]) for n in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Det", ["x"], ["y"])], "g", value[:1], value[1:])
    onnx.save(helper.make_model(graph), folder / "broken.onnx")
    return str(folder / "broken.onnx")


def test_a_network_that_cannot_be_made(tmp_path: Path) -> None:
    models = [_broken(tmp_path), str(small_model(tmp_path, width=64))]
    found = explore(spec_of(tmp_path, axes={"model": models}), tmp_path / "out", workers=0)
    reasons = {row["reason"] for row in found.rows if row["status"] == "failed"}
    assert len(reasons) == 1
    assert "Det" in reasons.pop()
    assert found.counts["failed"] == len(found.rows) // 2


def _raise(error: Exception) -> None:
    raise error


def test_work_in_a_process_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    assert apart(math.hypot, 3.0, 4.0) == 5.0
    assert apart(print, "noise") is None
    with pytest.raises(UsageError, match="asked for"):
        apart(_raise, UsageError("asked for"))
    with pytest.raises(WorkerError, match=r"status 3"):
        apart(os._exit, 3)
    assert capfd.readouterr().out == ""


def _killed_at_first(marker: Path) -> str:
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "made"


def test_work_whose_process_is_killed_is_done_again(tmp_path: Path) -> None:
    assert apart(_killed_at_first, tmp_path / "marker") == "made"


@pytest.mark.slow
def test_workers_in_folders_of_their_own(tmp_path: Path) -> None:
    """A scheduler elsewhere, workers that share no folder with it, and one that joins late."""
    models = [str(small_model(tmp_path, width=64)), "linear-c4", _broken(tmp_path)]
    spec = spec_of(tmp_path, axes={"model": models, "neurons": 64})
    alone = explore(spec, tmp_path / "alone", workers=0)
    with ExitStack() as processes:
        address = _scheduler(processes, tmp_path)
        for number in range(3):
            _start(processes, tmp_path / f"worker{number}", "worker", address, *_WORKER)

        def join(what: str, done: int, total: int) -> None:
            if done > 0 and not (tmp_path / "late").exists():
                _start(processes, tmp_path / "late", "worker", address, *_WORKER)

        found = explore(spec, tmp_path / "out", scheduler=address, progress=join)
    assert (tmp_path / "late").exists()
    assert found.rows == alone.rows
    statuses = {row["model"]: row["status"] for row in found.rows}
    assert list(statuses.values()) == ["done", "done", "failed"]


_WORKER = ("--nthreads", "1", "--memory-limit", "0", "--no-dashboard")


def _scheduler(processes: ExitStack, folder: Path) -> str:
    file = folder / "scheduler.json"
    options = ("--port", "0", "--scheduler-file", str(file), "--no-dashboard")
    _start(processes, folder / "scheduler", "scheduler", *options)
    for _ in range(600):
        if file.exists():
            return str(json.loads(file.read_text())["address"])
        time.sleep(0.1)
    raise TimeoutError("no scheduler")


def _start(processes: ExitStack, folder: Path, *command: str) -> None:
    folder.mkdir()
    program = [sys.executable, "-m", "dask", *command]
    process = subprocess.Popen(program, cwd=folder, stderr=subprocess.DEVNULL)
    processes.callback(process.wait)
    processes.callback(process.terminate)
