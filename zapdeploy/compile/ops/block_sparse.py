"""A product with a sparse matrix: only blocks that hold a weight are stored, sent and computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np

from zapdeploy.compile.graph import Array, Call, Shape
from zapdeploy.compile.ops import boxes
from zapdeploy.compile.ops.base import NO_TRAITS, MatrixTile, Traits, register
from zapdeploy.compile.ops.matrix import MatrixOperator, Operands, matrix_tile
from zapdeploy.compile.regions import IntArray, Region, Slices
from zapdeploy.errors import ModelError

MOST_PARTS = 16  # products that a core's groups are counted as, one after the other


@register
class BlockSparse(MatrixOperator):
    """y[m, g R + r] = sum over t in [first[g], first[g + 1]) of x[m, blocks[t]] . w[t, r].

    x [M, blocks, B], w [T, R, B], bias [G R] or absent, two absent, blocks uint16 or int32 [T];
    y [M, G R, 1]. Attributes first [G + 1], and pattern, a digest of blocks. A group's R outputs
    are made by one core, which reads the blocks of x that any of its groups meets, and keeps the
    weights of these groups and the numbers of their blocks. Scales of w run over outputs; its zero
    point is 0.
    """

    name: ClassVar[str] = "BlockSparse"
    traits: ClassVar[Traits] = NO_TRAITS
    summary: ClassVar[str] = (
        "product with a sparse matrix (Gather of blocks by constant indices, then a grouped Conv)"
    )

    def infer(self, call: Call) -> tuple[Shape, ...]:
        x, w, node = call.input(0).shape, call.input(1).shape, call.node.name
        self.check_types(call)
        first, blocks = _first(call), _blocks(call)
        if len(x) != 3 or len(w) != 3 or x[2] != w[2] or w[0] != blocks.size:
            raise ModelError(
                f"blocks must be of equal length and as many as weights, not {list(x)}, {list(w)} "
                f"and {blocks.size} (node '{node}')"
            )
        if first[0] or first[-1] != w[0] or (np.diff(first) < 0).any():
            raise ModelError(f"groups must hold all {w[0]} blocks in order (node '{node}')")
        if blocks.size and not 0 <= blocks.min() <= blocks.max() < x[1]:
            raise ModelError(f"blocks must be in [0, {x[1]}) (node '{node}')")
        return ((x[0], (first.size - 1) * w[1], 1),)

    def weight_axis(self, call: Call) -> int:
        return 0

    def channels(self, call: Call) -> int:
        return call.output.shape[1]

    def kept_axis(self, call: Call, axis: int) -> int | None:
        return 0 if axis == 0 else None

    def channel_axis(self, call: Call) -> int:
        return 1

    def cuttable(self, call: Call) -> tuple[bool, ...]:
        return True, True, False

    def grain(self, call: Call) -> tuple[int, ...]:
        return 1, call.input(1).shape[1], 1

    def most_products(self, call: Call) -> int:
        return int(np.diff(_first(call)).max(initial=0)) * call.input(1).shape[2]

    def weight_sums(self, call: Call, magnitudes: Array) -> Array:
        """Group by group; the weights may have a further first axis, that of cores."""
        inputs = magnitudes.sum(axis=-1)  # [..., T, R]
        return _by_group(np.moveaxis(inputs, -2, 0), _first(call))

    def input_regions(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[Region | None, ...]:
        x, w = call.input(0).shape, call.input(1).shape
        empty = boxes.is_empty(out)
        low, high = _groups(call, out)
        first = _first(call)
        mine = first[low], first[high]
        reached = _reach(call, mine)
        rest = [boxes.per_channel(v, call.output.shape[1], boxes.span(out, 1), empty)
                for v in call.inputs[2:5]]  # fmt: skip
        return (
            boxes.box([boxes.span(out, 0), reached, boxes.full(x[2])], empty),
            boxes.box([mine, boxes.full(w[1]), boxes.full(w[2])], empty),
            *rest,
            boxes.box([mine], empty),
        )

    def slices(self, call: Call, index: int, out: Region) -> Slices | None:
        if index != 0:
            return None
        low, high = _groups(call, out)
        group = np.repeat(np.arange(_first(call).size - 1), np.diff(_first(call)))
        met = np.zeros((_first(call).size, call.input(0).shape[1]), np.int32)
        met[group + 1, _blocks(call)] = 1
        np.cumsum(met, axis=0, out=met)
        return Slices(1, 1, met[high] > met[low])

    def tile_attributes(
        self, call: Call, out: Region, inputs: Sequence[Region | None]
    ) -> Mapping[str, Array]:
        """`first` of the groups of each box, and in `tile_blocks` the blocks as they are counted in
        its box of x; -1 behind the last."""
        low, high = _groups(call, out)
        first, blocks, x = _first(call), _blocks(call), inputs[0]
        assert x is not None
        most = int((high - low).max(initial=0))
        ends = first[np.minimum(low[:, None] + np.arange(most + 1), high[:, None])]
        length = int((first[high] - first[low]).max(initial=0))
        at = first[low][:, None] + np.arange(length)
        own = blocks[np.minimum(at, max(blocks.size - 1, 0))] if blocks.size else at
        inside = at < first[high][:, None]
        return {
            "first": ends - first[low][:, None],
            "tile_blocks": np.where(inside, own - x.low[:, 1, None], -1),
        }

    def accumulate(self, call: Call, x: Array, w: Array) -> Array:
        count, rows = w.shape[1], w.shape[2]
        blocks = np.asarray(call.ints("tile_blocks"), np.int64)[:count]
        met = np.moveaxis(x[:, :, blocks], 2, 1)  # [cores, T, M, B]
        products = met @ w.swapaxes(2, 3)  # [cores, T, M, R]
        groups = call.output.shape[1] // rows
        first = np.asarray(call.ints("first"), np.int64)[: groups + 1]
        sums = np.moveaxis(_by_group(np.moveaxis(products, 1, 0), first), 0, 2)
        return sums.reshape(*x.shape[:2], groups * rows, 1)

    def operands(self, call: Call, x: Array, w: Array, fill: int) -> Iterator[tuple[Array, Array]]:
        """Groups of equally many blocks together; a run is a block."""
        blocks = np.asarray(call.ints("tile_blocks"), np.int64)
        first = np.asarray(call.ints("first"), np.int64)
        first = first[: call.output.shape[1] // w.shape[2] + 1]
        counts = np.diff(first)
        for count in np.unique(counts[counts > 0]):
            at = first[:-1][counts == count, None] + np.arange(count)  # [groups, blocks]
            vectors = x[:, :, blocks[at]].transpose(0, 2, 1, 3, 4)
            yield vectors, w[:, at].swapaxes(2, 3)

    def kernel(self, call: Call, operands: Operands) -> Callable[[Array], Array]:
        from zapdeploy.compile.kernels.block_sparse import prepare_block_sparse

        return prepare_block_sparse(
            operands.w,
            _first(call),
            _blocks(call),
            x_dtype=call.input(0).element.numpy,
            x_zero_point=operands.x_zero_point,
            bias=operands.bias,
            requantization=operands.requantization,
        )

    def matrix_tile(self, call: Call, out: Region, reduction: Region | None = None) -> MatrixTile:
        low, high = _groups(call, out)
        return self._tile(call, out, low, high)

    def matrix_tiles(
        self, call: Call, out: Region, reduction: Region | None = None
    ) -> tuple[MatrixTile, ...]:
        """One for each group of a core, or for several where it has very many."""
        low, high = _groups(call, out)
        most = int((high - low).max(initial=1))
        each = -(-most // MOST_PARTS)
        starts = range(0, max(most, 1), each)
        ends = [(np.minimum(low + s, high), np.minimum(low + s + each, high)) for s in starts]
        return tuple(self._tile(call, out, *end) for end in ends)

    def _tile(self, call: Call, out: Region, low: IntArray, high: IntArray) -> MatrixTile:
        """Groups [low, high): their blocks as runs of one matrix. Sums of several groups take
        their turns in the same accumulators. A box that begins or ends inside a group, as no core's
        does, counts as rows one by one."""
        _, rows, inputs = call.input(1).shape
        first = _first(call)
        met = first[high] - first[low]
        begin, end = boxes.span(out, 1)
        head = np.maximum(begin - low * rows, 0) * (first[np.minimum(low + 1, high)] - first[low])
        tail = np.maximum(high * rows - end, 0) * (first[high] - first[np.maximum(high - 1, low)])
        whole = (head == 0) & (tail == 0)
        runs = np.where(whole, met, np.maximum(met * rows - head - tail, 0))
        columns = np.where(whole, rows, 1)
        some = np.where(high > low, 1, 0)  # of no blocks, the outputs are still made: of the bias
        return matrix_tile(out.extent[..., 0], some, columns, runs, np.asarray(inputs))


def _first(call: Call) -> IntArray:
    return np.asarray(call.ints("first"), np.int64)


def _blocks(call: Call) -> IntArray:
    data = call.input(5).data
    assert data is not None
    return data.astype(np.int64)


def _groups(call: Call, out: Region) -> tuple[IntArray, IntArray]:
    """The groups that boxes make the outputs of [low, high); tiles hold whole groups."""
    rows = call.input(1).shape[1]
    low, high = boxes.span(out, 1)
    return low // rows, np.maximum(-(-high // rows), low // rows)


def _reach(call: Call, span: boxes.Span) -> boxes.Span:
    """The first and last block among those at [low, high), and one past it."""
    from zapdeploy.compile.ops.selection import reach

    blocks = _blocks(call)
    if not blocks.size:
        return np.zeros_like(span[0]), np.zeros_like(span[0])
    low, high = reach(blocks, span)
    none = span[1] <= span[0]
    return np.where(none, 0, low), np.where(none, 0, high)


def _by_group(values: Array, first: IntArray) -> Array:
    """Sums of values [T, ...] over the blocks of each group [G, ...]."""
    found = np.zeros((first.size - 1, *values.shape[1:]), values.dtype)
    filled = np.flatnonzero(np.diff(first) > 0)
    if filled.size:
        found[filled] = np.add.reduceat(values, first[filled], axis=0)
    return found
