"""What the pipeline works on: plain arrays in whole cycles and bytes, and what it leaves behind."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zapdeploy.compile.kernels.jit import inlined
from zapdeploy.compile.regions import IntArray

Records = NDArray[np.void]
Record = Any  # one of them, as compiled functions see it

# Why a tile pass did not start earlier, or an output tile did not begin or end earlier.
(
    LAYER,  # the layer had not started
    MATRIX,  # the tile pass before was running; the output tile's sums came no earlier
    WEIGHTS,  # weights on their way over the model network
    OWN_WEIGHTS,  # weights on their way from the core's own memory
    INPUTS,  # inputs on their way over the activation network
    ACCUMULATORS,  # sums that were not drained yet
    OUTPUT_TILE,  # the output tile before was leaving
    OPERANDS,  # operands on their way over the activation network
    PARTIAL_SUMS,  # the sums of the core before in the chain
    VECTOR,
    ACTIVATION,
    PORT,
    SENDING,  # the partial-sum network's width
) = range(13)


class Machine(NamedTuple):
    """Cores of the array; widths in bytes a cycle, latencies in cycles."""

    cores: int
    input_width: int
    port_width: int
    model_width: int
    model_hop: int
    activation_width: int
    matrix_latency: int
    vector_latency: int


class Work(NamedTuple):
    """What each core does.

    Of the matrix unit [tiles, cores]: positions, sets of output columns, the output tiles that
    these make up in an accumulator tile, and input vectors. The rest [cores]: cycles of the vector
    and activation units and of the partial-sum network; bytes of results and operands through the
    port; bytes that are loaded from the core's own memory as weights, in every accumulator tile;
    cycles from the units to the memory; the core whose partial sums a core takes (-1: none), and
    how long they take.
    """

    accumulator_tiles: int
    positions: IntArray
    sets: IntArray
    output_tiles: IntArray
    vectors: IntArray
    vector_cycles: IntArray
    activation_cycles: IntArray
    sending_cycles: IntArray
    port_bytes: IntArray
    own_bytes: IntArray
    after: IntArray
    other: IntArray
    way: IntArray


class Weights(NamedTuple):
    """Slices that several cores share: the groups of these cores.

    Of each group: the bytes of the slice and of each part, and the members in the order of their
    parts, `member[first[g]:first[g + 1]]`. Trees are those of the senders, `tree` [cores].
    """

    size: IntArray
    part: IntArray
    first: IntArray
    member: IntArray
    tree: IntArray
    tree_first: IntArray
    links: IntArray
    hops: IntArray


class Arrivals(NamedTuple):
    """When what a core reads has arrived.

    Stages of its input, `vectors_each` each [cores, accumulator tiles, stages], and other operands
    [cores, accumulator tiles], in the order in which the core takes its accumulator tiles [cores,
    accumulator tiles].
    """

    inputs: IntArray
    vectors_each: int
    operands: IntArray
    accumulator_tile_order: IntArray


class State(NamedTuple):
    """What a layer finds: when each core began its last tile pass (its second register is free
    since then), the first cycle in which weights may travel, the cycle in which the layer
    starts."""

    begun: IntArray
    early: int
    start: int


class Trace(NamedTuple):
    """Tile passes [cores, tile passes] and output tiles [cores, output tiles] as they ran, and what
    they waited for.

    `tile_pass_from`: the core that held a tile pass up; `tile_pass_stretch`: cycles that the memory
    port adds to it; `output_tile_first`, `output_tile_last`: the tile passes that yield an output
    tile's sums. `sent`: of every packet of weights the tree, start, cycles and bytes [packets, 4],
    -1 where there was none.
    """

    tile_passes: Records
    output_tiles: Records
    sent: IntArray

    @property
    def tile_pass_start(self) -> IntArray:
        return self.tile_passes["start"]

    @property
    def tile_pass_end(self) -> IntArray:
        return self.tile_passes["end"]

    @property
    def tile_pass_cause(self) -> IntArray:
        return self.tile_passes["cause"]

    @property
    def tile_pass_from(self) -> IntArray:
        return self.tile_passes["held_up_by"]

    @property
    def tile_pass_stretch(self) -> IntArray:
        return self.tile_passes["stretch"]

    @property
    def output_tile_first(self) -> IntArray:
        return self.output_tiles["first"]

    @property
    def output_tile_last(self) -> IntArray:
        return self.output_tiles["last"]

    @property
    def output_tile_start(self) -> IntArray:
        return self.output_tiles["start"]

    @property
    def output_tile_end(self) -> IntArray:
        return self.output_tiles["end"]

    @property
    def start_cause(self) -> IntArray:
        return self.output_tiles["start_cause"]

    @property
    def end_cause(self) -> IntArray:
        return self.output_tiles["end_cause"]


# One record per core, tile pass and output tile: compiled functions take a record by its address,
# while every array that they are given costs them two counts of its references, however little they
# do.
def _record(names: str) -> np.dtype[np.void]:
    """Integers of these names."""
    return np.dtype({"names": names.split(), "formats": [np.int64] * len(names.split())})


TILE_PASS_RECORD = _record("start end cause held_up_by stretch")
OUTPUT_TILE_RECORD = _record("first last start end start_cause end_cause")
# How far a core has come: tile passes and output tiles so far; when weights are there (from the
# network and the core that held them up, from the own memory); when the last tile pass began and
# ended, when the last output tile began to leave and had left; bytes that wait for the port.
CORE_RECORD = _record(
    "tile_passes output_tiles ready held_up_by own_ready begun free leaving drained pending"
)


def cores_at(begun: IntArray, start: int) -> Records:
    """All cores at the start of a layer [cores]."""
    cores = np.zeros(len(begun), CORE_RECORD)
    cores["held_up_by"] = -1
    cores["begun"] = begun
    for name in ("free", "leaving", "drained"):
        cores[name] = start
    return cores


def empty_trace(cores: int, tile_passes: int, output_tiles: int, packets: int) -> Trace:
    """Room for as many tile passes, output tiles and packets."""
    no_output_tiles = np.zeros((cores, output_tiles), OUTPUT_TILE_RECORD)
    no_output_tiles["first"] = no_output_tiles["last"] = -1
    return Trace(
        np.zeros((cores, tile_passes), TILE_PASS_RECORD),
        no_output_tiles,
        np.full((packets, 4), -1, np.int64),
    )


@inlined
def share(total: int, part: int, parts: int) -> int:
    """One of nearly equal whole parts of a total."""
    return total * (part + 1) // parts - total * part // parts
