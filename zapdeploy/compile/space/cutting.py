"""Cut every tensor of a network into one box for each card, and find what a card needs for its own.

All cards run the same nodes at the same time. A card makes its box of a node's output from boxes of
the inputs, which the operator names; where these reach beyond what the card has itself, the rest
comes from the cards that have it (`pieces`). What space does not run over lies whole on every card,
and every card makes it. Sums of integers over space stay parts of sums until someone reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from zapdeploy.compile.graph import Array, Attribute, Call, Graph, Node, Value
from zapdeploy.compile.layers import host_nodes
from zapdeploy.compile.ops.base import Operator, Unit, operator
from zapdeploy.compile.regions import IntArray, Region, whole
from zapdeploy.compile.space.axes import Axes, space_axes
from zapdeploy.compile.space.grid import Grid, borders
from zapdeploy.errors import ModelError, UsageError


@dataclass(frozen=True, eq=False)
class NodeCut:
    """A node on all cards: the boxes of its output and of what it reads [cards, rank].

    `attributes`: those that are others on each card. `joined`: inputs that are parts
    of sums, which the card adds up before it reads them.
    """

    node: Node
    out: Region
    needs: tuple[Region | None, ...]
    attributes: tuple[Mapping[str, Attribute], ...]
    joined: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class SpaceCut:
    """A network cut over the cards of a grid.

    `owned`: the box of every value that a card makes, or is given by the host [cards, rank].
    `summed`: values of which every card has a part of a sum, with the dimensions of space that it
    runs over.
    """

    graph: Graph
    grid: Grid
    axes: Mapping[str, Axes]
    owned: Mapping[str, Region]
    nodes: tuple[NodeCut, ...]
    summed: Mapping[str, frozenset[int]]
    overlapping: bool = False

    @cached_property
    def hosted(self) -> frozenset[str]:
        """Values of which nothing is sent: inputs, what the host quantizes of them, and all where
        boxes overlap, so that each card makes whatever it needs itself."""
        return frozenset(self.graph.values) if self.overlapping else hosted_values(self.graph)

    def holders(self, name: str) -> IntArray:
        """Of each card, whether it can ask another for a value [reader, source]: of cards that
        have the same part, it asks the one that stands like itself."""
        places = self.grid.places
        alike = [d for d, axis in enumerate(self.axes[name]) if axis is None]
        return np.all(places[:, None, alike] == places[None, :, alike], axis=-1)

    def adders(self, name: str) -> IntArray:
        """The cards whose parts of a sum are different ones, in order."""
        alike = [d for d in range(len(self.grid.parts)) if d not in self.summed[name]]
        return np.flatnonzero(np.all(self.grid.places[:, alike] == 0, axis=1))


def hosted_values(graph: Graph) -> frozenset[str]:
    """Network inputs, and what the host's own quantizers make of them."""
    hosted = host_nodes(graph)
    made = {n.outputs[0] for n in graph.nodes if n.name in hosted and n.op == "Quantize"}
    return frozenset(graph.inputs) | made


def cut_space(graph: Graph, grid: Grid) -> SpaceCut:
    """Cut a network. Raises UsageError for a grid that does not suit it."""
    if graph.state:
        raise UsageError("--split space must go without state; a network that keeps it has stages")
    dimensions = {len(graph.values[name].shape) - 2 for name in graph.inputs}
    if max(dimensions, default=0) < 1:
        raise UsageError(
            f"--split space must have a network over space, [frames, channels, ...], "
            f"not '{graph.name}'; use --split stages"
        )
    if len(grid.parts) not in dimensions:
        raise UsageError(
            f"--chip-grid must have {max(dimensions)} numbers for this network, one for each "
            f"spatial dimension, not {len(grid.parts)} ({grid})"
        )
    return _Cutting(graph, grid).cut()


@dataclass(eq=False)
class _Cutting:
    graph: Graph
    grid: Grid
    axes: dict[str, Axes] = field(default_factory=dict)
    owned: dict[str, Region] = field(default_factory=dict)
    summed: dict[str, frozenset[int]] = field(default_factory=dict)
    read: dict[str, list[Region]] = field(default_factory=dict)

    def cut(self) -> SpaceCut:
        self.axes = self._long_enough(space_axes(self.graph, len(self.grid.parts)))
        self._check_inputs()
        hosted = hosted_values(self.graph)
        for name in self.graph.inputs:
            self.owned[name] = self._box(self.graph.values[name])
        found: dict[str, NodeCut] = {}
        for call in self.graph.calls():
            if call.output.name not in hosted:
                found[call.node.name] = self._keep(self._node(call))
        for call in reversed(list(self.graph.calls())):
            if call.output.name in hosted:
                box = self._bounding(call.output)
                found[call.node.name] = self._keep(
                    self._try(call, box, frozenset()) or self._whole(call)
                )
        for name in self.graph.inputs:
            self.owned[name] = self._bounding(self.graph.values[name])
        nodes = tuple(found[node.name] for node in self.graph.nodes)
        return SpaceCut(self.graph, self.grid, self.axes, self.owned, nodes, self.summed)

    def _long_enough(self, axes: dict[str, Axes]) -> dict[str, Axes]:
        """Without dimensions that are too short to give every card something."""
        return {
            name: tuple(
                axis
                if axis is not None and self.graph.values[name].shape[axis] >= self.grid.parts[d]
                else None
                for d, axis in enumerate(found)
            )
            for name, found in axes.items()
        }

    def _check_inputs(self) -> None:
        for d, parts in enumerate(self.grid.parts):
            lengths = [
                value.shape[2 + d]
                for value in map(self.graph.values.__getitem__, self.graph.inputs)
                if len(value.shape) == 2 + len(self.grid.parts)
            ]
            if min(lengths) < parts:
                raise UsageError(
                    f"--chip-grid must cut no dimension into more parts than it is long, not "
                    f"{parts} of {min(lengths)} ({self.grid})"
                )

    @cached_property
    def _coarsest(self) -> tuple[int, ...]:
        """The shortest length along each dimension of space that is cut."""
        found = []
        for d in range(len(self.grid.parts)):
            lengths = [
                self.graph.values[name].shape[axes[d]]  # type: ignore[index]
                for name, axes in self.axes.items()
                if axes[d] is not None
            ]
            found.append(min(lengths))
        return tuple(found)

    def _box(self, value: Value) -> Region:
        """The part of a value that each card has, by where it stands [cards, rank]."""
        box = whole(value.shape, (self.grid.cards,))
        low, high = box.low.copy(), box.high.copy()
        for d, axis in enumerate(self.axes[value.name]):
            if axis is not None:
                cuts = borders(value.shape[axis], self.grid.parts[d], self._coarsest[d])
                place = self.grid.places[:, d]
                low[:, axis], high[:, axis] = cuts[place], cuts[place + 1]
        return Region(low, high)

    def _bounding(self, value: Value) -> Region:
        """The smallest box of what a card reads of a value; nothing where it reads nothing."""
        boxes = self.read.get(value.name)
        return bounding(boxes) if boxes else self._box(value)

    def _keep(self, found: NodeCut) -> NodeCut:
        for name, need in zip(found.node.inputs, found.needs, strict=True):
            if name and need is not None:
                self.read.setdefault(name, []).append(need)
        first, *others = found.node.outputs
        self.owned[first] = found.out
        for name in others:
            self.owned[name] = whole(self.graph.values[name].shape, (self.grid.cards,))
        return found

    def _node(self, call: Call) -> NodeCut:
        if len(call.outputs) > 1:
            return self._whole(call)
        over = self._summed_over(call)
        if over is not None:
            self.summed[call.output.name] = over
            found = self._partial(call)
            if found is not None:
                return found
            del self.summed[call.output.name]
        joined = frozenset(n for n in call.node.inputs if n in self.summed)
        return self._try(call, self._box(call.output), joined) or self._whole(call)

    def _whole(self, call: Call) -> NodeCut:
        """Every card makes all of it."""
        for value in call.outputs:
            self.axes[value.name] = (None,) * len(self.grid.parts)
        joined = frozenset(n for n in call.node.inputs if n in self.summed)
        found = self._try(call, whole(call.output.shape, (self.grid.cards,)), joined)
        assert found is not None
        return found

    def _try(self, call: Call, out: Region, joined: frozenset[str]) -> NodeCut | None:
        """The node over these boxes of its output; None where it cannot run on them alone."""
        needs = box_needs(call, out)
        needs = tuple(
            self.owned[name] if name in joined or self._choosing(call, name, need) else need
            for name, need in zip(call.node.inputs, needs, strict=True)
        )
        return fitting(
            NodeCut(call.node, out, needs, box_attributes(call, out, needs), joined), call
        )

    def _choosing(self, call: Call, name: str, need: Region | None) -> bool:
        """Whether a move can choose out of all that the card has, which is what it needs and more.

        A sum of parts is read whole in any case.
        """
        op = operator(call.node.op)
        if need is None or name not in self.owned or name in hosted_values(self.graph):
            return False
        own = self.owned[name]
        inside = np.all((need.low >= own.low) & (need.high <= own.high))
        return bool(
            inside
            and op.unit is Unit.MOVE
            and type(op).tile_attributes is not Operator.tile_attributes
        )

    def _summed_over(self, call: Call) -> frozenset[int] | None:
        """The dimensions of space that a sum of integers is over, where it may stay in parts."""
        if not operator(call.node.op).adds_up(call):
            return None
        source = call.node.inputs[0]
        before, after = self.axes[source], self.axes[call.output.name]
        over = {d for d in range(len(before)) if before[d] is not None and after[d] is None}
        over |= self.summed.get(source, frozenset())
        rest = {d for d, axis in enumerate(after) if axis is not None}
        if not over or not self._all_added(call.output.name, rest):
            return None
        return frozenset(over)

    def _all_added(self, name: str, rest: set[int]) -> bool:
        """Whether sums that follow run over the rest of space, so that parts are of whole sums."""
        if name in self.graph.outputs:
            return False
        if not rest:
            return True
        readers = [node for node in self.graph.nodes if name in node.inputs]
        for node in readers:
            call = self.graph.call(node)
            op = operator(node.op)
            if op.unit is not Unit.VIEW and not op.adds_up(call):
                return False
            left = {d for d, axis in enumerate(self.axes[node.outputs[0]]) if axis is not None}
            if not self._all_added(node.outputs[0], left):
                return False
        return bool(readers)

    def _partial(self, call: Call) -> NodeCut | None:
        """A sum over what the card itself has."""
        source = call.input(0)
        out = self._box(call.output)
        nothing: tuple[Mapping[str, Attribute], ...] = ({},) * self.grid.cards
        found = NodeCut(call.node, out, (self.owned[source.name],), nothing)
        return fitting(found, call)


def box_needs(call: Call, out: Region) -> tuple[Region | None, ...]:
    """What boxes of a call's output need of its inputs [cards, rank]."""
    return tuple(
        None
        if need is None
        else Region(*(np.broadcast_to(edge, (len(out.low), edge.shape[-1])) for edge in need))
        for need in operator(call.node.op).input_regions(call, out)
    )


def bounding(boxes: Sequence[Region]) -> Region:
    """The smallest box around those of each card that hold anything."""
    most = np.max([box.high for box in boxes], axis=0)
    empty = [np.any(box.high <= box.low, axis=1, keepdims=True) for box in boxes]
    low = np.min([np.where(e, most, b.low) for e, b in zip(empty, boxes, strict=True)], axis=0)
    high = np.max([np.where(e, 0, b.high) for e, b in zip(empty, boxes, strict=True)], axis=0)
    return Region(np.minimum(low, high), high)


def box_attributes(
    call: Call, out: Region, needs: tuple[Region | None, ...]
) -> tuple[Mapping[str, Attribute], ...]:
    """Attributes of the node itself that are others for boxes, for each card.

    Cards with equally large boxes are asked about together: tables are as long as the largest.
    """
    found: list[Mapping[str, Attribute]] = [{}] * len(out.low)
    _, group = np.unique(out.extent, axis=0, return_inverse=True)
    for each in range(int(group.max()) + 1):
        cards = np.flatnonzero(group.reshape(-1) == each)
        own = [None if n is None else Region(n.low[cards], n.high[cards]) for n in needs]
        box = Region(out.low[cards], out.high[cards])
        special = operator(call.node.op).tile_attributes(call, box, own)
        for row, card in enumerate(cards):
            found[card] = {
                name: tuple(values[row].tolist())
                for name, values in special.items()
                if name in call.node.attributes
            }
    return tuple(found)


def fitting(found: NodeCut, call: Call) -> NodeCut | None:
    """The same, if the operator makes just these boxes of those on every card."""
    alike: set[tuple[bytes, str]] = set()
    needs = [need.extent for need in found.needs if need is not None]
    extents = np.concatenate([found.out.extent, *needs], axis=1)
    for card in range(len(found.out.low)):
        form = extents[card].tobytes(), repr(found.attributes[card])
        if form in alike:
            continue
        alike.add(form)
        try:
            local = local_call(found, call, card)
            shapes = operator(call.node.op).infer(local)
        except ModelError:
            return None
        if shapes[0] != local.output.shape or 0 in local.output.shape:
            return None
    return found


def local_call(cut: NodeCut, call: Call, card: int) -> Call:
    """The call with the shapes and attributes that it has on a card."""
    inputs = tuple(
        None
        if value is None or need is None
        else replace(value, shape=_extent(need, card), data=_part(value.data, need, card))
        for value, need in zip(call.inputs, cut.needs, strict=True)
    )
    output = replace(call.output, shape=_extent(cut.out, card), data=None)
    node = replace(call.node, attributes={**call.node.attributes, **cut.attributes[card]})
    return Call(node, inputs, (output, *call.outputs[1:]))


def _part(data: Array | None, region: Region, card: int) -> Array | None:
    """The card's box of a constant."""
    if data is None:
        return None
    edges = zip(region.low[card], region.high[card], strict=True)
    return data[tuple(slice(int(low), int(high)) for low, high in edges)]


def _extent(region: Region, card: int) -> tuple[int, ...]:
    return tuple(int(n) for n in region.high[card] - region.low[card])
