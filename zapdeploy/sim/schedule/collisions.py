"""No two messages on one link in one cycle: looked up again, packet by packet, after scheduling.

Nothing here knows how starts were found. Every packet's time on every link of its tree is written
down; on each link, the next begin in order must not come before the end in the same place of the
order. (Then never more than one has begun and not ended.)
"""

from __future__ import annotations

import numpy as np

from zapdeploy.compile.noc.mesh import Mesh, Trees, trees
from zapdeploy.compile.regions import IntArray
from zapdeploy.errors import SimulationError
from zapdeploy.sim.schedule.layer import LayerSchedule, meshes


def check_collisions(layer: LayerSchedule) -> None:
    """Raise SimulationError if a link, a port or a register's input is used twice in a cycle."""
    target = layer.target
    activation, model = meshes(target)
    where = f"layer '{layer.events.program.name}'"
    found = [
        link_times(activation, s.trees, s.packets.message, s.start, s.cycles)
        for s in layer.arrived.sendings
    ]
    if found:
        links, begin, end = (np.concatenate(part) for part in zip(*found, strict=True))
        check_links(activation, "activation", links, begin, end, where)
    tree, start, cycles = layer.sent_weights[:, :3].T
    times = link_times(model, layer.weight_trees, tree, start, cycles)
    check_links(model, "model", *times, where)
    sums = layer.events.partial_sums
    if len(sums):
        mesh = partial_sum_mesh(layer)
        output_tiles = layer.trace.output_tile_start[sums.senders]
        message = np.repeat(np.arange(len(sums)), output_tiles.shape[1])
        ends = layer.trace.output_tile_end[sums.senders]
        times = link_times(
            mesh, trees(mesh, sums), message, output_tiles.ravel(), (ends - output_tiles).ravel()
        )
        check_links(mesh, "partial-sum", *times, where)


def partial_sum_mesh(layer: LayerSchedule) -> Mesh:
    """The network of partial sums."""
    return Mesh.of(layer.target, "partial_sum")


def link_times(
    mesh: Mesh, found: Trees, message: IntArray, start: IntArray, cycles: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Every link that packets take, and when: links, begins and ends."""
    sizes = found.sizes[message]
    packet = np.repeat(np.arange(len(message)), sizes)
    place = np.arange(len(packet)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    entry = found.first[message][packet] + place
    begin = start[packet] + found.hops[entry] * mesh.hop_latency
    return found.links[entry], begin, begin + cycles[packet]


def check_links(
    mesh: Mesh, network: str, links: IntArray, begin: IntArray, end: IntArray, where: str
) -> None:
    """Raise SimulationError when two of these times on the same link overlap."""
    busy = end > begin
    links, begin, end = links[busy], begin[busy], end[busy]
    if not len(links):
        return
    span = int(end.max()) + 1
    begins, ends = np.sort(links * span + begin), np.sort(links * span + end)
    wrong = np.flatnonzero((begins[1:] < ends[:-1]) & (begins[1:] // span == ends[:-1] // span))
    if len(wrong):
        link, cycle = divmod(int(begins[wrong[0] + 1]), span)
        raise SimulationError(
            f"{mesh.name(link)} of the {network} network must carry one message at a time, "
            f"not two in cycle {cycle} ({where}); this is a fault of the scheduler, report it"
        )
