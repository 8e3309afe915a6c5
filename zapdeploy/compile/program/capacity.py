"""When a network does not fit: which memory, by how much, and what would help."""

from __future__ import annotations

import math
from collections.abc import Sequence

from zapdeploy.compile.graph import Graph, Value
from zapdeploy.compile.layers import Layer, network_inputs
from zapdeploy.compile.mapping.cost import storage_bits
from zapdeploy.compile.mapping.memory import (
    CapacityViolation,
    MemoryPlan,
    framebuffer_demand,
    live_bytes,
)
from zapdeploy.compile.program.program import Options
from zapdeploy.hardware_targets import Target


def chip_violation(layers: Sequence[Layer], target: Target) -> CapacityViolation | None:
    """Whether parameters and programs alone exceed the core memories together."""
    cores = target.array.usable_cores
    limit = cores * int(target.core.memory)
    demanded = parameters_and_programs(layers, target)
    if demanded <= limit:
        return None
    programs = _program_bytes(target)
    return CapacityViolation(
        layer=max(layers, key=lambda layer: parameter_bytes(layer, target)).name,
        what=f"core memory of all {cores} cores together (parameters and programs)",
        demanded=demanded,
        limit=limit,
        hints=precision_hints(layers, target, programs, limit)
        + _chip_hint(demanded - programs, limit - programs),
    )


def parameters_and_programs(layers: Sequence[Layer], target: Target) -> int:
    """Bytes that stay in the core memories for the whole run, over all cores."""
    return _program_bytes(target) + sum(parameter_bytes(layer, target) for layer in layers)


def _program_bytes(target: Target) -> int:
    """The running program and the next one, in every core."""
    return target.array.usable_cores * 2 * int(target.programs.bytes_per_layer)


def framebuffer_violation(
    graph: Graph, layers: Sequence[Layer], target: Target
) -> CapacityViolation | None:
    """Whether the network's inputs and outputs exceed the framebuffer."""
    demanded, limit = framebuffer_demand(graph, target), target.framebuffer_bytes
    if demanded <= limit:
        return None
    frames = max((v.shape[0] for v in network_inputs(graph) if v.shape), default=1)
    batch = ("a smaller --batch",) if frames > 1 else ()
    return CapacityViolation(
        layer=layers[0].name,
        what="framebuffer (network inputs and outputs)",
        demanded=demanded,
        limit=limit,
        hints=(*batch, "inputs and outputs in fewer bits"),
    )


def core_violation(
    memory: MemoryPlan, layers: Sequence[Layer], options: Options, target: Target
) -> CapacityViolation:
    """The fullest core's memory under the best plan found."""
    fullest = memory.fullest_layer()
    fixed, parameters = memory.bytes_of("program", "parameters"), memory.bytes_of("parameters")
    others, cores = memory.peak - parameters, target.array.usable_cores
    hints = precision_hints(layers, target, cores * others, cores * memory.limit)
    if options.batch > 1 and fixed < memory.limit:
        hints = (f"a --batch below {options.batch}", *hints)
    state = f", {held} of state" if (held := memory.bytes_of("state")) else ""
    moving = live_bytes([b for b in memory.buffers if b.kind in ("output", "received")], fullest)
    return CapacityViolation(
        layer=layers[fullest].name,
        what=f"memory of one core ({fixed} bytes of parameters and programs{state},"
        f" {moving} of activations)",
        demanded=memory.peak,
        limit=memory.limit,
        hints=hints + _chip_hint(parameters, memory.limit - others),
    )


def parameter_bytes(layer: Layer, target: Target) -> int:
    """Bytes of a layer's parameters, as wide as they are stored."""
    return sum(-(-v.size * storage_bits(v, target) // 8) for v in layer.parameters)


def precision_hints(
    layers: Sequence[Layer], target: Target, others: int, limit: int
) -> tuple[str, ...]:
    """Narrower weights that would do beside what `others` take, with the bytes that all would."""
    widest = max((v.element.bits for layer in layers for v in layer.parameters[:1]), default=0)
    for bits in sorted(target.core.matrix_unit.widths, reverse=True):
        needed = others + sum(
            -(-v.size * _narrowed(v, bits, target) // 8)
            for layer in layers
            for v in layer.parameters
        )
        if bits < widest and needed <= limit:
            return (f"int{bits} weights ({needed / 1e6:.1f} MB of {limit / 1e6:.1f} MB)",)
    return ()


def _narrowed(value: Value, bits: int, target: Target) -> int:
    """Bits that a parameter takes when none of 8 or fewer takes more than `bits`."""
    stored = storage_bits(value, target)
    return min(stored, bits) if stored <= 8 else stored


def _chip_hint(parameters: int, room: int) -> tuple[str, ...]:
    """Chips that hold all parameters, when one of them has `room` for some."""
    return (f"{math.ceil(parameters / room)} chips",) if room > 0 else ()
