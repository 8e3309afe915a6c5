"""Volumes in turn: too few cards to hold a network take its boxes from the host one by one.

Sums over space part a network into rounds: what reads a sum cannot begin before all boxes have
been through what makes it. In a round, a box is a network of its own. The host gives it all that it
needs of tensors of earlier rounds, halos and all, so that boxes overlap in what they compute and
nothing goes between cards; it takes back what later rounds read, and adds up the parts of sums.
Every box is an ordinary graph with inputs and outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from zapdeploy.compile.graph import Call, Graph, Value
from zapdeploy.compile.layers import chip_output, received
from zapdeploy.compile.mapping.cost import storage_bits
from zapdeploy.compile.regions import IntArray, Region, whole
from zapdeploy.compile.space.cards import Cards
from zapdeploy.compile.space.cutting import (
    NodeCut,
    SpaceCut,
    bounding,
    box_attributes,
    box_needs,
    cut_space,
    fitting,
)
from zapdeploy.compile.space.grid import Grid
from zapdeploy.hardware_targets import Target


@dataclass(frozen=True, eq=False)
class Round:
    """Nodes of a network that every box goes through at one time.

    `graph`: these nodes with what they read of earlier rounds, and what later ones read of them.
    `base`: the whole network's cut into the same boxes, without overlap: what a box leaves.
    """

    graph: Graph
    base: SpaceCut

    @cached_property
    def cards(self) -> Cards:
        """The boxes, with all that each needs to make its part."""
        return Cards(_Overlapping(self.graph, self.base).cut())

    @property
    def boxes(self) -> int:
        return self.base.grid.cards

    @cached_property
    def moved_elements(self) -> tuple[IntArray, IntArray]:
        """Into each box and out of it, elements of every input and output [values, boxes]."""
        cut = self.cards.cut
        into = [cut.owned[name].volume for name in self.graph.inputs]
        out = [cut.owned[name].volume for name in self.graph.outputs]
        return np.array(into).reshape(-1, self.boxes), np.array(out).reshape(-1, self.boxes)

    @cached_property
    def largest(self) -> int:
        """The box with most to move."""
        into, out = self.moved_elements
        return int((into.sum(axis=0) + out.sum(axis=0)).argmax())

    def box_bytes(self, target: Target) -> tuple[IntArray, IntArray]:
        """Into each box, and out of it [boxes]; what the host converts moves as the chip has it."""
        given = [received(self.graph, name) for name in self.graph.inputs]
        left = [(chip_output(self.graph, name),) for name in self.graph.outputs]
        found = []
        sides: tuple[Sequence[Sequence[Value]], ...] = (given, left)
        for values, elements in zip(sides, self.moved_elements, strict=True):
            bits = [sum(storage_bits(value, target) for value in each) for each in values]
            sizes = -(-elements * np.array(bits, np.int64).reshape(-1, 1) // 8)
            found.append(sizes.sum(axis=0, dtype=np.int64))
        return found[0], found[1]

    def moved_bytes(self, target: Target) -> tuple[int, int]:
        """Into all boxes together, and out of them."""
        into, out = self.box_bytes(target)
        return int(into.sum()), int(out.sum())


def rounds_of(graph: Graph, grid: Grid) -> tuple[Round, ...]:
    """The rounds of a network whose space is cut into the boxes of a grid."""
    base = cut_space(graph, grid)
    levels = _levels(base)
    last = max(levels.values(), default=0)
    return tuple(Round(_part(graph, levels, level), base) for level in range(last + 1))


def _levels(base: SpaceCut) -> dict[str, int]:
    """The round of each node: one more than that of any sum that it reads.

    What reads no tensor that is cut goes with its first reader, as every box makes it anew.
    """
    made: dict[str, int] = {}
    levels: dict[str, int] = {}
    for node in base.nodes:
        reads = [n for n in node.node.inputs if n in made]
        level = max((made[n] + (n in node.joined) for n in reads), default=0)
        levels[node.node.name] = level
        made.update(dict.fromkeys(node.node.outputs, level))
    return levels


def _part(graph: Graph, levels: Mapping[str, int], level: int) -> Graph:
    """The nodes of a round as a network."""
    nodes = tuple(node for node in graph.nodes if levels[node.name] == level)
    made = {name for node in nodes for name in node.outputs}
    read = dict.fromkeys(name for node in nodes for name in node.inputs if name)
    inputs = tuple(n for n in read if n not in made and not graph.values[n].is_constant)
    later = {n for node in graph.nodes if levels[node.name] > level for n in node.inputs}
    outputs = tuple(
        dict.fromkeys(n for node in nodes for n in node.outputs if n in later | {*graph.outputs})
    )
    return replace(graph, inputs=inputs, outputs=outputs).with_nodes(nodes, graph.values)


@dataclass(eq=False)
class _Overlapping:
    """Finds what each box must make of every tensor of a round, from its outputs backwards."""

    graph: Graph
    base: SpaceCut

    def cut(self) -> SpaceCut:
        read: dict[str, list[Region]] = {}
        owned: dict[str, Region] = {}
        nodes: list[NodeCut] = []
        planned = {node.node.name: node for node in self.base.nodes}
        for call in reversed(list(self.graph.calls())):
            node = self._node(call, planned[call.node.name], read)
            nodes.append(node)
            first, *others = node.node.outputs
            owned[first] = node.out
            for name in others:
                owned[name] = self._all(name)
            for name, need in zip(node.node.inputs, node.needs, strict=True):
                if name and need is not None:
                    read.setdefault(name, []).append(need)
        for name in self.graph.inputs:
            owned[name] = bounding(read[name])
        grid, axes = self.base.grid, self.base.axes
        return SpaceCut(self.graph, grid, axes, owned, tuple(reversed(nodes)), {}, overlapping=True)

    def _node(self, call: Call, planned: NodeCut, read: Mapping[str, Sequence[Region]]) -> NodeCut:
        name = call.output.name
        if name in self.base.summed or len(call.outputs) > 1:
            return replace(planned, joined=frozenset())  # of its own part alone
        boxes = list(read.get(name, ()))
        if name in self.graph.outputs or not boxes:
            boxes.append(self.base.owned[name])
        if all(axis is None for axis in self.base.axes[name]):
            boxes.append(self._all(name))
        out = bounding(boxes)
        return self._made(call, out) or self._made(call, self._all(name)) or planned

    def _made(self, call: Call, out: Region) -> NodeCut | None:
        needs = box_needs(call, out)
        found = NodeCut(call.node, out, needs, box_attributes(call, out, needs))
        return fitting(found, call)

    def _all(self, name: str) -> Region:
        return whole(self.graph.values[name].shape, (self.base.grid.cards,))
