"""Blocks of results on their way through the vector and activation units into memory, and the
memory port, which everything else passes too."""

from __future__ import annotations

from zapdeploy.compile.kernels.jit import compiled
from zapdeploy.sim.schedule.booking import Bookings, busy_cycles
from zapdeploy.sim.schedule.machine import (
    ACTIVATION,
    BLOCK,
    LAYER,
    MATRIX,
    OPERANDS,
    PARTIAL_SUMS,
    PORT,
    SENDING,
    VECTOR,
    Arrivals,
    Cores,
    Machine,
    Trace,
    Work,
    share,
)


@compiled
def leave(
    machine: Machine,
    work: Work,
    arrivals: Arrivals,
    activation: Bookings,
    cores: Cores,
    k: int,
    chunk: int,
    sets: int,
    basis: int,
    trace: Trace,
) -> None:
    """The next block of core k leaves.

    `chunk`: whose operands it is the first to read, -1 if they are there for sure; `sets` of output
    columns; `basis`: nothing leaves before.
    """
    n, total = cores.blocks[k], work.blocks[:, k].sum() * work.chunks
    slab, other = cores.slabs[k] - 1, work.other[k]
    start, last, cause = basis, basis, LAYER
    if slab >= 0:
        trace.block_first[k, n], trace.block_last[k, n] = slab - sets + 1, slab
        start = trace.slab_start[k, slab - sets + 1] + machine.matrix_latency
        last, cause = trace.slab_end[k, slab] + machine.matrix_latency, MATRIX
    if n and cores.drained[k] >= start:
        start, cause = cores.drained[k], BLOCK
    if chunk >= 0 and arrivals.operands[k, chunk] > start:
        start, cause = arrivals.operands[k, chunk], OPERANDS
    if other >= 0 and trace.block_start[other, n] + work.way[k] > start:
        start, cause = trace.block_start[other, n] + work.way[k], PARTIAL_SUMS
    size = share(work.port_bytes[k], n, total)
    end, slowest = start + share(work.vector_cycles[k], n, total), VECTOR
    if start + share(work.activation_cycles[k], n, total) > end:
        end, slowest = start + share(work.activation_cycles[k], n, total), ACTIVATION
    if start + share(work.sending_cycles[k], n, total) > end:
        end, slowest = start + share(work.sending_cycles[k], n, total), SENDING
    through = port_end(machine, activation, k, start, start, size)
    if through > end:
        end, slowest = through, PORT
    if last > end:
        end, slowest = last, MATRIX
    if other >= 0 and trace.block_end[other, n] + work.way[k] > end:
        end, slowest = trace.block_end[other, n] + work.way[k], PARTIAL_SUMS
    trace.block_start[k, n], trace.block_end[k, n] = start, end
    trace.start_cause[k, n], trace.end_cause[k, n] = cause, slowest
    cores.leaving[k], cores.drained[k] = start, end
    cores.pending[k] += size
    cores.blocks[k] += 1


@compiled
def port_end(
    machine: Machine, activation: Bookings, core: int, start: int, end: int, size: int
) -> int:
    """The first cycle, not before `end`, by which the port has moved `size` bytes since `start`,
    beside what the core sends and receives meanwhile."""
    width = machine.activation_width
    if size + 2 * width * (end - start) <= machine.port_width * (end - start):
        return end
    while True:
        busy = busy_cycles(activation, 4 * machine.cores + core, start, end)
        busy += busy_cycles(activation, 5 * machine.cores + core, start, end)
        needed = start + -(-(size + width * busy) // machine.port_width)
        if needed <= end:
            return end
        end = needed
