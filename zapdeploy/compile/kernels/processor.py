"""What this processor, and the operating system on it, really offer: LLVM's names of features.

On x86 LLVM asks the processor and the system. On Arm only the system may ask: Linux hands the
answer to every process, macOS has it under names of its own, and elsewhere what every 64-bit Arm
processor has is taken.
"""

from __future__ import annotations

import ctypes
import platform
import sys

from llvmlite import binding

X86, ARM = "x86_64", "aarch64"
_NAMES = {"amd64": X86, "x86_64": X86, "arm64": ARM, "aarch64": ARM}

# Bits of the auxiliary vector (Linux, arch/arm64/include/uapi/asm/hwcap.h), keys of macOS's sysctl.
_AT_HWCAP, _AT_HWCAP2 = 16, 26
_LINUX = {"dotprod": (_AT_HWCAP, 20), "i8mm": (_AT_HWCAP2, 13)}
_MACOS = {"dotprod": b"hw.optional.arm.FEAT_DotProd", "i8mm": b"hw.optional.arm.FEAT_I8MM"}


def machine() -> str:
    """X86, ARM, or what the system calls another one."""
    name = platform.machine().lower()
    return _NAMES.get(name, name)


def features() -> frozenset[str]:
    """The instruction sets that this processor has, by name."""
    if machine() == ARM:
        return frozenset({"neon", *_arm_extras()})
    try:
        return frozenset(name for name, there in binding.get_host_cpu_features().items() if there)
    except RuntimeError:  # LLVM does not know this machine
        return frozenset()


def _arm_extras() -> list[str]:
    if sys.platform == "linux":
        read = ctypes.CDLL(None).getauxval
        read.restype, read.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
        return [name for name, (kind, bit) in _LINUX.items() if read(kind) >> bit & 1]
    if sys.platform == "darwin":
        return [name for name, key in _MACOS.items() if _sysctl(key)]
    return []


def _sysctl(key: bytes) -> int:
    """A number that macOS keeps under a name, 0 if it knows none."""
    value, size = ctypes.c_int(0), ctypes.c_size_t(ctypes.sizeof(ctypes.c_int))
    ctypes.CDLL(None).sysctlbyname(key, ctypes.byref(value), ctypes.byref(size), None, 0)
    return value.value
