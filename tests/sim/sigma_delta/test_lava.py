"""Lava's own run against the NumPy reference, bit for bit; and what goes wrong with workers."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.sim.sigma_delta.streams import drifting, linear_net, residual_net, stream_of
from zapdeploy.errors import WorkerError
from zapdeploy.sim.sigma_delta import (
    convert,
    environment,
    run_in_lava,
    run_reference,
    with_thresholds,
)
from zapdeploy.sim.sigma_delta.environment import lava_python

needs_lava = pytest.mark.skipif(
    "must" in environment.describe(), reason=f"needs Lava: {environment.describe()}"
)


@needs_lava
@pytest.mark.parametrize("threshold", [0, 4])
def test_lava_equals_the_reference(threshold: int) -> None:
    graph = residual_net()
    network = with_thresholds(convert(graph), threshold)
    stream = stream_of(network, graph, drifting(graph, 12))
    run = run_in_lava(network, stream)
    reference = run_reference(network, stream)
    assert run.spikes.keys() == reference.keys()
    for name, sent in reference.items():
        assert np.array_equal(run.spikes[name], sent), name
    assert run.versions["lava-nc"] == "0.10.0"


@pytest.fixture
def job() -> tuple:
    graph = linear_net(4)
    network = convert(graph)
    return network, stream_of(network, graph, drifting(graph, 3))


def _interpreter(folder: Path, body: str) -> Path:
    """An executable that pretends to be Lava's interpreter: it is given -I, worker and folder."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable}\nimport sys\nfolder = sys.argv[3]\n{body}\n")
    path.chmod(0o755)
    return path


def test_a_missing_interpreter(job: tuple, tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"must run, not fail: No such file.*--set-up-lava"):
        run_in_lava(*job, python=tmp_path / "python")


def test_a_worker_that_is_killed(job: tuple, tmp_path: Path) -> None:
    killed = _interpreter(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(WorkerError, match=r"not end without one: exit status -9; run"):
        run_in_lava(*job, python=killed)


def test_a_worker_that_hangs_is_ended_with_all_it_started(job: tuple, tmp_path: Path) -> None:
    marker = tmp_path / "alive"
    body = (
        "import os, time\n"
        f"if os.fork() == 0:\n    time.sleep(1.5); open({str(marker)!r}, 'w')\n"
        "time.sleep(60)"
    )
    started = time.monotonic()
    with pytest.raises(WorkerError, match=r"must end within 0.5 s, not hang"):
        run_in_lava(*job, python=_interpreter(tmp_path, body), timeout_s=0.5)
    assert time.monotonic() - started < 30
    time.sleep(1.5)
    assert not marker.exists(), "its child went on"


def test_a_worker_of_another_version(job: tuple, tmp_path: Path) -> None:
    body = "open(folder + '/result.json', 'w').write('{\"protocol\": 99}')"
    with pytest.raises(WorkerError, match=r"must speak protocol 1, not 99"):
        run_in_lava(*job, python=_interpreter(tmp_path, body))


def test_a_worker_without_lava_says_so(job: tuple) -> None:
    with pytest.raises(WorkerError, match=r"not fail: ModuleNotFoundError: No module named 'lava"):
        run_in_lava(*job, python=Path(sys.executable))


def test_without_an_environment_the_line_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ZAPDEPLOY_CACHE", str(tmp_path))
    monkeypatch.delenv("ZAPDEPLOY_LAVA_PYTHON", raising=False)
    monkeypatch.setattr(environment, "_candidates", lambda: iter(()))
    with pytest.raises(WorkerError, match=r"install Python 3.10 .*zapdeploy doctor --set-up-lava"):
        lava_python()
    with pytest.raises(WorkerError, match=r"Python 3.10 must be on the PATH"):
        environment.set_up_lava()


def test_a_named_interpreter_must_exist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZAPDEPLOY_LAVA_PYTHON", str(tmp_path / "gone"))
    with pytest.raises(WorkerError, match=r"ZAPDEPLOY_LAVA_PYTHON must name an interpreter"):
        lava_python()


def test_another_python_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_candidates", lambda: iter((Path(sys.executable),)))
    assert environment.find_python() is None
