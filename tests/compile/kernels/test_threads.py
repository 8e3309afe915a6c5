"""Calls on one thread or more: the same values, and nobody left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.compile.kernels.plain import Array, integers
from zapdeploy.compile import kernels
from zapdeploy.compile.kernels import threads

W = integers(np.random.default_rng(1), np.int8, (96, 200))


@pytest.fixture(autouse=True)
def share_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three threads, and work handed out tile by tile, whatever this machine has."""
    monkeypatch.setattr(threads, "_thread_count", 3)
    monkeypatch.setattr(threads, "MACS_TO_SHARE", 1)
    monkeypatch.setattr(threads, "MACS_AT_A_TIME", 1)


def product(seed: int) -> tuple[Array, Array]:
    x = integers(np.random.default_rng(seed), np.uint8, (300, 96))
    return kernels.matmul(x, W), x.astype(np.int64) @ W.astype(np.int64)


def test_many_calls_in_a_row() -> None:
    for seed in range(300):
        np.testing.assert_array_equal(*product(seed))


def test_callers_on_several_threads_at_once() -> None:
    """One of them has the helpers, the others work alone."""
    with ThreadPoolExecutor(4) as pool:
        for out, expected in pool.map(product, range(200)):
            np.testing.assert_array_equal(out, expected)


def test_helpers_fall_asleep_and_wake_again() -> None:
    np.testing.assert_array_equal(*product(0))
    team = threads._team(os.getpid(), 2)
    for future in team._helping:
        future.result(timeout=10)
    np.testing.assert_array_equal(*product(1))
    assert len(team._helping) == 2


def test_after_a_long_wait_calls_do_without_helpers(monkeypatch: pytest.MonkeyPatch) -> None:
    np.testing.assert_array_equal(*product(0))
    team = threads._team(os.getpid(), 2)
    monkeypatch.setattr(threads, "SPINS", -1)  # every wait is too long
    monkeypatch.setattr(threads, "CALLS_ALONE", 2)
    monkeypatch.setattr(team, "_calls_alone", 0)
    for left in (2, 1, 0, 2):
        np.testing.assert_array_equal(*product(left))
        assert team._calls_alone == left


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own() -> None:
    np.testing.assert_array_equal(*product(0))
    child = os.fork()
    if not child:
        out, expected = product(1)
        os._exit(0 if np.array_equal(out, expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_process_ends_while_helpers_are_awake() -> None:
    code = (
        "import numpy as np; from zapdeploy.compile import kernels; kernels.set_thread_count(3);"
        "kernels.matmul(np.ones((4000, 96), np.uint8), np.ones((96, 200), np.int8))"
    )
    try:
        done = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True)
    except OSError:
        pytest.skip("this Python is emulated, and cannot be started by itself")
    assert (done.returncode, done.stderr) == (0, b"")
