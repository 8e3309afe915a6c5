"""From an integer graph to a Program: group, map, route, place, and say whether it fits."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from zapdeploy import version
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.layers import Layer, group_layers, network_inputs, network_outputs, stored
from zapdeploy.compile.mapping.bound import bound_cycles
from zapdeploy.compile.mapping.cost import core_work, mac_bits, storage_bits
from zapdeploy.compile.mapping.mapper import LayerMapping, Mapper, NetworkMapping, Objective, Routes
from zapdeploy.compile.mapping.memory import Demand, MemoryPlan, framebuffer_demand, plan_memory
from zapdeploy.compile.mapping.pricing import Counts
from zapdeploy.compile.mapping.sharing import mapper_of, once
from zapdeploy.compile.noc.mesh import Mesh, trees
from zapdeploy.compile.ops.base import Unit
from zapdeploy.compile.program.capacity import chip_violation, core_violation, framebuffer_violation
from zapdeploy.compile.program.parameters import lower_parameters
from zapdeploy.compile.program.program import Fetch, LayerProgram, Options, Origin, Program
from zapdeploy.compile.state import is_in_place, states
from zapdeploy.errors import ModelError
from zapdeploy.hardware_targets import Target
from zapdeploy.progress import Progress

# How many candidate cuts are priced, in times of the usual number. "thorough" goes on from there
# with a search by the schedule (sim/search).
EFFORTS = {"quick": 0.4, "normal": 1.0, "thorough": 1.0}


def build_program(
    graph: Graph,
    origin: Origin,
    target: Target,
    target_toml: str,
    options: Options,
    progress: Progress = lambda what, done, total: None,
    routes: Routes | None = None,
) -> Program:
    """The Program for one chip. When the network does not fit, `violation` says why.

    `routes`: transfers routed before on the same target, of a network that is much alike.
    """
    layers = group_layers(graph)
    check_widths(layers, target)
    program = Program(
        model=graph.name,
        origin=origin,
        target=target,
        target_toml=target_toml,
        options=options,
        graph=graph,
        layers=(),
        memory=MemoryPlan((), int(target.core.memory)),
        violation=chip_violation(layers, target) or framebuffer_violation(graph, layers, target),
        output_cycles=_output_cycles(graph, target),
        boundary_counts=_boundary_counts(graph, target),
        mapping_gap=0.0,
        version=version(),
    )
    if program.violation is not None:
        return program
    inputs = frozenset(value.name for value in network_inputs(graph))
    mapper = mapper_of(
        layers,
        target,
        cast(Objective, options.objective),
        progress,
        _carried(graph),
        EFFORTS[options.effort],
        routes=routes,
    )
    mapping, memory = _map_into_memory(mapper, graph, target)

    def layer_programs() -> tuple[LayerProgram, ...]:
        shared = SharedWork(target)
        return tuple(layer_program(m, inputs, shared) for m in mapping.layers)

    return replace(
        program,
        layers=once(("layers", mapping, inputs), layer_programs),
        memory=memory,
        mapping_gap=mapping.cost / mapping.least_cost - 1,
        violation=core_violation(memory, layers, options, target)
        if memory.peak > memory.limit
        else None,
    )


def check_widths(layers: Sequence[Layer], target: Target) -> None:
    """Raise ModelError for a network with nothing for the chip, or operands too wide for it."""
    if not layers:
        raise ModelError("model must compute something on the chip, not only on the host")
    for layer in layers:
        if layer.operator.unit is Unit.MATRIX:
            mac_bits(layer, target)


def unconstrained_cycles(
    graph: Graph, target: Target, objective: str, progress: Progress
) -> tuple[int, ...]:
    """Cycles of each layer under the best cuts, were memory no limit."""
    inputs = frozenset(value.name for value in network_inputs(graph))
    mapper = mapper_of(
        group_layers(graph), target, cast(Objective, objective), progress, _carried(graph), 1.0
    )
    shared = SharedWork(target)
    return tuple(layer_program(m, inputs, shared).cycles for m in mapper.map().layers)


def _carried(graph: Graph) -> dict[str, str]:
    """State as it is read, and the tensor of the frame before that it is."""
    return {state.before.name: state.after.name for state in states(graph)}


def _map_into_memory(
    mapper: Mapper, graph: Graph, target: Target
) -> tuple[NetworkMapping, MemoryPlan]:
    """The first mapping that fits as the price of memory rises; else the one nearest to it."""
    tried: list[tuple[NetworkMapping, MemoryPlan]] = []
    boundary = framebuffer_demand(graph, target)
    for weight in mapper.memory_weights():
        mapping = mapper.map(weight)
        tried.append((mapping, plan_memory(memory_demands(graph, mapping), target, boundary)))
        if tried[-1][1].peak <= tried[-1][1].limit:
            return tried[-1]
    return min(tried, key=lambda found: found[1].peak)


def memory_demands(graph: Graph, mapping: NetworkMapping) -> list[Demand]:
    """What each layer of a mapping needs in the cores' memories."""
    last: dict[str, int] = {}
    for index, mapped in enumerate(mapping.layers):
        last.update({read.source.name: index for read in mapped.layer.reads})
    kept = {stored(graph, value).name for value in network_outputs(graph)}
    layers = tuple(m.layer for m in mapping.layers)
    in_place = {state.after.name: is_in_place(state, layers) for state in states(graph)}
    end = len(mapping.layers) - 1
    return [
        Demand(
            name=m.layer.name,
            parameters=int(m.loads.parameter_bytes[0]),
            output=0 if in_place.get(m.layer.output.name) else int(m.loads.held_bytes[0]),
            received=tuple(math.ceil(t.received_bytes) for t in m.traffic),
            last_reader=end
            if m.layer.output.name in kept | in_place.keys()
            else max(last.get(m.layer.output.name, index), index),
            state=int(m.loads.held_bytes[0]) if m.layer.output.name in in_place else 0,
        )
        for index, m in enumerate(mapping.layers)
    ]


class SharedWork:
    """What layers of one form have in common, worked out for the first of them."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._bounds: dict[Hashable, int] = {}
        self._hops: dict[Hashable, int] = {}

    def bound(self, m: LayerMapping) -> int:
        if m.form not in self._bounds:
            self._bounds[m.form] = bound_cycles(m.layer, self.target)
        return self._bounds[m.form]

    def weight_bit_hops(self, m: LayerMapping) -> int:
        key = (m.form, m.cuts.factors.tobytes(), m.cuts.space)
        if key not in self._hops:
            self._hops[key] = _weight_bit_hops(m, self.target)
        return self._hops[key]


def layer_program(m: LayerMapping, inputs: frozenset[str], shared: SharedWork) -> LayerProgram:
    """A mapped layer as a part of a Program; `inputs`: tensors that lie in the framebuffer."""
    layer, loads, target = m.layer, m.loads, shared.target
    fetches = tuple(
        Fetch(
            source=read.source.name,
            received_bytes=math.ceil(t.received_bytes),
            sent_bytes=math.ceil(t.sent_bytes),
            total_received_bytes=math.ceil(t.total_received_bytes),
            total_sent_bytes=math.ceil(t.total_sent_bytes),
            link_bytes=math.ceil(t.link_bytes),
            from_framebuffer=read.source.name in inputs,
        )
        for read, t in zip(layer.reads, m.traffic, strict=True)
    )
    cycles = {unit: int(value[0]) for unit, value in loads.cycles.items()}
    moved = sum(f.received_bytes + f.sent_bytes for f in fetches)
    cycles["memory_port"] += math.ceil(moved / target.core.memory_port.width.value)
    networks = target.networks
    cycles["activation_network"] = math.ceil(
        sum(f.link_bytes for f in fetches) / networks.activation.width.value
    )
    cycles["instruction_network"] = math.ceil(
        target.programs.bytes_per_layer.value / networks.instruction.width.value
    )
    return LayerProgram(
        name=layer.name,
        op=layer.op,
        nodes=tuple(call.node.name for call in layer.calls),
        output=layer.output.name,
        cut=tuple(int(f) for f in m.cuts.factors[0]),
        digits=m.cuts.space.digits,
        fetches=fetches,
        unit_cycles=cycles,
        fill_cycles=math.ceil(loads.fill[0]),
        bound_cycles=shared.bound(m),
        macs=int(loads.macs[0]),
        bits=loads.mac_bits,
        counts=_layer_counts(m, fetches, shared),
    )


def _layer_counts(m: LayerMapping, fetches: tuple[Fetch, ...], shared: SharedWork) -> Counts:
    loads, target = m.loads, shared.target
    counts = Counts(
        vector_ops=math.ceil(loads.vector_ops[0]),
        activation_ops=math.ceil(loads.activation_ops[0]),
        accumulator_bytes=int(loads.accumulator_bytes[0]),
        memory_bytes=math.ceil(loads.memory_bytes[0])
        + sum(f.total_received_bytes for f in fetches)
        + sum(f.total_sent_bytes for f in fetches if not f.from_framebuffer),
        model_bit_hops=shared.weight_bit_hops(m),
        activation_bit_hops=math.ceil(sum(t.bit_hops for t in m.traffic)),
        partial_sum_bit_hops=math.ceil(loads.partial_sum_bit_hops[0]),
        instruction_bit_hops=int(target.programs.bytes_per_layer) * 8 * (target.cores - 1),
        framebuffer_bytes=sum(f.total_sent_bytes for f in fetches if f.from_framebuffer),
        core_cycles=math.ceil(loads.core_cycles[0]),
    )
    return counts + Counts(**{f"macs_{loads.mac_bits}bit": int(loads.macs[0])})


def _weight_bit_hops(m: LayerMapping, target: Target) -> int:
    """Of the parts as they are sent; `Loads` has what they take at most in groups that fill no
    rectangle of cores."""
    messages = lower_parameters(m.layer, m.cuts, target).messages
    mesh = Mesh.of(target)
    links = trees(mesh, messages).network_links(mesh)
    times = int(core_work(m.layer, m.cuts, target).accumulator_tiles.max())
    return int((messages.elements * links).sum()) * messages.bits * times


def _output_bytes(graph: Graph, target: Target) -> int:
    return sum(-(-v.size * storage_bits(v, target) // 8) for v in network_outputs(graph))


def _input_bytes(graph: Graph, target: Target) -> int:
    return sum(-(-v.size * storage_bits(v, target) // 8) for v in network_inputs(graph))


def _output_cycles(graph: Graph, target: Target) -> int:
    """Cycles to write the network's outputs into the framebuffer."""
    across = Mesh.of(target).hops_along_row * target.networks.activation.hop_latency.value
    return math.ceil(_output_bytes(graph, target) / target.boundary_width + across)


def _boundary_counts(graph: Graph, target: Target) -> Counts:
    """Events between the host, the framebuffer and the array that belong to no layer."""
    outputs, inputs = _output_bytes(graph, target), _input_bytes(graph, target)
    hops = Mesh.of(target).mean_hops_outside
    return Counts(
        memory_bytes=outputs,
        framebuffer_bytes=2 * outputs + inputs,
        host_bytes=outputs + inputs,
        activation_bit_hops=int(np.ceil(outputs * 8 * hops)),
    )
