"""An order of the neurons in which edges gather in blocks.

Two ways to cut the neurons into parts of BLOCK with few edges between them. A graph partitioner
(METIS, through pymetis) by recursive bisection, which numbers near parts alike. Or recursive
spectral bisection (Pothen, Simon and Liou 1990): a few leading vectors of the normalised adjacency
matrix, found by subspace iteration, place every neuron; sets of neurons are halved where they are
widest. Where nobody says which, both are tried and the one with fewer blocks is taken. Of more
blocks than a chip has cores, those of receivers are then spread so that cores have about as many
(`spreading`). SciPy's reverse Cuthill-McKee orders by bandwidth.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import IntArray
from zapdeploy.connectomes.connectome import Connectome
from zapdeploy.connectomes.spreading import CORES, spread
from zapdeploy.errors import UsageError
from zapdeploy.extras import load

METIS, SPECTRAL, CUTHILL_MCKEE, AS_GIVEN = "metis", "spectral", "cuthill-mckee", "none"
METHODS = (METIS, SPECTRAL, CUTHILL_MCKEE, AS_GIVEN)
VECTORS, ROUNDS = 24, 8  # of the spectral bisection
BLOCK = 32  # rows and columns of a block: the values of 8 bits that a vector unit takes at once


@dataclass(frozen=True, eq=False)
class Ordering:
    """order [neurons]: which neuron comes at each place. method: how it was found. gathered: the
    order before blocks of receivers were spread over cores."""

    order: IntArray
    method: str
    gathered: IntArray


def ordering(connectome: Connectome, method: str | None = None, seed: int = 0) -> Ordering:
    """The order of a wiring. method: "metis", "spectral", "cuthill-mckee" or "none"; None: the
    better one of the first two, METIS where it is installed."""
    if method is not None and method not in METHODS:
        raise UsageError(f"--ordering must be one of {', '.join(METHODS)}, not '{method}'")
    every = np.arange(connectome.neurons)
    if method == AS_GIVEN or not connectome.edges:
        return Ordering(every, AS_GIVEN, every)
    if method is None:
        names = (METIS, SPECTRAL) if find_spec("pymetis") is not None else (SPECTRAL,)
        tried = [ordering(connectome, name, seed) for name in names]
        return min(tried, key=lambda one: block_facts(connectome, one.order).blocks)
    if method == METIS:
        found = _by_parts(connectome, seed)
        return Ordering(_over_cores(connectome, found), METIS, found)
    if method == SPECTRAL:
        found = _spectral(connectome, seed)
        return Ordering(_over_cores(connectome, found), SPECTRAL, found)
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    both = connectome.matrix()
    order = reverse_cuthill_mckee((both + both.T).tocsr(), symmetric_mode=True).astype(np.int64)
    return Ordering(order, CUTHILL_MCKEE, order)


def _by_parts(connectome: Connectome, seed: int) -> IntArray:
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
    return np.argsort(np.asarray(part), kind="stable")


def _spectral(connectome: Connectome, seed: int) -> IntArray:
    """Neurons halved again and again, by their places on the sphere of the leading vectors."""
    matrix = connectome.matrix(np.ones(connectome.edges, np.float32))
    both = (matrix + matrix.T).tocsr()
    degree = np.diff(both.indptr)
    weight = (1 / np.sqrt(np.maximum(degree, 1))).astype(np.float32)
    both.data[:] = np.repeat(weight, degree) * weight[both.indices]
    count = connectome.neurons
    vectors = min(VECTORS, count)
    random = np.random.default_rng((seed, 15))
    places: NDArray[Any] = random.standard_normal((count, vectors), np.float32)
    for _ in range(ROUNDS):
        places = np.asarray(np.linalg.qr(both @ places)[0], np.float32)
    length = np.linalg.norm(places, axis=1, keepdims=True)
    places = places / np.where(length > 0, length, np.float32(1))
    done: list[IntArray] = []
    open_sets = [np.arange(count)]
    while open_sets:
        members = open_sets.pop()
        if members.size <= BLOCK:
            done.append(members)
            continue
        centred = places[members] - places[members].mean(axis=0)
        widest = np.linalg.eigh(centred.T @ centred)[1][:, -1]
        ranked = members[np.argsort(centred @ widest, kind="stable")]
        half = max(1, -(-(members.size // 2) // BLOCK)) * BLOCK
        open_sets += [ranked[half:], ranked[:half]]
    return np.concatenate(done)


def _over_cores(connectome: Connectome, order: IntArray) -> IntArray:
    """Blocks of receivers in an order in which cores have about as many blocks each. A block that
    is not full stays the last."""
    if connectome.neurons <= CORES * BLOCK:
        return order
    blocks = spread(_hears(connectome, order), connectome.neurons // BLOCK)
    places = (blocks[:, None] * BLOCK + np.arange(BLOCK)).reshape(-1)
    return order[places[: order.size]]


def _hears(connectome: Connectome, order: IntArray) -> NDArray[np.bool_]:
    """Which blocks of receivers hear which blocks of senders, with the neurons in an order."""
    across = -(-connectome.neurons // BLOCK)
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size)
    hears = np.zeros((across, across), np.bool_)
    hears[place[connectome.post] // BLOCK, place[connectome.pre] // BLOCK] = True
    return hears


def blocks_of_cores(connectome: Connectome, order: IntArray) -> IntArray:
    """Blocks that each of CORES has, if every one takes as many rows of blocks."""
    heard = _hears(connectome, order).sum(axis=1)
    return np.add.reduceat(heard, np.arange(0, heard.size, -(-heard.size // CORES)))


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


def block_facts(connectome: Connectome, order: IntArray) -> BlockFacts:
    """Blocks that hold an edge, with the neurons in an order."""
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size)
    across = -(-connectome.neurons // BLOCK)
    key = place[connectome.post] // BLOCK * across + place[connectome.pre] // BLOCK
    return BlockFacts(int(np.unique(key).size), across * across, connectome.edges)
