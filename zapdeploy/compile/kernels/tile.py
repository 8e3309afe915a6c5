"""Machine code for the sums of a layer, tile by tile, for any instruction set.

A tile keeps its rows x vectors registers of int32 sums while it runs along the taps: per step of 32
bits of input, each vector of weights is loaded once, and the input of each row is repeated over the
lanes. The sums are then stored, or requantized first.

No vectorizer finds this, so it is written instruction by instruction as LLVM IR. The piece that
differs between processors is `InstructionSet.dot`. The function made has the signature of
`threads.run_kernel`: it computes tiles start to stop of a layer described by `Arguments`, whose
addresses are plain integers, so whoever calls must keep the arrays alive.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache

from llvmlite import ir

from zapdeploy.compile.kernels.instruction_sets import I8, I32, InstructionSet, declared
from zapdeploy.compile.kernels.machine_code import Kernel, kernels

I64, F32 = ir.IntType(64), ir.FloatType()
Values = list[ir.Value]


class Arguments(ctypes.Structure):
    """A layer as machine code takes it. Addresses, then counts in elements where no unit is given.

    rows: int64 offsets in x, of all output positions, the last repeated up to a whole tile
    taps: n_taps int64 offsets. steps: of 32 bits per tap
    weights: [panels, n_taps, steps, columns, group]. correction: int32 [panels, columns]
    block: tiles of rows that are neighbours in the order of tiles
    out: 8-bit or int32; column c of group g in row r lies at g * out_group + r * out_stride + c
    multiplier: float32 [panels, columns]; with zero_point, low and high only to requantize
    A panel is `columns` outputs of a group, and a group has ceil(n_columns / columns) of them;
    panels: of all groups
    """

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("x", "rows", "taps", "weights", "correction", "out")),
        *((name, ctypes.c_int64) for name in ("n_taps", "steps", "n_rows", "n_columns")),
        *((name, ctypes.c_int64) for name in ("panels", "block")),
        *((name, ctypes.c_int64) for name in ("x_group", "out_group", "out_stride", "multiplier")),
        ("zero_point", ctypes.c_int32),
        ("low", ctypes.c_float),
        ("high", ctypes.c_float),
    )


@cache
def tile_kernel(instructions: InstructionSet, requantized: bool) -> Kernel:
    """The function as machine code, compiled at its first use (about 20 ms)."""
    module = str(tile_module(instructions, requantized))
    return kernels(module, instructions.features, tiles=3)[0]


def tile_module(instructions: InstructionSet, requantized: bool) -> ir.Module:
    """void tiles(Arguments *, int64 start, int64 stop) as LLVM IR."""
    module = ir.Module(name=f"{instructions.name} {'bytes' if requantized else 'sums'}")
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * 3), "tiles")
    b = ir.IRBuilder(function.append_basic_block("entry"))
    address, start, stop = function.args
    _Writer(b, instructions, requantized, _arguments(b, address)).tiles(start, stop)
    b.ret_void()
    return module


def _constant(value: int) -> ir.Constant:
    return ir.Constant(I64, value)


def _load(b: ir.IRBuilder, address: ir.Value, kind: ir.Type) -> ir.Value:
    value = b.load(b.inttoptr(address, kind.as_pointer()))
    value.align = 1
    return value


def _store(b: ir.IRBuilder, value: ir.Value, address: ir.Value) -> None:
    b.store(value, b.inttoptr(address, value.type.as_pointer())).align = 1


def _arguments(b: ir.IRBuilder, address: ir.Value) -> dict[str, ir.Value]:
    kinds = {ctypes.c_int64: I64, ctypes.c_int32: I32, ctypes.c_float: F32}
    return {
        name: _load(b, b.add(address, _constant(getattr(Arguments, name).offset)), kinds[kind])
        for name, kind, *_ in Arguments._fields_
    }


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
    index = b.phi(I64)
    held = [b.phi(value.type) for value in state]
    result = body(index, held)
    following = b.add(index, _constant(step))
    for phi, first, last in zip([index, *held], [start, *state], [following, *result], strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(last, b.block)
    after = b.append_basic_block("after")
    b.cbranch(b.icmp_signed("<", following, stop), block, after)
    b.position_at_end(after)
    return result


def _smaller(b: ir.IRBuilder, left: ir.Value, right: ir.Value) -> ir.Value:
    return b.select(b.icmp_signed("<", left, right), left, right)


def _ceiling(b: ir.IRBuilder, count: ir.Value, size: int) -> ir.Value:
    return b.udiv(b.add(count, _constant(size - 1)), _constant(size))


class _Writer:
    """Emits the tiles of one layer; the values that all tiles share are attributes."""

    def __init__(
        self, b: ir.IRBuilder, how: InstructionSet, requantized: bool, given: dict[str, ir.Value]
    ) -> None:
        self.b, self.how, self.requantized, self.given = b, how, requantized, given
        self.ints = ir.VectorType(I32, how.lanes)
        self.floats = ir.VectorType(F32, how.lanes)
        self.register_bytes = 4 * how.lanes
        self.item = I8 if requantized else I32
        self.item_bytes = 1 if requantized else 4
        self.scratch = b.ptrtoint(
            b.alloca(self.item, size=_constant(how.rows * how.columns)), I64
        )  # for tiles of which not all columns are stored

    def tiles(self, start: ir.Value, stop: ir.Value) -> None:
        """Block by block of rows, in each panel by panel, in each tile by tile: the weights of a
        panel stay in the nearest cache while the rows of a block pass by."""
        b, given = self.b, self.given
        tiles = _ceiling(b, given["n_rows"], self.how.rows)
        in_block = b.mul(given["block"], given["panels"])

        def one(number: ir.Value, state: Values) -> Values:
            block = b.udiv(number, in_block)
            before = b.mul(block, given["block"])
            height = _smaller(b, given["block"], b.sub(tiles, before))
            rest = b.sub(number, b.mul(block, in_block))
            panel = b.udiv(rest, height)
            tile = b.add(before, b.sub(rest, b.mul(panel, height)))
            self.tile(panel, b.mul(tile, _constant(self.how.rows)))
            return []

        _loop(b, start, stop, 1, [], one)

    def tile(self, panel: ir.Value, first_row: ir.Value) -> None:
        b, given, columns = self.b, self.given, self.how.columns
        per_group = _ceiling(b, given["n_columns"], columns)
        group = b.udiv(panel, per_group)
        column = b.mul(b.sub(panel, b.mul(group, per_group)), _constant(columns))
        steps = b.mul(given["n_taps"], given["steps"])
        weights = b.mul(b.mul(panel, steps), _constant(4 * columns))
        shared = b.mul(panel, _constant(4 * columns))  # bytes before its 32-bit values
        sums = self.sums(
            group, first_row, b.add(given["weights"], weights), b.add(given["correction"], shared)
        )
        if self.requantized:
            sums = self.bytes(sums, b.add(given["multiplier"], shared))
        self.store(sums, group, first_row, column)

    def vectors_at(self, address: ir.Value, kind: ir.Type) -> Values:
        """As many neighbouring vectors as a tile has side by side."""
        return [
            _load(self.b, self.b.add(address, _constant(self.register_bytes * v)), kind)
            for v in range(self.how.vectors)
        ]

    def repeated(self, value: ir.Value, kind: ir.VectorType) -> ir.Value:
        """A vector with `value` in every lane."""
        undefined = ir.Constant(kind, ir.Undefined)
        first = self.b.insert_element(undefined, value, ir.Constant(I32, 0))
        return self.b.shuffle_vector(first, undefined, ir.Constant(self.ints, [0] * self.how.lanes))

    def sums(
        self, group: ir.Value, first_row: ir.Value, weights: ir.Value, correction: ir.Value
    ) -> Values:
        """The tile's sums plus correction: int32 vectors, row by row."""
        b, how, given = self.b, self.how, self.given
        item = _constant(how.x_type.itemsize)
        x = b.add(given["x"], b.mul(b.mul(group, given["x_group"]), item))
        offsets = b.add(given["rows"], b.mul(first_row, _constant(8)))
        rows = [
            b.add(x, b.mul(_load(b, b.add(offsets, _constant(8 * r)), I64), item))
            for r in range(how.rows)
        ]
        tap_bytes = b.mul(given["steps"], _constant(4))

        def step(offset: ir.Value, state: Values) -> Values:
            at, sums = state[0], state[1:]
            factors = self.vectors_at(at, self.ints)
            for r in range(how.rows):
                inputs = self.repeated(_load(b, b.add(rows[r], offset), I32), self.ints)
                for v in range(how.vectors):
                    place = r * how.vectors + v
                    sums[place] = how.dot(b, sums[place], inputs, factors[v])
            return [b.add(at, _constant(self.register_bytes * how.vectors)), *sums]

        def tap(index: ir.Value, state: Values) -> Values:
            offset = _load(b, b.add(given["taps"], b.mul(index, _constant(8))), I64)
            first = b.mul(offset, item)
            return _loop(b, first, b.add(first, tap_bytes), 4, state, step)

        start = self.vectors_at(correction, self.ints) * how.rows
        return _loop(b, _constant(0), given["n_taps"], 1, [weights, *start], tap)[1:]

    def bytes(self, sums: Values, multiplier: ir.Value) -> Values:
        """int8 vectors: clamp(float32(sum) * multiplier), rounded half to even, + zero point.

        Rounding is the processor's own, which a process leaves at half to even.
        """
        b, given, lanes = self.b, self.given, self.how.lanes
        nearest = declared(b, f"llvm.lrint.v{lanes}i32.v{lanes}f32", self.ints, [self.floats])
        shift = self.repeated(given["zero_point"], self.ints)
        low, high = (self.repeated(given[name], self.floats) for name in ("low", "high"))
        factors = self.vectors_at(multiplier, self.floats)
        result = []
        for place, value in enumerate(sums):
            scaled = b.fmul(b.sitofp(value, self.floats), factors[place % self.how.vectors])
            scaled = b.select(b.fcmp_ordered(">", scaled, low), scaled, low)
            scaled = b.select(b.fcmp_ordered("<", scaled, high), scaled, high)
            value = b.add(b.call(nearest, [scaled]), shift)
            result.append(b.trunc(value, ir.VectorType(I8, lanes)))
        return result

    def store(
        self, vectors: Values, group: ir.Value, first_row: ir.Value, column: ir.Value
    ) -> None:
        """Row by row; rows behind the last one are the last once more, and columns behind the last
        are left out, by way of the scratch memory."""
        b, given = self.b, self.given
        item = _constant(self.item_bytes)
        start = b.add(b.mul(group, given["out_group"]), column)
        start = b.add(given["out"], b.mul(start, item))
        stride = b.mul(given["out_stride"], item)
        last = b.sub(given["n_rows"], _constant(1))
        indices = [b.add(first_row, _constant(r)) for r in range(self.how.rows)]
        out = [b.add(start, b.mul(_smaller(b, index, last), stride)) for index in indices]
        scratch = [
            b.add(self.scratch, _constant(r * self.how.columns * self.item_bytes))
            for r in range(self.how.rows)
        ]
        left = b.sub(given["n_columns"], column)
        whole = b.icmp_signed(">=", left, _constant(self.how.columns))
        with b.if_else(whole) as (all_columns, some_columns):
            with all_columns:
                self.store_rows(vectors, out)
            with some_columns:
                self.store_rows(vectors, scratch)
                for source, target in zip(scratch, out, strict=True):
                    self.copy(source, target, left)

    def store_rows(self, vectors: Values, rows: Sequence[ir.Value]) -> None:
        count, size = self.how.vectors, self.how.lanes * self.item_bytes
        for place, vector in enumerate(vectors):
            address = self.b.add(rows[place // count], _constant(place % count * size))
            _store(self.b, vector, address)

    def copy(self, source: ir.Value, target: ir.Value, count: ir.Value) -> None:
        """`count` items, at least one."""

        def one(index: ir.Value, state: Values) -> Values:
            offset = self.b.mul(index, _constant(self.item_bytes))
            item = _load(self.b, self.b.add(source, offset), self.item)
            _store(self.b, item, self.b.add(target, offset))
            return []

        _loop(self.b, _constant(0), count, 1, [], one)
