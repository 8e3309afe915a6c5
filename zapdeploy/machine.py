"""What the machine has that a benchmark depends on."""

from __future__ import annotations

import os
import platform
import shutil
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "zapdeploy",
    "numpy",
    "numba",
    "onnx",
    "onnx-ir",
    "onnxruntime",
    "torch",
    "brevitas",
    "mlcommons-loadgen",
    "zeus",
)
MISSING = "not installed"


def examine() -> dict[str, str]:
    """Findings by name, in words."""
    found = {"python": platform.python_version(), "system": platform.platform()}
    found["processor"] = processor()
    found["processors"] = str(usable_cores())
    found |= {name: package_version(name) for name in PACKAGES}
    found["ONNX Runtime's int8"] = _integer_kernels()
    found["NVIDIA GPU"] = "nvidia-smi is there" if shutil.which("nvidia-smi") else "none found"
    readable = _rapl_domains()
    found["RAPL energy meter"] = ", ".join(readable) if readable else "none that can be read"
    return found


def _integer_kernels() -> str:
    """What its products of uint8 by int8 do on this processor."""
    from zapdeploy.onnxruntime_sessions import saturates

    try:
        wrong = saturates()
    except ModuleNotFoundError:
        return MISSING
    if not wrong:
        return "right: products of uint8 by int8 do not saturate here"
    return (
        "default kernels saturate in products of uint8 by int8; values are taken from uint8 by "
        "uint8, and baselines from what is right"
    )


def processor() -> str:
    """The processor's own name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def usable_cores() -> int:
    """Processors this process may use: a container's or an affinity mask's, not all there are."""
    return len(os.sched_getaffinity(0))


def package_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return MISSING


def _rapl_domains() -> list[str]:
    counters = Path("/sys/class/powercap").glob("intel-rapl:*/energy_uj")
    return sorted(str(path.parent.name) for path in counters if os.access(path, os.R_OK))
