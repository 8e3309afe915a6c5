"""The same network under other cuts than those that the mapper chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from zapdeploy.compile.graph import Graph
from zapdeploy.compile.layers import Layer, group_layers, network_inputs
from zapdeploy.compile.mapping.cost import own_loads, read_region, read_slices, storage_bits
from zapdeploy.compile.mapping.mapper import LayerMapping, NetworkMapping, layer_form
from zapdeploy.compile.mapping.memory import framebuffer_demand, plan_memory
from zapdeploy.compile.mapping.tiling import Cuts
from zapdeploy.compile.noc.mesh import Mesh
from zapdeploy.compile.noc.transfers import Traffic, from_framebuffer, route
from zapdeploy.compile.program.build import SharedWork, layer_program, memory_demands
from zapdeploy.compile.program.program import Program
from zapdeploy.compile.state import states
from zapdeploy.hardware_targets import Target


def makers(graph: Graph, layers: Sequence[Layer]) -> dict[str, int]:
    """Of every tensor that a layer leaves in the cores, the number of that layer."""
    found = {layer.output.name: i for i, layer in enumerate(layers)}
    return found | {s.before.name: found[s.after.name] for s in states(graph)}


def with_cuts(program: Program, chosen: Sequence[Cuts]) -> Program:
    """The same network under these cuts, one for each layer; its memory plan may exceed the limit,
    which the caller must look at."""
    target, layers = program.target, group_layers(program.graph)
    made = makers(program.graph, layers)
    mapped = tuple(
        mapped_layer(layer, cuts, {n: chosen[i] for n, i in made.items()}, target)
        for layer, cuts in zip(layers, chosen, strict=True)
    )
    inputs, shared = frozenset(v.name for v in network_inputs(program.graph)), SharedWork(target)
    demands = memory_demands(program.graph, NetworkMapping(mapped, 1.0, 1.0))
    return replace(
        program,
        layers=tuple(layer_program(m, inputs, shared) for m in mapped),
        memory=plan_memory(demands, target, framebuffer_demand(program.graph, target)),
    )


def mapped_layer(
    layer: Layer, cuts: Cuts, sources: Mapping[str, Cuts], target: Target
) -> LayerMapping:
    """A layer under a cut; `sources`: of each tensor in the cores, the cut that left it there."""
    traffic = _traffic(layer, cuts, sources, target)
    return LayerMapping(layer, cuts, own_loads(layer, cuts, target), traffic, layer_form(layer))


def _traffic(
    layer: Layer, cuts: Cuts, sources: Mapping[str, Cuts], target: Target
) -> tuple[Traffic, ...]:
    mesh = Mesh.of(target)
    ratio = target.networks.activation.width.value / target.boundary_width
    found = []
    for read in layer.reads:
        needed, bits = read_region(read, cuts), storage_bits(read.source, target)
        slices = read_slices(read, cuts)
        if read.source.name in sources:
            held = sources[read.source.name].held
            found.append(route(held, needed, bits, mesh, slices))
        else:
            found += from_framebuffer(needed, bits, mesh, ratio, slices)
    return tuple(found)
