"""Activations on the move: halos, channel gathers and changes of layout, piece by piece."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zapdeploy.compile.layers import Read
from zapdeploy.compile.noc.mesh import Mesh
from zapdeploy.compile.noc.messages import Messages
from zapdeploy.compile.noc.transfers import equal_boxes, pieces
from zapdeploy.compile.regions import Region, Slices


@dataclass(frozen=True, eq=False)
class Delivery:
    """One tensor that a layer reads.

    `held`: the boxes that cores hold since the tensor was computed (state: in the frame before),
    None for a network input, which lies in the framebuffer; `needed`: the boxes that they read
    [cores, rank]; `messages`: what they need and do not hold. `slices`: what they leave out of
    their boxes, [1, cores, slices]; None: nothing.
    """

    read: Read
    held: Region | None
    needed: Region
    messages: Messages
    slices: Slices | None = None

    @property
    def source(self) -> str:
        """The stored tensor's name."""
        return self.read.source.name


def from_cores(
    read: Read, held: Region, needed: Region, bits: int, slices: Slices | None = None
) -> Delivery:
    """A tensor that an earlier layer left in the cores; regions are [cores, rank].

    It is cut at every border of a held or needed box. A piece is sent by the first core that holds
    it to all that want it and do not hold it.
    """
    boxes, holds, wants = pieces(_leading(held), _leading(needed), slices)
    missing = wants & ~holds
    travels = missing.any(axis=1) & holds.any(axis=1)
    boxes = Region(boxes.low[travels], boxes.high[travels])
    messages = Messages(boxes, holds[travels].argmax(axis=1), missing[travels], bits)
    return Delivery(read, held, needed, messages, slices)


def from_framebuffer(
    read: Read,
    needed: Region,
    bits: int,
    mesh: Mesh,
    slices: Slices | None = None,
) -> Delivery:
    """A network input: each row's port sends every box that cores of its row want, once."""
    row, _ = mesh.position(np.arange(mesh.cores))
    if slices is not None:
        whole = _leading(needed)
        boxes, _, wants = pieces(Region(whole.low, whole.low), whole, slices)
        piece, port = np.nonzero(mesh.grid(wants).any(axis=2))
        here: NDArray[np.bool_] = wants[piece] & (row[None] == port[:, None])
        sent = Region(boxes.low[piece], boxes.high[piece])
        return Delivery(read, None, needed, Messages(sent, mesh.ports(port), here, bits), slices)
    group = equal_boxes(_leading(needed), row)[0]
    wanted = needed.volume > 0
    groups, first = np.unique(np.where(wanted, group, -1), return_index=True)
    first = first[groups >= 0]
    receivers: NDArray[np.bool_] = (group[None] == group[first][:, None]) & wanted[None]
    boxes = Region(needed.low[first], needed.high[first])
    messages = Messages(boxes, mesh.ports(row[first]), receivers, bits)
    return Delivery(read, None, needed, messages)


def _leading(region: Region) -> Region:
    return Region(region.low[None], region.high[None])
