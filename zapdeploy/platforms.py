"""What is asked of the operating system in its own way: Linux, macOS, and where neither answers.

Linux answers from /proc, /sys and affinity masks; macOS from sysctl and vm_stat; any other system
from what Python itself knows. Nothing here fails where a system has no answer: the docstrings say
what then stands in its place. Instruction sets are in `compile/kernels/processor.py`.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

PROC = Path("/proc")
POWER_COUNTERS = Path("/sys/class/powercap")


def _module(name: str) -> Any:
    """A module of the standard library that only some systems have; None where it is not."""
    try:
        return import_module(name)
    except ImportError:
        return None


_fcntl, _msvcrt, _resource = _module("fcntl"), _module("msvcrt"), _module("resource")


def processor() -> str:
    """The processor's own name; that of its architecture where the system has no other."""
    lines = _lines(PROC / "cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    if lines:
        return next(iter(names), platform.machine())
    brand = _answer("sysctl", "-n", "machdep.cpu.brand_string")
    return brand or platform.processor() or platform.machine()


def usable_cores() -> int:
    """Processors this process may use: an affinity mask's where there is one, else all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int:
    """All memory; 0 where the system does not say."""
    return _pages("SC_PHYS_PAGES") or _number(_answer("sysctl", "-n", "hw.memsize"))


def available_memory_bytes() -> int:
    """Memory that can be had without swapping; all of it where the system does not say."""
    for line in _lines(PROC / "meminfo"):
        if line.startswith("MemAvailable:"):
            return _number(line.split()[1]) * 1024
    return _pages("SC_AVPHYS_PAGES") or _macos_available_bytes() or memory_bytes()


def _macos_available_bytes() -> int:
    """Pages that are free, inactive or read ahead, in bytes, by lines as `Pages free: 123.`."""
    head, *lines = _answer("vm_stat").splitlines() or [""]
    counts = dict(line.rsplit(":", 1) for line in lines if ":" in line)
    kinds = ("Pages free", "Pages inactive", "Pages speculative")
    page = _number(head.partition("page size of ")[2].split(" ")[0])
    return page * sum(_number(counts.get(kind, "").strip(" .")) for kind in kinds)


def give_back_memory() -> None:
    """Hand memory that was freed back to the system, where the C library (glibc) keeps it."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def cpu_times() -> tuple[int, int] | None:
    """(busy, all) clock ticks of all cores since the start; None but on Linux."""
    lines = _lines(PROC / "stat")
    if not lines:
        return None
    ticks = [int(text) for text in lines[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, sum(ticks)


def peak_memory_bytes() -> int:
    """The most memory that this process has had; 0 where the system does not say."""
    if _resource is None:
        return 0
    peak = int(_resource.getrusage(_resource.RUSAGE_SELF).ru_maxrss)
    return peak if sys.platform == "darwin" else peak * 1024


def readable_power_counters() -> list[str]:
    """Names of the RAPL counters (Linux, x86) that this process may read."""
    found = POWER_COUNTERS.glob("intel-rapl:*/energy_uj")
    return sorted(path.parent.name for path in found if os.access(path, os.R_OK))


def lock(descriptor: int) -> bool:
    """Take an open file for this process alone until it is closed; False if another one has it.

    True, without a lock, where the system or the file system has none.
    """
    if _fcntl is not None:
        with suppress(OSError):
            try:
                _fcntl.flock(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
            except BlockingIOError:
                return False
    elif _msvcrt is not None:
        try:
            _msvcrt.locking(descriptor, _msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
    return True


def reserve(descriptor: int, size: int) -> None:
    """Make an open file `size` bytes long. Raises OSError where the disk has no room for them; on
    macOS and Windows a full disk shows only when they are written.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.ftruncate(descriptor, size)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a session, with all that it started; only itself on Windows."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def flush_c_output() -> None:
    """Write out what compiled code has printed so far; nothing on Windows."""
    if os.name == "posix":
        ctypes.CDLL(None).fflush(None)


def _pages(name: str) -> int:
    """A number of memory pages, in bytes; 0 where the system does not count them."""
    try:
        return max(os.sysconf(name), 0) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _answer(*command: str) -> str:
    """What a command of the system prints; empty where there is none."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
