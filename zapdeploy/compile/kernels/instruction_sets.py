"""What the processors' vector units have for exact sums of products of 8-bit integers.

Each set adds, in every int32 lane, the products of a few neighbouring inputs with as many weights.
Where a dot product of bytes exists that neither saturates nor rounds, inputs and weights stay
bytes; elsewhere both are widened to 16 bits, and products of pairs are added in 32 bits. (The older
`vpmaddubsw` of x86 is faster and wrong: it adds pairs in 16 bits, and saturates.)

A further processor is one more entry of `INSTRUCTION_SETS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir

from zapdeploy.compile.kernels import processor
from zapdeploy.compile.kernels.processor import ARM, X86

I8, I16, I32 = (ir.IntType(bits) for bits in (8, 16, 32))
Dot = Callable[[ir.IRBuilder, ir.Value, ir.Value, ir.Value], ir.Value]


@dataclass(frozen=True, eq=False)
class InstructionSet:
    """How sums are formed, and the shape of the tile that fills the registers with them.

    features: LLVM's names of what the processor must have
    lanes: int32 values in a register
    rows, vectors: of a tile, which holds rows x vectors registers of sums
    x_type, w_type: operands in memory; each lane takes 32 bits of either at a time
    dot: emits sums + dot product of neighbours, from int32 vectors: sums, inputs, weights
    """

    name: str
    machine: str
    features: tuple[str, ...]
    lanes: int
    rows: int
    vectors: int
    x_type: np.dtype[Any]
    w_type: np.dtype[Any]
    dot: Dot

    @property
    def columns(self) -> int:
        return self.lanes * self.vectors

    @property
    def group(self) -> int:
        """Neighbouring inputs in one lane."""
        return 4 // self.x_type.itemsize


def declared(b: ir.IRBuilder, name: str, kind: ir.Type, arguments: list[ir.Type]) -> ir.Function:
    """An LLVM intrinsic in the module that is being written."""
    known = b.module.globals.get(name)
    return known or ir.Function(b.module, ir.FunctionType(kind, arguments), name)


def _bytes_x86(lanes: int) -> Dot:
    """`vpdpbusd`: 4 unsigned bytes with 4 signed ones."""

    def dot(b: ir.IRBuilder, sums: ir.Value, x: ir.Value, w: ir.Value) -> ir.Value:
        name = f"llvm.x86.avx512.vpdpbusd.{32 * lanes}"  # AVX-VNNI's, too
        return b.call(declared(b, name, sums.type, [sums.type] * 3), [sums, x, w])

    return dot


def _pairs_x86(intrinsic: str) -> Dot:
    """`pmaddwd`, 2 signed 16-bit integers with 2 more, and a sum."""

    def dot(b: ir.IRBuilder, sums: ir.Value, x: ir.Value, w: ir.Value) -> ir.Value:
        halves = ir.VectorType(I16, 2 * sums.type.count)
        function = declared(b, f"llvm.x86.{intrinsic}", sums.type, [halves, halves])
        return b.add(sums, b.call(function, [b.bitcast(x, halves), b.bitcast(w, halves)]))

    return dot


def _bytes_arm(instruction: str) -> Dot:
    """`sdot`: 4 signed bytes with 4 more; `usdot`: 4 unsigned with 4 signed ones."""

    def dot(b: ir.IRBuilder, sums: ir.Value, x: ir.Value, w: ir.Value) -> ir.Value:
        quads = ir.VectorType(I8, 16)
        name = f"llvm.aarch64.neon.{instruction}.v4i32.v16i8"
        function = declared(b, name, sums.type, [sums.type, quads, quads])
        return b.call(function, [sums, b.bitcast(x, quads), b.bitcast(w, quads)])

    return dot


def _pairs_arm(b: ir.IRBuilder, sums: ir.Value, x: ir.Value, w: ir.Value) -> ir.Value:
    """`smull` twice: 2 signed 16-bit integers with 2 more, then the sum of the pair."""
    halves, products = ir.VectorType(I16, 8), ir.VectorType(I32, 8)
    wide = [b.sext(b.bitcast(value, halves), products) for value in (x, w)]
    product, undefined = b.mul(*wide), ir.Constant(products, ir.Undefined)
    even, odd = (
        b.shuffle_vector(product, undefined, ir.Constant(sums.type, list(range(first, 8, 2))))
        for first in (0, 1)
    )
    return b.add(sums, b.add(even, odd))


U8, S8, S16 = (np.dtype(kind) for kind in (np.uint8, np.int8, np.int16))
AVX512 = ("avx512f", "avx512bw", "avx512vl", "avx512dq")

# The fastest first. Tiles of 7 rows fit images of 7, 14, 28 and 56 lines without a remainder; with
# 16 registers, 10 hold sums, 2 weights, and the rest inputs and products on their way.
INSTRUCTION_SETS = (
    InstructionSet("avx512-vnni", X86, (*AVX512, "avx512vnni"), 16, 7, 2, U8, S8, _bytes_x86(16)),
    InstructionSet("avx-vnni", X86, ("avx2", "avxvnni"), 8, 6, 2, U8, S8, _bytes_x86(8)),
    InstructionSet("avx512", X86, AVX512, 16, 7, 2, S16, S16, _pairs_x86("avx512.pmaddw.d.512")),
    InstructionSet("avx2", X86, ("avx2",), 8, 5, 2, S16, S16, _pairs_x86("avx2.pmadd.wd")),
    InstructionSet("sse4", X86, ("sse4.1",), 4, 5, 2, S16, S16, _pairs_x86("sse2.pmadd.wd")),
    InstructionSet("neon-i8mm", ARM, ("i8mm",), 4, 5, 4, U8, S8, _bytes_arm("usdot")),
    InstructionSet("neon-dot", ARM, ("dotprod",), 4, 5, 4, S8, S8, _bytes_arm("sdot")),
    InstructionSet("neon", ARM, ("neon",), 4, 4, 2, S16, S16, _pairs_arm),
)


@cache
def host_instruction_sets() -> tuple[InstructionSet, ...]:
    """Those that this processor really has, the fastest first."""
    machine, there = processor.machine(), processor.features()
    return tuple(
        each
        for each in INSTRUCTION_SETS
        if each.machine == machine and there.issuperset(each.features)
    )
