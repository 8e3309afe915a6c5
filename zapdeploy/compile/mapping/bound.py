"""The least time a layer could take on a target: every unit busy, nothing waiting, no rounding."""

from __future__ import annotations

import math

import numpy as np

from zapdeploy.compile.graph import Shape
from zapdeploy.compile.layers import Layer, Read
from zapdeploy.compile.mapping.cost import mac_bits, read_region, storage_bits
from zapdeploy.compile.mapping.tiling import Cuts, space_of
from zapdeploy.compile.ops.base import MatrixTile, Unit, operator
from zapdeploy.compile.regions import whole
from zapdeploy.hardware_targets import Target


def layer_bound(layer: Layer, target: Target) -> dict[str, float]:
    """Cycles per unit if the layer's work were spread evenly over all cores.

    matrix = MACs / (cores x MACs per cycle at this width); vector and activation = operations /
    (cores x rate); memory_port = (bytes of the parameters, of the output and of what is needed of
    the inputs, each once) / (cores x width).
    """
    core, cores = target.core, target.cores
    works = [operator(call.node.op).element_work(call) for call in layer.calls]
    size = layer.output.size
    moved = layer.output.size * storage_bits(layer.output, target)
    cuts = _one_core(layer), _one_element(layer)
    moved += sum(
        _elements_read(r, layer, *cuts) * storage_bits(r.source, target) for r in layer.reads
    )
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
    return sum(int(tile.macs) for tile in _matrix_tiles(layer))


def _matrix_tiles(layer: Layer) -> tuple[MatrixTile, ...]:
    """The matrix work of the whole layer."""
    return layer.operator.matrix_tiles(layer.anchor, whole(layer.anchor.output.shape))


def _one_core(layer: Layer) -> Cuts:
    """The whole layer on one core."""
    return _first_of(layer, (1,) * len(layer.anchor.output.shape))


def _one_element(layer: Layer) -> Cuts:
    """A core for each element of the anchor's output, of which the first is looked at."""
    return _first_of(layer, layer.anchor.output.shape)


def _first_of(layer: Layer, factors: Shape) -> Cuts:
    return Cuts(space_of(layer), np.array([(*factors, 1)], np.int64), 1)


def _elements_read(read: Read, layer: Layer, whole_layer: Cuts, one_element: Cuts) -> int:
    """Elements of a tensor that some output needs: a stride may leave some out.

    No more than lie in the box around all of them, nor than the outputs need one by one.
    """
    around = _first_box(read, whole_layer)
    if layer.operator.unit is Unit.MATRIX and read.call is layer.anchor and read.input == 0:
        tiles = _matrix_tiles(layer)
        one_by_one = sum(int(t.positions * t.groups * t.runs * t.run_values) for t in tiles)
        return min(around, one_by_one)
    return min(around, layer.output.size * max(_first_box(read, one_element), 1))


def _first_box(read: Read, cuts: Cuts) -> int:
    """Elements that the first core reads."""
    return int(read_region(read, cuts).volume[0, 0])


def bound_cycles(layer: Layer, target: Target) -> int:
    """The layer's bound as a whole number of cycles, at least 1."""
    return max(math.ceil(max(layer_bound(layer, target).values())), 1)
