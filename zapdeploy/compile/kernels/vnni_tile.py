"""Sums of products of 8-bit integers with the dot-product instruction of AVX-512 VNNI.

`vpdpbusd` adds to each of 16 int32 lanes the products of 4 unsigned with 4 signed bytes; it wraps
and never saturates. A tile of 14 rows by 32 columns keeps its 28 registers of sums while it runs
along the taps: per step of 4 input bytes two registers of weights are loaded, and 4 bytes of each
row are repeated over the lanes. The int32 sums are then stored, or requantized first.

The machine code of a tile is written here instruction by instruction, as LLVM IR, because no
vectorizer finds it. Addresses are plain integers: whoever calls must keep the arrays alive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba import types

from zapdeploy.compile.kernels.jit import compiled, instruction, llvm_function

Values = list[ir.Value]

ROWS = 14
LANES = 16
VECTORS = 2
COLUMNS = LANES * VECTORS
QUAD = 4  # input bytes per step
REGISTER_BYTES = 64

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_F32 = ir.FloatType()
_BYTES = ir.VectorType(_I8, LANES)
_INTS = ir.VectorType(_I32, LANES)
_FLOATS = ir.VectorType(_F32, LANES)
_MASK = ir.VectorType(ir.IntType(1), LANES)


@cache
def available() -> bool:
    """Whether this CPU has the instructions, and numba compiles for this CPU."""
    config: Any = numba.config
    if config.CPU_NAME or config.CPU_FEATURES or not config.ENABLE_AVX:
        return False
    features = binding.get_host_cpu_features()
    return all(
        features.get(name, False) for name in ("avx512f", "avx512bw", "avx512vl", "avx512vnni")
    )


# --- The tile, as LLVM IR ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Tile:
    """The operands of one tile as LLVM values: addresses and counts, all int64.

    rows: of ROWS offsets. taps: of n_taps offsets. quads: steps per tap.
    weights: [n_taps, quads, COLUMNS, QUAD] bytes. correction: int32 [COLUMNS].
    out: of the tile's first column in row 0; row r lies r * out_stride bytes behind it.
    first_row, n_rows: rows from n_rows on repeat row n_rows - 1. n_columns: how many are stored.
    """

    x: ir.Value
    rows: ir.Value
    taps: ir.Value
    n_taps: ir.Value
    quads: ir.Value
    weights: ir.Value
    correction: ir.Value
    out: ir.Value
    out_stride: ir.Value
    first_row: ir.Value
    n_rows: ir.Value
    n_columns: ir.Value


def _int64(value: int) -> ir.Constant:
    return ir.Constant(_I64, value)


def _load(b: ir.IRBuilder, address: ir.Value, kind: ir.Type) -> ir.Value:
    value = b.load(b.inttoptr(address, kind.as_pointer()))
    value.align = 1
    return value


def _repeat(b: ir.IRBuilder, value: ir.Value, kind: ir.VectorType) -> ir.Value:
    """A vector with `value` in every lane."""
    undefined = ir.Constant(kind, ir.Undefined)
    first = b.insert_element(undefined, value, ir.Constant(_I32, 0))
    return b.shuffle_vector(first, undefined, ir.Constant(_INTS, [0] * LANES))


def _loop(
    b: ir.IRBuilder, start: ir.Value, stop: ir.Value, step: int, state: Values,
    body: Callable[[ir.Value, Values], Values],
) -> Values:  # fmt: skip
    """Emit `for i in range(start, stop, step): state = body(i, state)`; the last state.

    The body runs at least once.
    """
    before, block = b.block, b.append_basic_block("loop")
    b.branch(block)
    b.position_at_end(block)
    index = b.phi(_I64)
    held = [b.phi(value.type) for value in state]
    result = body(index, held)
    following = b.add(index, _int64(step))
    for phi, first, last in zip([index, *held], [start, *state], [following, *result], strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(last, b.block)
    after = b.append_basic_block("after")
    b.cbranch(b.icmp_signed("<", following, stop), block, after)
    b.position_at_end(after)
    return result


def _emit_sums(b: ir.IRBuilder, tile: _Tile) -> Values:
    """The tile's sums plus correction: int32 vectors, row by row."""
    dot = llvm_function(b, "llvm.x86.avx512.vpdpbusd.512", _INTS, [_INTS] * 3)
    rows = [b.add(tile.x, _load(b, b.add(tile.rows, _int64(8 * r)), _I64)) for r in range(ROWS)]

    def quad(offset: ir.Value, state: Values) -> Values:
        weights, sums = state[0], state[1:]
        registers = [
            _load(b, b.add(weights, _int64(REGISTER_BYTES * v)), _INTS) for v in range(VECTORS)
        ]
        for r in range(ROWS):
            inputs = _repeat(b, _load(b, b.add(rows[r], offset), _I32), _INTS)
            for v in range(VECTORS):
                place = r * VECTORS + v
                sums[place] = b.call(dot, [sums[place], inputs, registers[v]])
        return [b.add(weights, _int64(REGISTER_BYTES * VECTORS)), *sums]

    def tap(index: ir.Value, state: Values) -> Values:
        first = _load(b, b.add(tile.taps, b.mul(index, _int64(8))), _I64)
        end = b.add(first, b.mul(tile.quads, _int64(QUAD)))
        return _loop(b, first, end, QUAD, state, quad)

    corrections = [
        _load(b, b.add(tile.correction, _int64(REGISTER_BYTES * v)), _INTS) for v in range(VECTORS)
    ]
    zero = ir.Constant(_INTS, [0] * LANES)
    sums = _loop(b, _int64(0), tile.n_taps, 1, [tile.weights] + [zero] * (ROWS * VECTORS), tap)[1:]
    return [b.add(value, corrections[place % VECTORS]) for place, value in enumerate(sums)]


def _emit_store(b: ir.IRBuilder, tile: _Tile, vectors: Values, item_bytes: int) -> None:
    """Store the first n_columns lanes of each row."""
    kind = vectors[0].type
    pointer = kind.as_pointer()
    name = f"llvm.masked.store.v{LANES}i{8 * item_bytes}.p0"
    store = llvm_function(b, name, ir.VoidType(), [kind, pointer, _I32, _MASK])
    stored = _repeat(b, b.trunc(tile.n_columns, _I32), _INTS)
    lanes = [
        ir.Constant(_INTS, [v * LANES + lane for lane in range(LANES)]) for v in range(VECTORS)
    ]
    masks = [b.icmp_signed("<", lane, stored) for lane in lanes]
    last = b.sub(tile.n_rows, _int64(1))
    for r in range(ROWS):
        row = b.add(tile.first_row, _int64(r))
        row = b.select(b.icmp_signed("<", row, last), row, last)
        start = b.add(tile.out, b.mul(row, tile.out_stride))
        for v in range(VECTORS):
            address = b.inttoptr(b.add(start, _int64(v * LANES * item_bytes)), pointer)
            b.call(store, [vectors[r * VECTORS + v], address, ir.Constant(_I32, 1), masks[v]])


def _emit_requantize(
    b: ir.IRBuilder,
    sums: Values,
    multiplier: ir.Value,
    zero_point: ir.Value,
    low: ir.Value,
    high: ir.Value,
) -> Values:
    """int8 vectors: clamp(sum * multiplier), rounded half to even, plus zero point."""
    convert = llvm_function(
        b, "llvm.x86.avx512.mask.cvtps2dq.512", _INTS, [_FLOATS, _INTS, _I16, _I32]
    )
    all_lanes, to_nearest = ir.Constant(_I16, -1), ir.Constant(_I32, 8)
    shift = _repeat(b, zero_point, _INTS)
    lows, highs = _repeat(b, low, _FLOATS), _repeat(b, high, _FLOATS)
    factors = [
        _load(b, b.add(multiplier, _int64(REGISTER_BYTES * v)), _FLOATS) for v in range(VECTORS)
    ]
    result = []
    for place, value in enumerate(sums):
        scaled = b.fmul(b.sitofp(value, _FLOATS), factors[place % VECTORS])
        scaled = b.select(b.fcmp_ordered(">", scaled, lows), scaled, lows)
        scaled = b.select(b.fcmp_ordered("<", scaled, highs), scaled, highs)
        rounded = b.call(convert, [scaled, ir.Constant(_INTS, ir.Undefined), all_lanes, to_nearest])
        result.append(b.trunc(b.add(rounded, shift), _BYTES))
    return result


@instruction
def _tile_sums(
    typing_context: Any, x: Any, rows: Any, taps: Any, n_taps: Any, quads: Any, weights: Any,
    correction: Any, out: Any, out_stride: Any, first_row: Any, n_rows: Any, n_columns: Any,
) -> Any:  # fmt: skip
    """Compute one tile and store it as int32."""

    def emit(context: Any, b: ir.IRBuilder, signature: Any, arguments: Values) -> ir.Value:
        tile = _Tile(*arguments)
        _emit_store(b, tile, _emit_sums(b, tile), item_bytes=4)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 12), emit


@instruction
def _tile_requantized(
    typing_context: Any, x: Any, rows: Any, taps: Any, n_taps: Any, quads: Any, weights: Any,
    correction: Any, out: Any, out_stride: Any, first_row: Any, n_rows: Any, n_columns: Any,
    multiplier: Any, zero_point: Any, low: Any, high: Any,
) -> Any:  # fmt: skip
    """Compute one tile and store it as bytes."""

    def emit(context: Any, b: ir.IRBuilder, signature: Any, arguments: Values) -> ir.Value:
        tile = _Tile(*arguments[:12])
        _emit_store(
            b, tile, _emit_requantize(b, _emit_sums(b, tile), *arguments[12:]), item_bytes=1
        )
        return context.get_dummy_value()

    return types.void(*[types.intp] * 13, types.int32, types.float32, types.float32), emit


# --- All tiles of a layer ---------------------------------------------------------------------
# Tiles are numbered group by group, in each group column block by column block, in each block from
# the first rows to the last: the weights of one block stay in the cache while the rows pass by.


@compiled
def store_sums(
    x: int, rows: int, taps: int, n_taps: int, quads: int, weights: int, correction: int, out: int,
    n_rows: int, n_columns: int, x_group: int, out_group: int, out_stride: int,
    start: int, stop: int,
) -> None:  # fmt: skip
    tiles = -(-n_rows // ROWS)
    blocks = -(-n_columns // COLUMNS)
    for number in range(start, stop):
        panel = number // tiles  # counts the column blocks of all groups
        tile = number - panel * tiles
        group = panel // blocks
        column = (panel - group * blocks) * COLUMNS
        _tile_sums(
            x + group * x_group, rows + tile * ROWS * 8, taps, n_taps, quads,
            weights + panel * n_taps * quads * COLUMNS * QUAD, correction + panel * COLUMNS * 4,
            out + (group * out_group + column) * 4, out_stride * 4,
            tile * ROWS, n_rows, min(COLUMNS, n_columns - column),
        )  # fmt: skip


@compiled
def store_requantized(
    x: int, rows: int, taps: int, n_taps: int, quads: int, weights: int, correction: int, out: int,
    n_rows: int, n_columns: int, x_group: int, out_group: int, out_stride: int,
    multiplier: int, zero_point: np.int32, low: np.float32, high: np.float32, start: int, stop: int,
) -> None:  # fmt: skip
    tiles = -(-n_rows // ROWS)
    blocks = -(-n_columns // COLUMNS)
    for number in range(start, stop):
        panel = number // tiles
        tile = number - panel * tiles
        group = panel // blocks
        column = (panel - group * blocks) * COLUMNS
        _tile_requantized(
            x + group * x_group, rows + tile * ROWS * 8, taps, n_taps, quads,
            weights + panel * n_taps * quads * COLUMNS * QUAD, correction + panel * COLUMNS * 4,
            out + group * out_group + column, out_stride,
            tile * ROWS, n_rows, min(COLUMNS, n_columns - column),
            multiplier + panel * COLUMNS * 4, zero_point, low, high,
        )  # fmt: skip
