"""A card's own network: the same nodes on its boxes, and inputs for what other cards send.

It is an ordinary graph, so that everything that compiles, checks and runs graphs takes it. Inputs
come in three kinds: the card's part of the network's inputs, pieces of other cards, and parts of
sums. Outputs are the card's part of the network's outputs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from zapdeploy.compile.graph import (
    Array,
    Attribute,
    Graph,
    Node,
    Quantization,
    Value,
    frozen,
    verify,
)
from zapdeploy.compile.regions import IntArray, Region
from zapdeploy.compile.space.cutting import NodeCut, SpaceCut
from zapdeploy.compile.space.pieces import Exchanges, Gathering, Joining, exchanges_of


@dataclass(frozen=True, eq=False)
class Cards:
    """A cut network, what its cards send each other, and which cards are alike."""

    cut: SpaceCut

    @cached_property
    def exchanges(self) -> Exchanges:
        return exchanges_of(self.cut)

    @property
    def number(self) -> int:
        return self.cut.grid.cards

    @cached_property
    def kinds(self) -> tuple[int, ...]:
        """For each card, the number of its kind: cards of one kind have the same network."""
        numbers: dict[bytes, int] = {}
        return tuple(numbers.setdefault(key, len(numbers)) for key in self._forms())

    @cached_property
    def models(self) -> tuple[int, ...]:
        """The first card of each kind."""
        return tuple(self.kinds.index(kind) for kind in range(max(self.kinds) + 1))

    def graph(self, card: int) -> Graph:
        """A card's network."""
        return _Builder(self.cut, self.exchanges, card).build()

    def _forms(self) -> list[bytes]:
        """What makes two cards' networks the same, for each card."""
        columns: list[IntArray] = []
        texts: list[list[str]] = [[] for _ in range(self.number)]
        for node in self.cut.nodes:
            columns.append(node.out.extent)
            for card, attributes in enumerate(node.attributes):
                texts[card].append(repr(sorted(attributes.items())))
            for name, need in zip(node.node.inputs, node.needs, strict=True):
                if need is not None:
                    constant = self.cut.graph.values[name].is_constant
                    columns += [need.extent, *([need.low] if constant else [])]
        columns += [self.cut.owned[name].extent for name in self.cut.graph.inputs]
        for gathering in self.exchanges.gatherings.values():
            own = self.cut.owned[gathering.value]
            columns += [gathering.box.extent, own.low - gathering.box.low, own.extent]
            place = gathering.parts.low - gathering.box.low[gathering.reader]
            rows = np.concatenate([place, gathering.parts.extent], axis=1)
            for reader, row in zip(gathering.reader.tolist(), rows.tolist(), strict=True):
                texts[reader].append(f"{gathering.name}{row}")
        numbers = np.concatenate(columns, axis=1)
        return [
            numbers[card].tobytes() + "".join(texts[card]).encode() for card in range(self.number)
        ]


@dataclass(eq=False)
class _Builder:
    cut: SpaceCut
    exchanges: Exchanges
    card: int
    values: dict[str, Value] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)

    def build(self) -> Graph:
        whole = self.cut.graph
        for name in whole.inputs:
            self._own(whole.values[name])
            self.inputs.append(name)
        for node in self.cut.nodes:
            inputs = tuple(self._input(node, i, name) for i, name in enumerate(node.node.inputs))
            for name in node.node.outputs:
                self._own(whole.values[name])
            attributes = {**node.node.attributes, **node.attributes[self.card]}
            self.nodes.append(replace(node.node, inputs=inputs, attributes=attributes))
        for name in whole.outputs:
            self._own(whole.values[name])
        inputs = tuple(self.inputs)
        graph = Graph(
            whole.name, (), self.values, inputs, whole.outputs, exchanged=self._exchanged()
        )
        found = graph.with_nodes(tuple(self.nodes), self.values)
        verify(found)
        return found

    def _exchanged(self) -> frozenset[str]:
        """Inputs from other cards; values that any card sends, on every card alike."""
        sent = {each.value for each in self.exchanges.gatherings.values()}
        sent |= set(self.exchanges.joinings)
        return frozenset((sent - self.cut.hosted) | (set(self.inputs) - set(self.cut.graph.inputs)))

    def _own(self, value: Value) -> None:
        if value.name in self.values:
            return
        if value.is_constant:
            self.values[value.name] = value
            return
        self.values[value.name] = _part(value, value.name, *self._box(self.cut.owned[value.name]))

    def _box(self, region: Region) -> tuple[IntArray, IntArray]:
        return region.low[self.card], region.high[self.card]

    def _input(self, node: NodeCut, index: int, name: str) -> str:
        if not name:
            return name
        value, need = self.cut.graph.values[name], node.needs[index]
        if value.is_constant:
            return self._constant(value, need)
        read = self.exchanges.read.get((node.node.name, index), name)
        if read in self.exchanges.gatherings and read not in self.values:
            self._assemble(self.exchanges.gatherings[read], node.node)
        elif name in node.joined and read not in self.values:
            self._join(self.exchanges.joinings[name], node.node)
        return self._same_or(name, read)

    def _same_or(self, name: str, read: str) -> str:
        """What is put together, or the card's own part where that is just what it reads."""
        return read if read in self.values else name

    def _constant(self, value: Value, need: Region | None) -> str:
        if need is None:
            self.values[value.name] = value
            return value.name
        low, high = self._box(need)
        if np.all(high - low == value.shape):
            self.values[value.name] = value
            return value.name
        name = f"{value.name}[{','.join(f'{a}:{b}' for a, b in zip(low, high, strict=True))}]"
        self.values.setdefault(name, _part(value, name, low, high))
        return name

    def _assemble(self, gathering: Gathering, node: Node) -> None:
        """The box from the card's own part and the pieces that it is sent."""
        value = self.cut.graph.values[gathering.value]
        low, high = self._box(gathering.box)
        own_low, own_high = self._box(self.cut.owned[value.name])
        if np.array_equal(low, own_low) and np.array_equal(high, own_high):
            return
        names, starts = [], list[IntArray]()
        if np.all(np.minimum(high, own_high) > np.maximum(low, own_low)):
            names.append(value.name)
            starts.append(own_low - low)
        for piece in gathering.pieces_of(self.card):
            name = gathering.input_name(int(piece))
            first, last = gathering.parts.low[piece], gathering.parts.high[piece]
            self.values[name] = _part(value, name, first, last)
            self.inputs.append(name)
            names.append(name)
            starts.append(first - low)
        self.values[gathering.name] = _part(value, gathering.name, low, high)
        flat = tuple(int(n) for start in starts for n in start)
        self.nodes.append(
            Node(
                gathering.name, "Assemble", tuple(names), (gathering.name,), {"starts": flat},
                node.sources,
            )
        )  # fmt: skip

    def _join(self, joining: Joining, node: Node) -> None:
        """The sum of the parts that all cards have."""
        value = self.cut.graph.values[joining.value]
        own = self.values[joining.value]
        shape = (len(joining.adders), *own.shape)
        self.values[joining.parts_name] = replace(value, name=joining.parts_name, shape=shape)
        self.inputs.append(joining.parts_name)
        self.values[joining.name] = replace(own, name=joining.name)
        attributes: dict[str, Attribute] = {"axes": (0,), "keepdims": 0}
        self.nodes.append(
            Node(
                joining.name, "ReduceSum", (joining.parts_name,), (joining.name,), attributes,
                node.sources,
            )
        )  # fmt: skip


def _part(value: Value, name: str, low: IntArray, high: IntArray) -> Value:
    """A box of a value as a value of its own."""
    shape = tuple(int(n) for n in high - low)
    index = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    data = None if value.data is None else frozen(np.ascontiguousarray(value.data[index]))
    return Value(name, shape, value.element, _meaning(value, index), data)


def _meaning(value: Value, index: tuple[slice, ...]) -> Quantization | None:
    """The scales of a box, where they run along an axis of it."""
    meaning = value.quantization
    if meaning is None or meaning.is_uniform:
        return meaning

    def part(which: Array) -> Array:
        if which.size == 1:
            return which
        if which.ndim == 1:
            assert meaning.axis is not None
            return which[index[meaning.axis]]
        own = index[len(index) - which.ndim :]
        return which[
            tuple(s if n > 1 else slice(None) for s, n in zip(own, which.shape, strict=True))
        ]

    scale, zero_point = part(meaning.scale), part(meaning.zero_point)
    return replace(meaning, scale=np.array(scale), zero_point=np.array(zero_point))
