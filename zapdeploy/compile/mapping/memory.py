"""Place parameters, programs and activations in the memory of a core.

All cores use the same addresses, each buffer as large as the fullest core needs it, as one program
runs on all of them. Programs, parameters and state stay for the whole run; an activation lives from
the layer that makes it to the last one that reads it, and what a layer receives lives for that
layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from zapdeploy.compile.graph import Graph, Value
from zapdeploy.compile.layers import network_inputs, network_outputs
from zapdeploy.compile.mapping.cost import storage_bits
from zapdeploy.hardware_targets import Target

ALIGNMENT = 32  # bytes: one input vector of the narrowest unit we describe


@dataclass(frozen=True)
class Buffer:
    """A range of every core's memory, in use from the start of `first` to the end of `last`.

    `kind`: "program", "boundary" (network inputs and outputs), "parameters", "state" (what a layer
    leaves for the next frame), "output" (what it leaves for later layers), "received" (what it
    fetched).
    `name`: the layer's; `read`: which of the layer's reads a received buffer is for, -1 otherwise.
    """

    name: str
    kind: str
    address: int
    size: int
    first: int
    last: int
    read: int = -1

    @property
    def end(self) -> int:
        return self.address + self.size


@dataclass(frozen=True)
class MemoryPlan:
    """All buffers of a core, and how full it gets."""

    buffers: tuple[Buffer, ...]
    limit: int

    @property
    def peak(self) -> int:
        return max((b.end for b in self.buffers), default=0)

    def bytes_of(self, *kinds: str) -> int:
        return sum(b.size for b in self.buffers if b.kind in kinds)

    @property
    def activations_peak(self) -> int:
        """Most bytes of activations in use at once."""
        moving = [b for b in self.buffers if b.kind in ("output", "received")]
        return max((live_bytes(moving, b.first) for b in moving), default=0)

    def fullest_layer(self) -> int:
        """The layer during which the highest address is in use."""
        return max(self.buffers, key=lambda b: (b.end, b.first)).first


@dataclass(frozen=True)
class CapacityViolation:
    """Why a network does not fit: what was demanded, of what, by which layer, what would help."""

    layer: str
    what: str
    demanded: int
    limit: int
    hints: tuple[str, ...]

    def sentence(self, model: str, on_what: str, fix: str) -> str:
        """Why a model does not fit on what it was compiled for, and what would help."""
        over = self.demanded - self.limit
        return (
            f"{model} does not fit on {on_what}: layer '{self.layer}' needs {self.what}:"
            f" {self.demanded:,} bytes of {self.limit:,}, {over:,} too many. Fix: use {fix}."
        )


@dataclass(frozen=True)
class Demand:
    """What one layer needs in each core, in bytes: parameters, its output, what it receives, and
    what it keeps for the next frame."""

    name: str
    parameters: int
    output: int
    received: tuple[int, ...]
    last_reader: int
    state: int = 0


def plan_memory(demands: Sequence[Demand], target: Target, boundary: int = 0) -> MemoryPlan:
    """Addresses for everything; the plan may exceed its limit, which the caller must look at.

    `boundary`: bytes of network inputs and outputs, which lie in the cores where there is no
    framebuffer.
    """
    end = max(len(demands) - 1, 0)
    fixed = [("programs", "program", 2 * int(target.programs.bytes_per_layer))]
    if target.framebuffer is None:  # one set is filled while another is in use
        each = -(-2 * boundary // target.array.usable_cores)
        fixed.append(("inputs and outputs", "boundary", each))
    fixed += [(d.name, "parameters", d.parameters) for d in demands if d.parameters]
    fixed += [(d.name, "state", d.state) for d in demands if d.state]
    placed, address = [], 0
    for name, kind, size in fixed:
        placed.append(Buffer(name, kind, address, size, 0, end))
        address = _aligned(address + size)
    wanted = []
    for index, demand in enumerate(demands):
        wanted.append(Buffer(demand.name, "output", 0, demand.output, index, demand.last_reader))
        wanted += [
            Buffer(demand.name, "received", 0, size, index, index, read)
            for read, size in enumerate(demand.received)
            if size
        ]
    return MemoryPlan((*placed, *_pack(wanted, address)), int(target.core.memory))


def live_bytes(buffers: Sequence[Buffer], layer: int) -> int:
    """Bytes in use during a layer."""
    return sum(b.size for b in buffers if b.first <= layer <= b.last)


def framebuffer_demand(graph: Graph, target: Target) -> int:
    """Bytes of one set of network inputs and outputs, and of what other chips send meanwhile.

    Of the latter, two of the largest sets that one node reads: the next arrives while one is read.
    """
    tensors: tuple[Value, ...] = (*network_inputs(graph), *network_outputs(graph))
    sizes = {v.name: -(-v.size * storage_bits(v, target) // 8) for v in tensors}
    staying = sum(size for name, size in sizes.items() if name not in graph.exchanged)
    passing = (
        sum(sizes.get(name, 0) for name in set(node.inputs) & graph.exchanged)
        for node in graph.nodes
    )
    return staying + 2 * max(passing, default=0)


def is_double_buffered(graph: Graph, target: Target) -> bool:
    """Whether one set can be filled while another is in use."""
    return 2 * framebuffer_demand(graph, target) <= target.framebuffer_bytes


def _aligned(address: int) -> int:
    return -(-address // ALIGNMENT) * ALIGNMENT


def _pack(wanted: Sequence[Buffer], base: int) -> list[Buffer]:
    """Largest first, each at the lowest address that is free for its whole life."""
    placed: list[Buffer] = []
    for buffer in sorted(wanted, key=lambda b: (-b.size, b.first, b.name, b.kind, b.read)):
        address = base
        overlapping = (o for o in placed if o.first <= buffer.last and buffer.first <= o.last)
        for other in sorted(overlapping, key=lambda o: o.address):
            if other.address - address >= buffer.size:
                break
            address = max(address, _aligned(other.end))
        placed.append(replace(buffer, address=address))
    return sorted(placed, key=lambda b: (b.first, b.address, b.name))
