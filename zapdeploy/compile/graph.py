"""The integer graph: what a network means, free of any ONNX dialect and of any chip.

A `Graph` is a list of nodes in topological order over named, typed values. A value is either
quantized (integers with a scale and a zero point), plain integers, or floating point. An operator
reads its integer meaning off the types of its inputs and outputs: a `Conv` from int4 to int4
requantizes, a `Conv` with a float32 output dequantizes its accumulator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from zapdeploy.arrays import Array as Array
from zapdeploy.errors import ModelError

Shape = tuple[int, ...]
Attribute = int | float | str | tuple[int, ...] | tuple[float, ...]


@dataclass(frozen=True)
class ElementType:
    """How one element is stored and moved on the chip.

    `kind` is "int", "uint", "float" or "bool".
    """

    kind: str
    bits: int

    @property
    def name(self) -> str:
        return "bool" if self.kind == "bool" else f"{self.kind}{self.bits}"

    @property
    def is_integer(self) -> bool:
        return self.kind in ("int", "uint")

    @property
    def numpy(self) -> np.dtype[Any]:
        """The NumPy type that holds it here: widths below 8 bits live in int8 or uint8."""
        return np.dtype("bool" if self.kind == "bool" else f"{self.kind}{max(self.bits, 8)}")

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest integer of this width."""
        if self.kind == "uint":
            return 0, (1 << self.bits) - 1
        return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1


FLOAT32 = ElementType("float", 32)
INT32 = ElementType("int", 32)
INT64 = ElementType("int", 64)
BOOL = ElementType("bool", 8)


@dataclass(frozen=True, eq=False)
class Quantization:
    """real = (q - zero_point) * scale, and q stays in [low, high].

    `scale` is float32 and `zero_point` int32; both have one entry (per tensor, `axis` None) or one
    per index along `axis` (per output channel of a weight, per neuron of an activation). Arrays of
    full rank broadcast against the tensor as they are. A Relu or a Clip before the quantizer is a
    narrower [low, high].
    """

    scale: Array
    zero_point: Array
    low: int
    high: int
    axis: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", frozen(np.atleast_1d(np.asarray(self.scale, np.float32))))
        object.__setattr__(
            self, "zero_point", frozen(np.atleast_1d(np.asarray(self.zero_point, np.int32)))
        )

    @property
    def is_uniform(self) -> bool:
        """Whether one scale and one zero point hold for the whole tensor."""
        return self.scale.size == 1 and self.zero_point.size == 1

    def along(self, which: Array, rank: int) -> Array:
        """`scale` or `zero_point` shaped to broadcast against a tensor of this rank."""
        if which.ndim > 1:
            return which
        if self.axis is None:
            return which.reshape((1,) * rank)
        return which.reshape(tuple(-1 if d == self.axis else 1 for d in range(rank)))

    def within(self, low: int, high: int) -> Quantization:
        """The same, for codes that are clamped to [low, high] after their own range."""
        first, last = (min(max(end, low), high) for end in (self.low, self.high))
        return replace(self, low=first, high=last)

    def same(self, other: Quantization) -> bool:
        """Whether both give every integer the same real value."""
        return (
            self.axis == other.axis
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
        )


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor: an input, a constant (`data` is set), or what a node computes."""

    name: str
    shape: Shape
    element: ElementType
    quantization: Quantization | None = None
    data: Array | None = None

    @property
    def is_constant(self) -> bool:
        return self.data is not None

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def stored_bytes(self) -> int:
        """Bytes on the chip, at the true width, rounded up to whole bytes."""
        return -(-self.size * self.element.bits // 8)


@dataclass(frozen=True, eq=False)
class Node:
    """One operator applied to values, by name. An absent optional input is the empty name.

    `sources` names the nodes of the imported file that it stands for, the one it is named after
    first.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in topological order; `values` holds every value they name.

    `state`: pairs of an input and the output that is that input in the next run (a key-value
    cache); they stay on the chip in between.
    `exchanged`: of a chip that works beside others, the inputs that these send it while it runs,
    and the values that it sends them parts of.
    """

    name: str
    nodes: tuple[Node, ...]
    values: Mapping[str, Value]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    state: tuple[tuple[str, str], ...] = ()
    exchanged: frozenset[str] = frozenset()

    def producers(self) -> dict[str, Node]:
        return {name: node for node in self.nodes for name in node.outputs}

    def consumers(self) -> dict[str, list[Node]]:
        """Nodes that read each value, in order; a node that reads it twice is there twice."""
        found: dict[str, list[Node]] = {name: [] for name in self.values}
        for node in self.nodes:
            for name in filter(None, node.inputs):
                found[name].append(node)
        return found

    def calls(self) -> Iterator[Call]:
        for node in self.nodes:
            yield self.call(node)

    def call(self, node: Node) -> Call:
        return Call(
            node,
            tuple(self.values[n] if n else None for n in node.inputs),
            tuple(self.values[n] for n in node.outputs),
        )

    def with_nodes(self, nodes: tuple[Node, ...], values: Mapping[str, Value]) -> Graph:
        """The same network over other nodes, without the values that nothing names any more."""
        used = {n for node in nodes for n in (*node.inputs, *node.outputs) if n}
        used.update(self.inputs, self.outputs)
        kept = {name: value for name, value in values.items() if name in used}
        return replace(self, nodes=nodes, values=kept)


@dataclass(frozen=True, eq=False)
class Call:
    """A node with its values looked up: what an operator's methods are given."""

    node: Node
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value, ...]

    @property
    def output(self) -> Value:
        return self.outputs[0]

    def input(self, index: int) -> Value:
        """The input at `index`, which must be there."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if value is None:
            raise ModelError(f"input {index} must be given (node '{self.node.name}')")
        return value

    def optional(self, index: int) -> Value | None:
        return self.inputs[index] if index < len(self.inputs) else None

    def ints(self, name: str) -> tuple[int, ...]:
        value = self.node.attributes[name]
        assert isinstance(value, tuple)
        return tuple(int(v) for v in value)

    def number(self, name: str) -> float:
        value = self.node.attributes[name]
        assert isinstance(value, int | float)
        return float(value)

    def int(self, name: str) -> int:
        value = self.node.attributes[name]
        assert isinstance(value, int)
        return value


def frozen(array: Array) -> Array:
    """The same array, marked read-only: graph data is shared, never changed in place."""
    array.setflags(write=False)
    return array


def verify(graph: Graph) -> None:
    """Raise ModelError unless every name is defined once, before it is used, and has a type."""
    defined = {n for n, v in graph.values.items() if v.is_constant} | set(graph.inputs)
    for node in graph.nodes:
        for name in filter(None, node.inputs):
            if name not in defined:
                raise ModelError(
                    f"value '{name}' must be defined before node '{node.name}' reads it"
                )
        for name in node.outputs:
            if name in defined:
                raise ModelError(f"value '{name}' must be defined once, not again by '{node.name}'")
            if name not in graph.values:
                raise ModelError(f"value '{name}' of node '{node.name}' must have a type")
            defined.add(name)
    for name in graph.outputs:
        if name not in defined:
            raise ModelError(f"output '{name}' must be computed by some node")
