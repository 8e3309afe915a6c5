"""Programs with other cuts than the mapper's: any that the layers allow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from zapdeploy.compile.layers import Layer, group_layers
from zapdeploy.compile.mapping.cost import own_loads, read_region, storage_bits
from zapdeploy.compile.mapping.mapper import LayerMapping, NetworkMapping
from zapdeploy.compile.mapping.memory import plan_memory
from zapdeploy.compile.mapping.tiling import Cuts, enumerate_cuts, space_of
from zapdeploy.compile.noc.transfers import Traffic, from_framebuffer, route
from zapdeploy.compile.program import build
from zapdeploy.compile.program.program import Program
from zapdeploy.compile.regions import IntArray
from zapdeploy.compile.state import states
from zapdeploy.hardware_targets import Target

Chooser = Callable[[IntArray], int]  # all cuts of a layer [cuts, rank + 1] -> the number of one


def recut(program: Program, choose: Chooser) -> Program:
    """The same network under chosen cuts, with the memory plan and the counts that they give."""
    target, layers = program.target, group_layers(program.graph)
    chosen = []
    for layer in layers:
        space = space_of(layer)
        factors = enumerate_cuts(space, target.cores)
        chosen.append(Cuts(space, factors[choose(factors)][None], target.cores))
    return with_cuts(program, chosen)


def with_cuts(program: Program, chosen: Sequence[Cuts]) -> Program:
    """The same network under these cuts, one for each layer."""
    target, layers = program.target, group_layers(program.graph)
    maker = {layer.output.name: i for i, layer in enumerate(layers)}
    maker |= {s.before.name: maker[s.after.name] for s in states(program.graph)}
    mapped = tuple(
        LayerMapping(
            layer,
            cuts,
            own_loads(layer, cuts, target),
            _traffic(layer, cuts, chosen, maker, target),
        )
        for layer, cuts in zip(layers, chosen, strict=True)
    )
    mapping = NetworkMapping(mapped, 1.0, 1.0)
    inputs = frozenset(v.name for v in build.network_inputs(program.graph))
    return replace(
        program,
        layers=tuple(build._layer_program(m, inputs, build.SharedWork(target)) for m in mapped),
        memory=plan_memory(build._demands(program.graph, mapping), target),
    )


def _traffic(
    layer: Layer, cuts: Cuts, chosen: Sequence[Cuts], maker: dict[str, int], target: Target
) -> tuple[Traffic, ...]:
    rows, columns = int(target.array.rows), int(target.array.columns)
    found = []
    for read in layer.reads:
        needed, bits = read_region(read, cuts), storage_bits(read.source, target)
        if read.source.name in maker:
            held = chosen[maker[read.source.name]].held
            found.append(route(held, needed, bits, rows, columns))
        else:
            found += from_framebuffer(needed, bits, rows, columns, 1.0)
    return tuple(found)


def drawn_by(random: np.random.Generator) -> Chooser:
    return lambda factors: int(random.integers(len(factors)))
