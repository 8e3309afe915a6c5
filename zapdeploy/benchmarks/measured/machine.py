"""The machine that measured rows come from: what it is, and how busy it was with other work."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import zapdeploy
from zapdeploy.machine import MISSING, package_version, processor, usable_cores

_PACKAGES = ("onnxruntime", "numpy", "onnx", "mlcommons-loadgen", "zeus")
BUSY_SHARE = 0.1


@dataclass(frozen=True)
class Machine:
    """The part of a machine that speed depends on. No name, no address."""

    cpu: str
    cores: int
    memory_bytes: int
    system: str

    @property
    def summary(self) -> str:
        memory = self.memory_bytes / 2**30
        return f"{self.cpu}, {self.cores} cores, {memory:.0f} GiB, {self.system}"


def this_machine() -> Machine:
    """What this process may use: a container's or an affinity mask's cores, not all there are."""
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    system = f"{platform.system()} {platform.machine()}"
    return Machine(processor(), usable_cores(), pages * page, system)


def gpu_name() -> str:
    """The first NVIDIA GPU's own name, as NVML has it; empty where there is none."""
    try:
        import pynvml

        pynvml.nvmlInit()
        name = pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(0))
    except Exception:  # no library, no driver, no device: NVML has an exception for each
        return ""
    return name.decode() if isinstance(name, bytes) else str(name)


def package_versions() -> dict[str, str]:
    """Versions of the packages that a result depends on, where installed."""
    versions = {"zapdeploy": zapdeploy.version(), "python": platform.python_version()}
    found = {package: package_version(package) for package in _PACKAGES}
    return versions | {package: text for package, text in found.items() if text != MISSING}


def available_memory_bytes() -> int:
    """Memory that can be had without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    found = [line for line in lines if line.startswith("MemAvailable:")]
    return int(found[0].split()[1]) * 1024 if found else this_machine().memory_bytes


def busy_share(seconds: float = 0.3, wait: Callable[[float], None] = time.sleep) -> float | None:
    """Share of all cores that others keep busy while this process waits; None if not known."""
    before = _cpu_times()
    wait(seconds)
    after = _cpu_times()
    if before is None or after is None or after[1] <= before[1]:
        return None
    return (after[0] - before[0]) / (after[1] - before[1])


def _cpu_times() -> tuple[int, int] | None:
    """(busy, all) clock ticks of all cores since the start, from Linux's /proc/stat."""
    try:
        line = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    except OSError:
        return None
    ticks = [int(text) for text in line.split()[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, sum(ticks)
