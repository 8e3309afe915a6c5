"""Sums over cut input channels: every core of a chain adds its part and passes the sum on."""

from __future__ import annotations

import numpy as np

from zapdeploy.compile.mapping.cost import PARTIAL_SUM_BYTES
from zapdeploy.compile.mapping.tiling import Cuts
from zapdeploy.compile.noc.messages import Messages
from zapdeploy.compile.regions import Region


def partial_sums(cuts: Cuts) -> Messages:
    """From each core of a chain to the next one; none when the reduction is not cut.

    Messages are in the order of their senders, which is the order along each chain. The boxes are
    of the layer's output, before requantization: int32.
    """
    place, length = cuts.coordinates[0, :, -1], int(cuts.factors[0, -1])
    out = cuts.output
    senders = np.flatnonzero((place < length - 1) & (out.volume[0] > 0))
    receivers = np.zeros((len(senders), cuts.cores), bool)
    receivers[np.arange(len(senders)), senders + 1] = True
    boxes = Region(out.low[0, senders], out.high[0, senders])
    return Messages(boxes, senders, receivers, 8 * PARTIAL_SUM_BYTES)
