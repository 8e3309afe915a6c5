"""What every compiled kernel has in common: how it is compiled, and scalar instructions.

Kernels are compiled without "fast math": LLVM may then neither reorder float operations nor join a
product and a sum into one rounding. Where such a joined operation is meant, it is written `fma`.
They release the interpreter lock and are kept in numba's cache beside the source file. The cache
looks only at the file of the kernel itself: after a change here, delete `__pycache__`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """`function` as machine code, compiled at its first call for the types of its arguments."""
    return cast(Callable[P, R], njit(nogil=True, cache=True, error_model="numpy")(function))


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """As `compiled`, and part of whatever compiled function calls it.

    For small functions of many arrays: each call would count the references of all of them up and
    down again, which takes longer than what the function does.
    """
    make = njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
    return cast(Callable[P, R], make(function))


def instruction(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, which writes LLVM IR, as something that compiled kernels can call.

    It takes numba's typing context and a name for each argument, and returns a numba signature and
    the function that emits the IR.
    """
    return cast(Callable[..., Any], intrinsic(function))


def llvm_function(
    builder: ir.IRBuilder, name: str, result: ir.Type, arguments: list[ir.Type]
) -> ir.Function:
    """The declaration of an LLVM intrinsic in the module that `builder` writes."""
    known = builder.module.globals.get(name)
    return known or ir.Function(builder.module, ir.FunctionType(result, arguments), name)


@instruction
def fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """float32(a * b + c), rounded once."""
    signature = types.float32(types.float32, types.float32, types.float32)

    def emit(
        context: Any, builder: ir.IRBuilder, signature: Any, arguments: list[ir.Value]
    ) -> ir.Value:
        scalar = ir.FloatType()
        return builder.call(llvm_function(builder, "llvm.fma.f32", scalar, [scalar] * 3), arguments)

    return signature, emit


@instruction
def round_half_even(typing_context: Any, a: Any) -> Any:
    """The float32 integer nearest to a; a tie goes to the even one."""
    signature = types.float32(types.float32)

    def emit(
        context: Any, builder: ir.IRBuilder, signature: Any, arguments: list[ir.Value]
    ) -> ir.Value:
        scalar = ir.FloatType()
        return builder.call(
            llvm_function(builder, "llvm.roundeven.f32", scalar, [scalar]), arguments
        )

    return signature, emit


@instruction
def count_ones(typing_context: Any, a: Any) -> Any:
    """How many bits of an unsigned integer are 1."""
    signature = types.uint8(a)

    def emit(
        context: Any, builder: ir.IRBuilder, signature: Any, arguments: list[ir.Value]
    ) -> ir.Value:
        kind = arguments[0].type
        name = f"llvm.ctpop.i{kind.width}"
        found = builder.call(llvm_function(builder, name, kind, [kind]), arguments)
        return found if kind.width == 8 else builder.trunc(found, ir.IntType(8))

    return signature, emit
