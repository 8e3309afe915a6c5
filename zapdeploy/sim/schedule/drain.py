"""Output tiles of results on their way through the vector and activation units into memory, and the
memory port, which everything else passes too."""

from __future__ import annotations

from zapdeploy.compile.kernels.jit import compiled, inlined
from zapdeploy.compile.noc.mesh import receive_port, send_port
from zapdeploy.compile.regions import IntArray
from zapdeploy.sim.schedule.link_reservation import Reservations, busy_cycles
from zapdeploy.sim.schedule.machine import (
    ACTIVATION,
    LAYER,
    MATRIX,
    OPERANDS,
    OUTPUT_TILE,
    PARTIAL_SUMS,
    PORT,
    SENDING,
    VECTOR,
    Arrivals,
    Machine,
    Records,
    Trace,
    Work,
    share,
)


@compiled
def drain(
    machine: Machine,
    work: Work,
    arrivals: Arrivals,
    activation: Reservations,
    cores: Records,
    trace: Trace,
    sets: IntArray,
    basis: IntArray,
    accumulator_tile: int,
) -> None:
    """The next output tile of every core leaves, where it has `sets` of output columns in one.

    `accumulator_tile`: whose operands it is the first to read, -1 if they are there for sure;
    `basis`: nothing leaves before. Cores are taken in the order of their numbers, as are those of a
    chain.
    """
    tile_passes, output_tiles, operands = trace.tile_passes, trace.output_tiles, arrivals.operands
    others, ways, port_bytes = work.other, work.way, work.port_bytes
    vector, activations, sending = work.vector_cycles, work.activation_cycles, work.sending_cycles
    totals = work.output_tiles.sum(axis=0) * work.accumulator_tiles
    for k in range(machine.cores):
        if not sets[k]:
            continue
        core = cores[k]
        n, total = core.output_tiles, totals[k]
        output_tile = output_tiles[k, n]
        start, cause = basis[k], LAYER
        last = start
        if core.tile_passes:
            output_tile.first = core.tile_passes - sets[k]
            output_tile.last = core.tile_passes - 1
            start = tile_passes[k, output_tile.first].start + machine.matrix_latency
            last, cause = tile_passes[k, output_tile.last].end + machine.matrix_latency, MATRIX
        if n and core.drained >= start:
            start, cause = core.drained, OUTPUT_TILE
        if accumulator_tile >= 0:
            start, cause = _later(operands[k, accumulator_tile], OPERANDS, start, cause)
        other = others[k]
        if other >= 0:
            start, cause = _later(
                output_tiles[other, n].start + ways[k], PARTIAL_SUMS, start, cause
            )
        size = share(port_bytes[k], n, total)
        end, slowest = start + share(vector[k], n, total), VECTOR
        end, slowest = _later(start + share(activations[k], n, total), ACTIVATION, end, slowest)
        end, slowest = _later(start + share(sending[k], n, total), SENDING, end, slowest)
        through = start
        if not fits_port(machine, size, 0):
            through = port_end(machine, activation, k, start, start, size)
        end, slowest = _later(through, PORT, end, slowest)
        end, slowest = _later(last, MATRIX, end, slowest)
        if other >= 0:
            end, slowest = _later(output_tiles[other, n].end + ways[k], PARTIAL_SUMS, end, slowest)
        output_tile.start = start
        output_tile.end = end
        output_tile.start_cause = cause
        output_tile.end_cause = slowest
        core.leaving = start
        core.drained = end
        core.pending += size
        core.output_tiles += 1


@inlined
def _later(end: int, cause: int, latest: int, known: int) -> tuple[int, int]:
    """The later of two ends with its cause, the known one where they are equal."""
    if end > latest:
        return end, cause
    return latest, known


@inlined
def fits_port(machine: Machine, size: int, cycles: int) -> bool:
    """Whether the port moves so many bytes in so many cycles, whatever the core sends and
    receives beside them."""
    return size + 2 * machine.activation_width * cycles <= machine.port_width * cycles


@compiled
def port_end(
    machine: Machine, activation: Reservations, core: int, start: int, end: int, size: int
) -> int:
    """The first cycle, not before `end`, by which the port has moved `size` bytes since `start`,
    beside what the core sends and receives meanwhile."""
    width = machine.activation_width
    while True:
        busy = busy_cycles(activation, send_port(machine.cores, core), start, end)
        busy += busy_cycles(activation, receive_port(machine.cores, core), start, end)
        needed = start + -(-(size + width * busy) // machine.port_width)
        if needed <= end:
            return end
        end = needed
