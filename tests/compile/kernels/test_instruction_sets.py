"""Which vector instructions are taken, and what is written for processors that are not here."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable

import pytest

from zapdeploy.compile.kernels import machine_code, processor, threads, tile
from zapdeploy.compile.kernels.instruction_sets import (
    INSTRUCTION_SETS,
    InstructionSet,
    host_instruction_sets,
)
from zapdeploy.compile.kernels.processor import ARM, X86

DOT = {
    "avx512-vnni": "vpdpbusd",
    "avx-vnni": "vpdpbusd",
    "avx512": "vpmaddwd",
    "avx2": "vpmaddwd",
    "sse4": "pmaddwd",
    "neon-i8mm": "usdot",
    "neon-dot": "sdot",
    "neon": "smull",
}
INEXACT = ("maddubsw", "vpdpbusds", "vpdpwssds", "paddsw", "sqadd", "sqrdmlah", "bfdot")
V2 = {"sse4.1"}
V3 = {*V2, "avx2", "fma"}
V4 = {*V3, "avx512f", "avx512bw", "avx512vl", "avx512dq"}
PROCESSORS = {
    "Sapphire Rapids": (X86, {*V4, "avx512vnni", "avxvnni"}, "avx512-vnni"),
    "Alder Lake": (X86, {*V3, "avxvnni"}, "avx-vnni"),
    "Skylake-SP": (X86, V4, "avx512"),
    "Haswell": (X86, V3, "avx2"),
    "Nehalem": (X86, V2, "sse4"),
    "Core 2 of 2006": (X86, {"sse2"}, None),
    "Apple M2": (ARM, {"neon", "dotprod", "i8mm"}, "neon-i8mm"),
    "Apple M1": (ARM, {"neon", "dotprod"}, "neon-dot"),
    "Cortex-A72": (ARM, {"neon"}, "neon"),
    "RISC-V": ("riscv64", {"v"}, None),
}


@pytest.fixture(autouse=True)
def ask_anew() -> Iterable[None]:
    host_instruction_sets.cache_clear()
    yield
    host_instruction_sets.cache_clear()


@pytest.mark.parametrize("name", PROCESSORS)
def test_the_fastest_that_a_processor_has_is_first(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, features, expected = PROCESSORS[name]
    monkeypatch.setattr(processor, "machine", lambda: machine)
    monkeypatch.setattr(processor, "features", lambda: frozenset(features))
    sets = host_instruction_sets()
    assert (sets[0].name if sets else None) == expected
    assert all(features.issuperset(each.features) for each in sets)


def listing(how: InstructionSet, requantized: bool) -> list[str]:
    """The instructions of a layer's kernel, whatever the processor of this machine."""
    triple = f"{how.machine}-unknown-linux-gnu"
    module = str(tile.tile_module(how, requantized))
    assembly, code = machine_code.emitted(module, triple, how.features)
    assert code.startswith(b"\x7fELF")
    return [line.replace("{vex}", "").strip() for line in assembly.splitlines()]


@pytest.mark.parametrize("requantized", [False, True])
@pytest.mark.parametrize("how", INSTRUCTION_SETS, ids=lambda how: how.name)
def test_sums_stay_in_registers_and_never_saturate(how: InstructionSet, requantized: bool) -> None:
    """By hand: a step has one dot product per register of sums, and nothing there is spilled.

    Arm without dot products forms each from two halves.
    """
    lines = listing(how, requantized)
    places = [i for i, line in enumerate(lines) if line.startswith(DOT[how.name])]
    assert len(places) == how.rows * how.vectors * (2 if how.name == "neon" else 1)
    inner = lines[places[0] : places[-1] + 1]
    assert not any(register in line for line in inner for register in ("rsp", "sp,", "[sp"))
    assert not any(word in line for line in lines for word in INEXACT)
    assert not any(line.startswith(("call", "bl\t")) for line in lines)


def test_every_set_has_room_for_its_tile() -> None:
    """Sums, as many weights as a row has sums, one input: 32 registers, or 16 before AVX-512."""
    for how in INSTRUCTION_SETS:
        few = how.machine == X86 and "avx512f" not in how.features
        assert how.rows * how.vectors + how.vectors + 1 <= (16 if few else 32)
        assert how.x_type.itemsize == how.w_type.itemsize
    assert len({how.name for how in INSTRUCTION_SETS}) == len(INSTRUCTION_SETS) == len(DOT)


@pytest.mark.parametrize("machine", [X86, ARM])
def test_threads_meet_on_every_processor(machine: str) -> None:
    assembly, _ = machine_code.emitted(threads.team_code(machine), f"{machine}-unknown-linux-gnu")
    assert ("pause" if machine == X86 else "isb") in assembly


# --- What the system says ---------------------------------------------------------------------


@pytest.mark.parametrize(("told", "name"), [("AMD64", X86), ("arm64", ARM), ("riscv64", "riscv64")])
def test_machines_have_one_name(told: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: told)
    assert processor.machine() == name


class FakeLibrary:
    """The C library of an Arm system: Linux's auxiliary vector, macOS's sysctl."""

    def __init__(self, words: dict[int, int], keys: dict[bytes, int]) -> None:
        self.keys = keys

        def getauxval(kind: int) -> int:
            return words.get(kind, 0)

        self.getauxval = getauxval

    def sysctlbyname(self, key: bytes, value: object, *rest: object) -> int:
        if key not in self.keys:
            return -1
        value._obj.value = self.keys[key]  # type: ignore[attr-defined]
        return 0


ARM_SYSTEMS = [
    ("linux", FakeLibrary({16: 1 << 20, 26: 1 << 13}, {}), {"neon", "dotprod", "i8mm"}),
    ("linux", FakeLibrary({16: 1 << 20}, {}), {"neon", "dotprod"}),
    ("linux", FakeLibrary({16: (1 << 20) - 1, 26: 1 << 20}, {}), {"neon"}),
    ("darwin", FakeLibrary({}, {b"hw.optional.arm.FEAT_DotProd": 1}), {"neon", "dotprod"}),
    ("darwin", FakeLibrary({}, {b"hw.optional.arm.FEAT_I8MM": 0}), {"neon"}),
    ("win32", None, {"neon"}),
]


@pytest.mark.parametrize(("system", "library", "expected"), ARM_SYSTEMS)
def test_arm_systems_are_asked(
    system: str, library: FakeLibrary | None, expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "machine", lambda: ARM)
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    assert processor.features() == expected


def test_a_machine_that_llvm_does_not_know_has_no_features(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown() -> dict[str, bool]:
        raise RuntimeError("failed to get host cpu features.")

    monkeypatch.setattr(processor, "machine", lambda: "riscv64")
    monkeypatch.setattr("llvmlite.binding.get_host_cpu_features", unknown)
    assert processor.features() == frozenset()
