"""All events of a layer, and of a Program."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zapdeploy.compile.graph import Value
from zapdeploy.compile.layers import Layer, group_layers, network_outputs, stored
from zapdeploy.compile.mapping.cost import (
    CoreWork,
    core_work,
    read_region,
    read_slices,
    storage_bits,
)
from zapdeploy.compile.mapping.tiling import Cuts, space_of
from zapdeploy.compile.noc.mesh import Mesh
from zapdeploy.compile.noc.messages import Messages
from zapdeploy.compile.program.activations import Delivery, from_cores, from_framebuffer
from zapdeploy.compile.program.parameters import Parameters, lower_parameters
from zapdeploy.compile.program.partial_sums import partial_sums
from zapdeploy.compile.program.program import LayerProgram, Program
from zapdeploy.compile.regions import Region
from zapdeploy.compile.state import states
from zapdeploy.hardware_targets import Target


@dataclass(frozen=True, eq=False)
class LayerEvents:
    """One layer: what every core computes, and what is sent to whom before and meanwhile.

    `cuts` holds the chosen cut alone, so its arrays are [1, cores, ...]; `work` likewise.
    """

    index: int
    program: LayerProgram
    layer: Layer
    cuts: Cuts
    work: CoreWork
    deliveries: tuple[Delivery, ...]
    parameters: Parameters
    partial_sums: Messages

    @property
    def held(self) -> Region:
        """The box of the layer's output that each core ends up with [cores, rank]."""
        return Region(self.cuts.held.low[0], self.cuts.held.high[0])


@dataclass(frozen=True, eq=False)
class Lowered:
    """A Program as events. `outputs`: the stored tensors that go to the framebuffer at the end."""

    program: Program
    layers: tuple[LayerEvents, ...]
    outputs: tuple[Value, ...]


def lower(program: Program) -> Lowered:
    """The events of a Program that fits."""
    layers = group_layers(program.graph)
    held = _state_held(program, layers)
    found = []
    for index, (layer, compiled) in enumerate(zip(layers, program.layers, strict=True)):
        events = lower_layer(index, layer, compiled, held, program.target)
        held[layer.output.name] = events.held
        found.append(events)
    outputs = {
        value.name: value
        for value in (stored(program.graph, v) for v in network_outputs(program.graph))
    }
    return Lowered(program, tuple(found), tuple(outputs.values()))


def _state_held(program: Program, layers: tuple[Layer, ...]) -> dict[str, Region]:
    """Where state is read: in the boxes in which the layer that computes it leaves it."""
    made = {layer.output.name: i for i, layer in enumerate(layers)}
    held = {}
    for state in states(program.graph):
        index = made[state.after.name]
        cuts = _cuts(layers[index], program.layers[index], program.target)
        held[state.before.name] = Region(cuts.held.low[0], cuts.held.high[0])
    return held


def _cuts(layer: Layer, program: LayerProgram, target: Target) -> Cuts:
    return Cuts(space_of(layer), np.array([program.cut], np.int64), target.cores)


def lower_layer(
    index: int, layer: Layer, program: LayerProgram, held: dict[str, Region], target: Target
) -> LayerEvents:
    """Everything that happens for one layer; `held` says where its inputs lie."""
    cuts = _cuts(layer, program, target)
    return LayerEvents(
        index=index,
        program=program,
        layer=layer,
        cuts=cuts,
        work=core_work(layer, cuts, target),
        deliveries=_deliveries(layer, cuts, held, target),
        parameters=lower_parameters(layer, cuts, target),
        partial_sums=partial_sums(cuts),
    )


def _deliveries(
    layer: Layer, cuts: Cuts, held: dict[str, Region], target: Target
) -> tuple[Delivery, ...]:
    found = []
    for read in layer.reads:
        region = read_region(read, cuts)
        needed = Region(region.low[0], region.high[0])
        slices = read_slices(read, cuts)
        bits = storage_bits(read.source, target)
        if read.source.name in held:
            found.append(from_cores(read, held[read.source.name], needed, bits, slices))
        else:
            found.append(from_framebuffer(read, needed, bits, Mesh.of(target), slices))
    return tuple(found)
