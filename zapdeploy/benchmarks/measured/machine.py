"""The machine that measured rows come from: what it is, and how busy it was with other work."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass

import zapdeploy
from zapdeploy import platforms
from zapdeploy.machine import MISSING, package_version

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
    system = f"{platform.system()} {platform.machine()}"
    return Machine(
        platforms.processor(), platforms.usable_cores(), platforms.memory_bytes(), system
    )


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


def busy_share(seconds: float = 0.3, wait: Callable[[float], None] = time.sleep) -> float | None:
    """Share of all cores that others keep busy while this process waits; None if not known."""
    before = platforms.cpu_times()
    wait(seconds)
    after = platforms.cpu_times()
    if before is None or after is None or after[1] <= before[1]:
        return None
    return (after[0] - before[0]) / (after[1] - before[1])
