"""What the machine has that a benchmark depends on."""

from __future__ import annotations

import platform
import shutil
from importlib import metadata

from zapdeploy import platforms

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
    found["processor"] = platforms.processor()
    found["processors"] = str(platforms.usable_cores())
    found |= {name: package_version(name) for name in PACKAGES}
    found["ONNX Runtime's int8"] = _integer_kernels()
    found["NVIDIA GPU"] = "nvidia-smi is there" if shutil.which("nvidia-smi") else "none found"
    readable = platforms.readable_power_counters()
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


def package_version(name: str) -> str:
    """A package's version, or that it is missing."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return MISSING
