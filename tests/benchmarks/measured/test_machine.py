"""The machine: what it says of itself, and of work beside ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from zapdeploy import platforms
from zapdeploy.benchmarks.measured.machine import (
    busy_share,
    package_versions,
    this_machine,
)


def test_this_machine_names_its_parts_but_not_itself() -> None:
    found = this_machine()
    assert found.cores >= 1
    assert found.memory_bytes > 2**28
    assert found.cpu in found.summary
    assert set(vars(found)) == {"cpu", "cores", "memory_bytes", "system"}


def test_versions_hold_the_package_and_what_it_ran_on() -> None:
    assert {"zapdeploy", "python", "onnxruntime", "numpy"} <= set(package_versions())


def test_free_memory_is_less_than_all() -> None:
    assert 0 < platforms.available_memory_bytes() <= this_machine().memory_bytes


def test_busy_share_is_busy_over_all_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """300 of 1,000 ticks while waiting."""
    ticks = iter([(100, 1000), (400, 2000)])
    monkeypatch.setattr(platforms, "cpu_times", lambda: next(ticks))
    assert busy_share(wait=lambda seconds: None) == pytest.approx(0.3)


def test_busy_share_is_unknown_without_a_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platforms, "cpu_times", lambda: None)
    assert busy_share(wait=lambda seconds: None) is None


def test_real_counter_gives_a_share() -> None:
    if not Path("/proc/stat").exists():
        pytest.skip("no /proc/stat here")
    share = busy_share(0.05)
    assert share is None or 0 <= share <= 1
