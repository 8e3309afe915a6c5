"""The events of a schedule, counted again from what was scheduled, packet by packet and tile pass
by tile pass: they must equal what the compiler counted, or values, cycles and joules would drift
apart."""

from __future__ import annotations

import numpy as np

from zapdeploy.compile.mapping.pricing import Counts
from zapdeploy.compile.noc.mesh import trees
from zapdeploy.sim.schedule.collisions import partial_sum_mesh
from zapdeploy.sim.schedule.layer import LayerSchedule, meshes


def network_counts(layer: LayerSchedule) -> Counts:
    """Bit-hops of the networks, and bytes read from the framebuffer, of one layer."""
    target = layer.target
    activation, model = meshes(target)
    hops, framebuffer = 0, 0.0
    for sending in layer.arrived.sendings:
        packets, messages = sending.packets, sending.delivery.messages
        links = sending.trees.network_links(activation)[packets.message]
        hops += int((packets.elements * links).sum()) * messages.bits
        if sending.delivery.held is None:
            framebuffer += float(packets.elements.sum()) * messages.bits / 8
    sent = layer.sent_weights
    weight_links = layer.weight_trees.network_links(model)
    sums = layer.events.partial_sums
    mesh = partial_sum_mesh(layer)
    sum_links = trees(mesh, sums).network_links(mesh)
    return Counts(
        model_bit_hops=int((sent[:, 3] * weight_links[sent[:, 0]]).sum()) * 8,
        activation_bit_hops=hops,
        partial_sum_bit_hops=int((sums.elements * sum_links).sum()) * sums.bits,
        instruction_bit_hops=int(target.programs.bytes_per_layer) * 8 * (target.cores - 1),
        framebuffer_bytes=int(np.ceil(framebuffer)),
    )


def core_counts(layer: LayerSchedule) -> Counts:
    """Multiply-accumulates and accumulator bytes of one layer, from the tile passes that ran."""
    trace, work = layer.trace, layer.events.work
    busy = trace.tile_pass_end - trace.tile_pass_start - trace.tile_pass_stretch
    outputs = int(layer.target.core.matrix_unit.outputs)
    return Counts(
        **{f"macs_{work.mac_bits}bit": int(work.macs.sum())},
        accumulator_bytes=int(busy.sum()) * 2 * 4 * outputs,
    )
