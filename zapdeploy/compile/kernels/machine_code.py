"""From LLVM IR to machine code in this process, for exactly the instructions that are named.

Kernels written as IR need no optimizer: they are compiled once in each process, in milliseconds,
and nothing is kept on disk.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any

from llvmlite import binding

_engines: list[Any] = []  # own the machine code, so must live as long as the process


@cache
def _initialize() -> None:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()


class Kernel:
    """Machine code at an address, that takes int64 and releases the interpreter lock."""

    def __init__(self, address: int, arguments: int) -> None:
        self.address = address
        self._call = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arguments)(address)

    def __call__(self, *arguments: int) -> None:
        self._call(*arguments)


def kernels(module: str, features: Sequence[str] = (), **arguments: int) -> list[Kernel]:
    """Functions of a module, compiled for a processor with some features of LLVM's.

    arguments: how many int64 each takes, by its name
    """
    _initialize()
    target = binding.Target.from_default_triple()
    machine = target.create_target_machine(features=_spelled(features), opt=2, jit=True)
    engine = binding.create_mcjit_compiler(_parsed(module), machine)
    engine.finalize_object()
    _engines.append(engine)
    return [Kernel(engine.get_function_address(name), count) for name, count in arguments.items()]


def emitted(module: str, triple: str, features: Sequence[str] = ()) -> tuple[str, bytes]:
    """Assembly and object file for any processor that LLVM knows, to look at or to run there."""
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    target = binding.Target.from_triple(triple)
    machine = target.create_target_machine(features=_spelled(features), opt=2)
    parsed = _parsed(module)
    return machine.emit_assembly(parsed), machine.emit_object(parsed)


def _spelled(features: Sequence[str]) -> str:
    return ",".join(f"+{feature}" for feature in features)


def _parsed(module: str) -> Any:
    parsed = binding.parse_assembly(module)
    parsed.verify()
    return parsed
