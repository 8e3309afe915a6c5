"""What travels over a network: parts of one tensor, from one core to others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zapdeploy.compile.regions import IntArray, Region


@dataclass(frozen=True, eq=False)
class Messages:
    """Boxes of a tensor on their way; arrays over messages.

    `boxes` [messages, rank]: in the tensor's coordinates. `senders` [messages]: the core that reads
    the box from its memory; -1 - r is the framebuffer's port at the west end of row r. `receivers`
    [messages, cores]: who gets it, the sender not among them. `bits`: of an element.
    A message travels as a tree: along its sender's row as far as any receiver's column, then along
    these columns; `rows_first` False: along the column first, then the rows.
    """

    boxes: Region
    senders: IntArray
    receivers: NDArray[np.bool_]
    bits: int
    rows_first: bool = True

    def __len__(self) -> int:
        return len(self.senders)

    @property
    def elements(self) -> IntArray:
        """Elements of each message [messages]."""
        return self.boxes.volume

    @property
    def received_elements(self) -> IntArray:
        """Elements that reach each core [cores]."""
        return self.elements @ self.receivers.astype(np.int64)

    def pick(self, chosen: NDArray[np.bool_]) -> Messages:
        """Some of the messages."""
        boxes = Region(self.boxes.low[chosen], self.boxes.high[chosen])
        senders, receivers = self.senders[chosen], self.receivers[chosen]
        return Messages(boxes, senders, receivers, self.bits, self.rows_first)
