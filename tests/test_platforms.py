"""What Linux, macOS and other systems are asked, each with a stand-in for the system."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from zapdeploy import platforms

MEMINFO = "MemTotal: 16384 kB\nMemFree: 100 kB\nMemAvailable:    2048 kB\n"
VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               10.
Pages active:                             70.
Pages inactive:                           20.
Pages speculative:                         5.
"Translation faults":                 123456.
"""
SYSCTL = {"machdep.cpu.brand_string": "Apple M2", "hw.memsize": "17179869184"}


@pytest.fixture
def linux(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A /proc of our own."""
    monkeypatch.setattr(platforms, "PROC", tmp_path)
    return tmp_path


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No /proc, no /sys, no affinity, no sysconf, no commands."""
    monkeypatch.setattr(platforms, "PROC", tmp_path / "none")
    monkeypatch.setattr(platforms, "POWER_COUNTERS", tmp_path / "none")
    for name in ("sched_getaffinity", "sysconf", "killpg"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(platforms, "_resource", None)
    commands(monkeypatch, {})


@pytest.fixture
def macos(elsewhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {("sysctl", "-n", key): text for key, text in SYSCTL.items()}
    commands(monkeypatch, {**answers, ("vm_stat",): VM_STAT})


def commands(monkeypatch: pytest.MonkeyPatch, answers: Mapping[tuple[str, ...], str]) -> None:
    def run(command: tuple[str, ...], **options: Any) -> Any:
        if command not in answers:
            raise FileNotFoundError(command[0])
        return SimpleNamespace(stdout=answers[command] + "\n")

    monkeypatch.setattr(platforms.subprocess, "run", run)


def test_linux_is_read_from_proc(linux: Path) -> None:
    (linux / "cpuinfo").write_text("processor\t: 0\nmodel name\t: A Fast One @ 2 GHz\n")
    (linux / "meminfo").write_text(MEMINFO)
    (linux / "stat").write_text("cpu  10 0 20 60 10 0 0 0 5 0\ncpu0 1 1 1\n")
    assert platforms.processor() == "A Fast One @ 2 GHz"
    assert platforms.available_memory_bytes() == 2048 * 1024
    assert platforms.cpu_times() == (30, 100)


def test_linux_on_arm_names_no_model(linux: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (linux / "cpuinfo").write_text("processor\t: 0\nCPU implementer\t: 0x41\n")
    monkeypatch.setattr(platforms.platform, "machine", lambda: "aarch64")
    assert platforms.processor() == "aarch64"


@pytest.mark.usefixtures("macos")
def test_macos_is_asked_by_its_commands() -> None:
    assert platforms.processor() == "Apple M2"
    assert platforms.memory_bytes() == 2**34
    assert platforms.available_memory_bytes() == (10 + 20 + 5) * 16384
    assert platforms.cpu_times() is None
    assert platforms.readable_power_counters() == []


@pytest.mark.usefixtures("elsewhere")
def test_where_nothing_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platforms.platform, "processor", lambda: "")
    monkeypatch.setattr(platforms.platform, "machine", lambda: "riscv64")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert platforms.processor() == "riscv64"
    assert platforms.usable_cores() == 1
    assert platforms.memory_bytes() == platforms.available_memory_bytes() == 0
    assert platforms.peak_memory_bytes() == 0
    assert platforms.cpu_times() is None


@pytest.mark.usefixtures("elsewhere")
def test_all_cores_where_there_is_no_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 10)
    assert platforms.usable_cores() == 10


def test_peak_memory_is_kilobytes_on_linux_and_bytes_on_macos(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usage = SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda who: SimpleNamespace(ru_maxrss=3))
    monkeypatch.setattr(platforms, "_resource", usage)
    monkeypatch.setattr(sys, "platform", "linux")
    assert platforms.peak_memory_bytes() == 3072
    monkeypatch.setattr(sys, "platform", "darwin")
    assert platforms.peak_memory_bytes() == 3


def two_locks(path: Path) -> tuple[bool, bool]:
    """Whether a first and then a second handle get the file for themselves."""
    first, second = (os.open(path, os.O_RDWR | os.O_CREAT) for _ in range(2))
    try:
        return platforms.lock(first), platforms.lock(second)
    finally:
        os.close(first)
        os.close(second)


@pytest.mark.skipif(platforms._fcntl is None, reason="no fcntl on this system")
def test_a_lock_belongs_to_one_process(tmp_path: Path) -> None:
    assert two_locks(tmp_path / "lock") == (True, False)
    assert two_locks(tmp_path / "lock") == (True, False)


def test_windows_locks_a_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    def locking(descriptor: int, mode: int, count: int) -> None:
        if taken:
            raise OSError(36, "resource deadlock avoided")
        taken.append(count)

    monkeypatch.setattr(platforms, "_fcntl", None)
    monkeypatch.setattr(platforms, "_msvcrt", SimpleNamespace(LK_NBLCK=2, locking=locking))
    assert two_locks(tmp_path / "lock") == (True, False)
    assert taken == [1]


def test_without_locks_everyone_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platforms, "_fcntl", None)
    monkeypatch.setattr(platforms, "_msvcrt", None)
    assert two_locks(tmp_path / "lock") == (True, True)


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: int, how: int) -> None:
        raise OSError(95, "operation not supported")

    monkeypatch.setattr(platforms, "_fcntl", SimpleNamespace(LOCK_EX=2, LOCK_NB=4, flock=flock))
    assert two_locks(tmp_path / "lock") == (True, True)


@pytest.mark.parametrize("missing", ["", "posix_fallocate"])
def test_room_is_made_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    if missing:
        monkeypatch.delattr(os, missing, raising=False)
    with (tmp_path / "file").open("w+b") as file:
        platforms.reserve(file.fileno(), 12_345)
    assert (tmp_path / "file").stat().st_size == 12_345


def waiting() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE,
                            start_new_session=True)  # fmt: skip


def test_a_process_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    for attribute in ("", "killpg"):
        if attribute:
            monkeypatch.delattr(os, attribute, raising=False)
        process, start = waiting(), time.monotonic()
        platforms.end_group(process)
        assert process.returncode not in (None, 0)
        assert time.monotonic() - start < 5
        platforms.end_group(process)  # one that has ended is no error


def test_no_c_library_is_asked_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(platforms.ctypes, "CDLL", asked.append)
    monkeypatch.setattr(os, "name", "nt")
    platforms.flush_c_output()
    assert asked == []


SYSTEM = ("fcntl", "msvcrt", "resource", "winreg", "pwd", "grp", "termios")
ROOMS = {"platforms.py", "compile/kernels/processor.py"}


def test_only_one_module_asks_the_system() -> None:
    """What a system may lack is imported and named nowhere else."""
    package = Path(platforms.__file__).parent
    words = [f"import {name}" for name in SYSTEM] + ['"/proc/', '"/proc"', '"/sys/']
    words += ["sched_getaffinity", "os.sysconf", "killpg", "ctypes.CDLL", "posix_fallocate"]
    found = {
        str(path.relative_to(package)): word
        for path in package.rglob("*.py")
        for word in words
        if word in path.read_text(encoding="utf-8").replace("import resources", "")
    }
    assert found.keys() <= ROOMS, found
