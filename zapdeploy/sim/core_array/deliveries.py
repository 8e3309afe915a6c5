"""A tensor's way to the cores that read it: sent, received, put together."""

from __future__ import annotations

from math import prod

import numpy as np

from zapdeploy.compile.graph import Array, Shape
from zapdeploy.compile.layers import Read
from zapdeploy.compile.noc.messages import Messages
from zapdeploy.compile.program.activations import Delivery
from zapdeploy.compile.regions import IntArray, Region, Slices
from zapdeploy.errors import SimulationError
from zapdeploy.sim.core_array.copying import (
    as_bits,
    assemble_boxes,
    paste_boxes,
    reindex_boxes,
    send_boxes,
)
from zapdeploy.sim.core_array.tiles import Tiles, filled_out


def send(messages: Messages, source: Tiles, what: str) -> Array:
    """What every core receives, message by message [cores, elements].

    `source` is what the cores hold, or one row: the framebuffer.
    """
    received = messages.received_elements
    stream = np.zeros((len(received), int(received.max(initial=0))), source.values.dtype)
    if not len(messages):
        return stream
    held, boxes = filled_out(source.box), filled_out(messages.boxes)
    senders = np.where(messages.senders < 0, 0, messages.senders)
    wrong = send_boxes(
        as_bits(source.values), held.low, held.extent,
        boxes.low, boxes.high, senders, messages.receivers, as_bits(stream),
    )  # fmt: skip
    if wrong >= 0:
        sender = int(messages.senders[wrong])
        asked = _box_text(messages.boxes, wrong)
        has = _box_text(source.box, sender) if sender >= 0 else "all of it in the framebuffer"
        raise SimulationError(
            f"core {sender} must hold {asked} to send it, not {has} ({what}); "
            "compile the model again"
        )
    return stream


def assemble(delivery: Delivery, own: Tiles | None, stream: Array, what: str) -> Tiles:
    """The box that each core needs, from what it holds (`own`) and what it received."""
    needed = filled_out(delivery.needed)
    out = np.zeros((len(needed.low), int(needed.volume.max(initial=0))), stream.dtype)
    covered = np.zeros(out.shape, np.uint8)
    if delivery.slices is not None:
        _leave_out(delivery.needed, delivery.slices, out, covered)
    nothing = np.zeros_like(needed.low)
    held = Region(nothing, nothing) if own is None else filled_out(own.box)
    values = stream if own is None else own.values
    boxes = filled_out(delivery.messages.boxes)
    assemble_boxes(
        as_bits(values), held.low, held.extent, as_bits(stream),
        boxes.low, boxes.high, delivery.messages.receivers,
        needed.low, needed.high, as_bits(out), covered,
    )  # fmt: skip
    _check_covered(covered, delivery.needed, what)
    return Tiles.own(out, delivery.needed)


NEVER_WRITTEN = 0x55  # what the bytes hold that a core is not sent: whoever reads them shows it


def _leave_out(needed: Region, slices: Slices, out: Array, covered: Array) -> None:
    """Mark what cores leave out of their boxes as what nobody waits for."""
    out.view(np.uint8)[...] = NEVER_WRITTEN
    for core in np.flatnonzero(needed.volume):
        extent = tuple(needed.extent[core].tolist())
        low, high = needed.low[core, slices.axis], needed.high[core, slices.axis]
        left = ~slices.wanted[0, core, np.arange(low, high) // slices.width]
        shape = [1] * len(extent)
        shape[slices.axis] = -1
        covered[core, : prod(extent)] = np.broadcast_to(left.reshape(shape), extent).reshape(-1)


def _check_covered(covered: Array, needed: Region, what: str) -> None:
    present = np.count_nonzero(covered, axis=1)
    lacking = np.flatnonzero(present < needed.volume)
    if not len(lacking):
        return
    core = int(lacking[0])
    extent = tuple(int(n) for n in needed.extent[core])
    first = np.unravel_index(int(np.argmin(covered[core])), extent)
    element = [int(a + b) for a, b in zip(first, needed.low[core], strict=True)]
    missing = int(needed.volume[core] - present[core])
    raise SimulationError(
        f"core {core} must hold or receive all of {_box_text(needed, core)}, not lack {missing} "
        f"elements, the first at {element} ({what}); compile the model again"
    )


def seen_through_views(tiles: Tiles, read: Read, box: Region, what: str) -> Tiles:
    """The reader's boxes of a tensor that it reads under another shape."""
    if not read.views:
        return tiles
    shape = read.call.input(read.input).shape
    return reindexed(tiles, read.source.shape, box, shape, what)


def reindexed(tiles: Tiles, source: Shape, box: Region, shape: Shape, what: str) -> Tiles:
    """Boxes of a tensor with the same elements in the same order under another shape."""
    out = np.zeros((len(box.low), int(box.volume.max(initial=0))), tiles.values.dtype)
    fill_from(tiles, source, box, shape, np.zeros(0, np.int64), (0, int(np.prod(shape))), out, what)
    return Tiles.own(out, box)


def fill_from(
    tiles: Tiles, source: Shape, box: Region, shape: Shape,
    origin: IntArray, numbers: tuple[int, int], out: Array, what: str,
) -> None:  # fmt: skip
    """Write those elements of boxes into `out` that come from a source tensor.

    The tensor's element f is the source's element origin[f] - numbers[0], if origin[f] is in the
    range `numbers`; without an origin it is f.
    """
    values = tiles.values[tiles.row]
    held, wanted = filled_out(tiles.box), filled_out(box)
    wrong = reindex_boxes(
        as_bits(np.ascontiguousarray(values)), held.low, held.extent,
        np.array(source or (1,), np.int64), wanted.low, wanted.high,
        np.array(shape or (1,), np.int64), origin, *numbers, as_bits(out),
    )  # fmt: skip
    if wrong >= 0:
        raise SimulationError(
            f"core {wrong} must hold all that it reads, not {_box_text(tiles.box, wrong)} alone "
            f"({what}); compile the model again"
        )


def _box_text(region: Region, index: int) -> str:
    pairs = zip(region.low[index], region.high[index], strict=True)
    return "[" + ", ".join(f"{low}:{high}" for low, high in pairs) + "]"


def gather(tiles: Tiles, shape: Shape, what: str) -> Array:
    """A whole tensor from the boxes that cores hold of it."""
    whole = np.zeros(shape, tiles.values.dtype)
    covered = np.zeros(whole.size, np.uint8)
    frame = filled_out(Region(*(np.array([b], np.int64) for b in ((0,) * len(shape), shape))))
    held = filled_out(tiles.box)
    paste_boxes(
        as_bits(tiles.values), held.low, held.high, as_bits(whole.reshape(-1)),
        frame.low[0], frame.extent[0], covered,
    )  # fmt: skip
    if not covered.all():
        element = [int(i) for i in np.unravel_index(int(np.argmin(covered)), shape)]
        raise SimulationError(
            f"some core must hold element {element}, not none ({what}); compile the model again"
        )
    return whole
