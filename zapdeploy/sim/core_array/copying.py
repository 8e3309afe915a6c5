"""Boxes of tensors copied between flat buffers, for all cores in one call.

A buffer holds a box of a tensor row by row; a frame is the box's first element and its extents.
Arrays of elements come as unsigned integers of their size, since copying is all that is done.
"""

from __future__ import annotations

import numpy as np

from zapdeploy.compile.graph import Array
from zapdeploy.compile.kernels.jit import compiled


def as_bits(values: Array) -> Array:
    """The same memory as unsigned integers, so that few types of kernels are compiled."""
    return values.view(f"uint{8 * values.itemsize}")


@compiled
def copy_box(
    source: Array, source_low: Array, source_extent: Array,
    target: Array, target_low: Array, target_extent: Array,
    low: Array, high: Array, written: Array,
) -> None:  # fmt: skip
    """The box [low, high) from one buffer to another; `written` marks the target's elements."""
    rank = len(low)
    for d in range(rank):
        if high[d] <= low[d]:
            return
    at = low.copy()
    run = high[rank - 1] - low[rank - 1]
    while True:
        s, t = 0, 0
        for d in range(rank):
            s = s * source_extent[d] + at[d] - source_low[d]
            t = t * target_extent[d] + at[d] - target_low[d]
        for i in range(run):
            target[t + i] = source[s + i]
            written[t + i] = 1
        d = rank - 2
        while d >= 0:
            at[d] += 1
            if at[d] < high[d]:
                break
            at[d] = low[d]
            d -= 1
        if d < 0:
            return


@compiled
def cut_boxes(
    source: Array, source_low: Array, source_extent: Array, row: Array,
    low: Array, high: Array, out: Array,
) -> None:  # fmt: skip
    """out[i] is the box [low[i], high[i]) of source[row[i]]."""
    written = np.zeros(out.shape[1], np.uint8)
    for i in range(len(row)):
        r = row[i]
        extent = np.maximum(high[i] - low[i], 0)
        copy_box(
            source[r], source_low[r], source_extent[r], out[i], low[i], extent,
            low[i], high[i], written,
        )  # fmt: skip


@compiled
def send_boxes(
    source: Array, source_low: Array, source_extent: Array,
    low: Array, high: Array, senders: Array, receivers: Array, stream: Array,
) -> int:  # fmt: skip
    """Append every message's box to the stream of each receiver, in the order of the messages.

    source [senders, elements], low and high [messages, rank], receivers [messages, cores], stream
    [cores, elements]. The first message whose sender does not hold its box, or -1.
    """
    filled = np.zeros(stream.shape[0], np.int64)
    for m in range(len(senders)):
        s = senders[m]
        extent = np.maximum(high[m] - low[m], 0)
        count = 1
        for d in range(len(extent)):
            count *= extent[d]
        if count == 0:
            continue
        for d in range(len(extent)):
            if low[m, d] < source_low[s, d] or high[m, d] > source_low[s, d] + source_extent[s, d]:
                return m
        piece = np.empty(count, source.dtype)
        written = np.empty(count, np.uint8)
        copy_box(
            source[s], source_low[s], source_extent[s], piece, low[m], extent,
            low[m], high[m], written,
        )  # fmt: skip
        for core in range(stream.shape[0]):
            if receivers[m, core]:
                stream[core, filled[core] : filled[core] + count] = piece
                filled[core] += count
    return -1


@compiled
def assemble_boxes(
    held: Array, held_low: Array, held_extent: Array, stream: Array,
    low: Array, high: Array, receivers: Array,
    needed_low: Array, needed_high: Array, out: Array, covered: Array,
) -> None:  # fmt: skip
    """Each core's needed box, from the part of it that the core holds and from its stream.

    Everything as in `send_boxes`; held [cores, elements] (extent 0: nothing held), out and covered
    [cores, elements].
    """
    filled = np.zeros(stream.shape[0], np.int64)
    extent = np.maximum(needed_high - needed_low, 0)
    for core in range(len(out)):
        first = np.maximum(needed_low[core], held_low[core])
        last = np.minimum(needed_high[core], held_low[core] + held_extent[core])
        copy_box(
            held[core], held_low[core], held_extent[core],
            out[core], needed_low[core], extent[core], first, last, covered[core],
        )  # fmt: skip
    for m in range(len(low)):
        shape = np.maximum(high[m] - low[m], 0)
        count = 1
        for d in range(len(shape)):
            count *= shape[d]
        for core in range(stream.shape[0]):
            if receivers[m, core]:
                first = np.maximum(needed_low[core], low[m])
                last = np.minimum(needed_high[core], high[m])
                copy_box(
                    stream[core, filled[core] :], low[m], shape,
                    out[core], needed_low[core], extent[core], first, last, covered[core],
                )  # fmt: skip
                filled[core] += count


@compiled
def paste_boxes(
    source: Array, low: Array, high: Array,
    out: Array, out_low: Array, out_extent: Array, covered: Array,
) -> None:  # fmt: skip
    """Every row of `source`, the box [low, high) of a tensor, into `out`; the rest is left."""
    for i in range(len(source)):
        extent = np.maximum(high[i] - low[i], 0)
        copy_box(source[i], low[i], extent, out, out_low, out_extent, low[i], high[i], covered)


@compiled
def reindex_boxes(
    source: Array, source_low: Array, source_extent: Array, source_shape: Array,
    low: Array, high: Array, shape: Array,
    origin: Array, first: int, last: int, out: Array,
) -> int:  # fmt: skip
    """Elements of boxes of one tensor that are elements of another, wherever they lie in it.

    The tensor's element with flat index f is the source's element number origin[f] - first, if
    origin[f] is in [first, last); an empty `origin` stands for f itself. Others are left alone.
    The first core whose source box lacks an element, or -1.
    """
    rank, source_rank = len(shape), len(source_shape)
    for core in range(len(out)):
        count = 1
        for d in range(rank):
            count *= max(high[core, d] - low[core, d], 0)
        at = low[core].copy()
        for i in range(count):
            flat = 0
            for d in range(rank):
                flat = flat * shape[d] + at[d]
            number = flat if len(origin) == 0 else origin[flat]
            if first <= number < last:
                rest, place, stride = number - first, 0, 1
                for k in range(source_rank):
                    d = source_rank - 1 - k
                    local = rest % source_shape[d] - source_low[core, d]
                    rest //= source_shape[d]
                    if local < 0 or local >= source_extent[core, d]:
                        return core
                    place += local * stride
                    stride *= source_extent[core, d]
                out[core, i] = source[core, place]
            d = rank - 1
            while d >= 0:
                at[d] += 1
                if at[d] < high[core, d]:
                    break
                at[d] = low[core, d]
                d -= 1
    return -1


@compiled
def gather_bytes(source: Array, row: Array, first: Array, count: Array, out: Array) -> None:
    """out[i, :count[i]] is source[row[i]] from first[i] on."""
    for i in range(len(row)):
        for k in range(count[i]):
            out[i, k] = source[row[i], first[i] + k]
