"""The least time a layer could take on a target: every unit busy, nothing waiting, no rounding."""

from __future__ import annotations

import math

from zapdeploy.compile.cost import mac_bits, storage_bits
from zapdeploy.compile.layers import Layer
from zapdeploy.compile.ops.base import Unit, operator
from zapdeploy.compile.regions import whole
from zapdeploy.hardware_targets import Target


def layer_bound(layer: Layer, target: Target) -> dict[str, float]:
    """Cycles per unit if the layer's work were spread evenly over all cores.

    matrix = MACs / (cores x MACs per cycle at this width); vector and activation = operations /
    (cores x rate); memory_port = (inputs + parameters + output bytes, each once) / (cores x width).
    """
    core, cores = target.core, target.cores
    works = [operator(call.node.op).element_work(call) for call in layer.calls]
    size = layer.output.size
    moved = layer.output.size * storage_bits(layer.output, target)
    moved += sum(r.source.size * storage_bits(r.source, target) for r in layer.reads)
    moved += sum(v.size * storage_bits(v, target) for v in layer.parameters)
    found = {
        "vector": size * sum(w.vector for w in works) / (cores * core.vector_unit.rate.value),
        "activation": size
        * sum(w.activation for w in works)
        / (cores * core.activation_unit.rate.value),
        "memory_port": moved / 8 / (cores * core.memory_port.width.value),
    }
    if layer.operator.unit is Unit.MATRIX:
        rate = core.matrix_unit.macs_per_cycle(mac_bits(layer, target))
        found["matrix"] = layer_macs(layer) / (cores * rate)
    return found


def layer_macs(layer: Layer) -> int:
    """Multiply-accumulates of the whole layer."""
    if layer.operator.unit is not Unit.MATRIX:
        return 0
    box = whole(layer.anchor.output.shape)
    return int(layer.operator.matrix_tile(layer.anchor, box).macs)


def bound_cycles(layer: Layer, target: Target) -> int:
    """The layer's bound as a whole number of cycles, at least 1."""
    return max(math.ceil(max(layer_bound(layer, target).values())), 1)
