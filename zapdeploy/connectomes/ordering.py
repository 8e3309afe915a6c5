"""An order of the neurons in which edges gather in blocks.

A graph partitioner (METIS, through pymetis) cuts the neurons into parts of about BLOCK neurons with
few edges between parts; its recursive bisection numbers near parts alike, so that parts that belong
together stay neighbours. Without pymetis, SciPy's reverse Cuthill-McKee orders them by bandwidth.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from zapdeploy.connectomes.connectome import Connectome
from zapdeploy.errors import UsageError
from zapdeploy.extras import load

METIS, CUTHILL_MCKEE, AS_GIVEN = "metis", "cuthill-mckee", "none"
METHODS = (METIS, CUTHILL_MCKEE, AS_GIVEN)
UNIT = 256  # blocks whose rows may be one product
BLOCK = 32  # rows and columns of a block: the values of 8 bits that a vector unit takes at once


@dataclass(frozen=True, eq=False)
class Ordering:
    """order [neurons]: which neuron comes at each place. method: how it was found."""

    order: NDArray[np.int64]
    method: str


def ordering(connectome: Connectome, method: str | None = None, seed: int = 0) -> Ordering:
    """The order of a wiring. method: "metis", "cuthill-mckee" or "none"; None: the first of them
    that is installed."""
    if method is not None and method not in METHODS:
        raise UsageError(f"--ordering must be one of {', '.join(METHODS)}, not '{method}'")
    chosen = method or (METIS if find_spec("pymetis") is not None else CUTHILL_MCKEE)
    every = np.arange(connectome.neurons)
    if chosen == AS_GIVEN or not connectome.edges:
        return Ordering(every, AS_GIVEN)
    if chosen == METIS:
        return Ordering(_by_parts(connectome, seed), METIS)
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    both = connectome.matrix()
    found = reverse_cuthill_mckee((both + both.T).tocsr(), symmetric_mode=True)
    return Ordering(found.astype(np.int64), CUTHILL_MCKEE)


def _by_parts(connectome: Connectome, seed: int) -> NDArray[np.int64]:
    metis = load("pymetis", "connectomes", "put neurons into order")
    parts = round(connectome.neurons / BLOCK)
    if parts < 2:
        return np.arange(connectome.neurons)
    matrix = connectome.matrix(np.ones(connectome.edges, np.int8))
    both = (matrix + matrix.T).tocsr()
    adjacency = metis.CSRAdjacency(both.indptr, both.indices)
    _, part = metis.part_graph(
        parts, adjacency=adjacency, recursive=True, options=metis.Options(seed=seed)
    )
    return _by_load(connectome, np.argsort(np.asarray(part), kind="stable"))


def _by_load(connectome: Connectome, order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Blocks that hear equally many blocks in one stretch of UNIT, so that products of equal size
    hold them; within a stretch as they were. A block that is not full stays the last."""
    across = connectome.neurons // BLOCK
    if across < 2 * UNIT:
        return order
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size)
    key = place[connectome.post] // BLOCK * (across + 1) + place[connectome.pre] // BLOCK
    hears = np.bincount(np.unique(key) // (across + 1), minlength=across + 1)[:across]
    rank = np.empty(across, np.int64)
    rank[np.argsort(hears, kind="stable")] = np.arange(across)
    blocks = np.argsort(rank // UNIT, kind="stable")
    full = order[: across * BLOCK].reshape(across, BLOCK)
    return np.concatenate([full[blocks].reshape(-1), order[across * BLOCK :]])


@dataclass(frozen=True)
class BlockFacts:
    """How a matrix lies in blocks of BLOCK rows and columns."""

    blocks: int
    of: int
    edges: int

    @property
    def share(self) -> float:
        """Of all blocks, those that hold an edge."""
        return self.blocks / self.of

    @property
    def fill(self) -> float:
        """Of the places in blocks that hold an edge, those with an edge."""
        return self.edges / max(self.blocks * BLOCK * BLOCK, 1)


def block_facts(connectome: Connectome, order: NDArray[np.int64]) -> BlockFacts:
    """Blocks that hold an edge, with the neurons in an order."""
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size)
    across = -(-connectome.neurons // BLOCK)
    key = place[connectome.post] // BLOCK * across + place[connectome.pre] // BLOCK
    return BlockFacts(int(np.unique(key).size), across * across, connectome.edges)
