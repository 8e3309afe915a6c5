"""Stages of a network: consecutive layers that one chip runs, and the tensors that cross between.

A tensor that a later stage reads goes to the host once and from there to every chip that reads it,
however many stages lie in between: hosts have memory to keep it, chips do not. What crosses is what
a layer stores; views, and the converters at the network's border, go with the stage that needs
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from zapdeploy.arrays import FloatArray, IntArray
from zapdeploy.compile.graph import Graph, Node, Value
from zapdeploy.compile.layers import Layer, host_nodes, network_inputs, network_outputs, stored
from zapdeploy.compile.mapping.cost import storage_bits
from zapdeploy.compile.multichip.chain_partition import BoolTable
from zapdeploy.compile.program.capacity import parameters_and_programs
from zapdeploy.compile.state import states
from zapdeploy.hardware_targets import Target


@dataclass(frozen=True, eq=False)
class Crossing:
    """A tensor that layers or the host make and others read, by their positions in the chain.

    `source` is -1 for an input of the network; an output has the number of layers among its
    `readers`, as if the host read it last.
    """

    value: Value
    source: int
    readers: tuple[int, ...]


def crossings(graph: Graph, layers: Sequence[Layer]) -> tuple[Crossing, ...]:
    """Every tensor that would cross a border between two of these layers, or crosses the host's."""
    made = {layer.output.name: index for index, layer in enumerate(layers)}
    values = {value.name: value for value in network_inputs(graph)}
    values |= {layer.output.name: layer.output for layer in layers}
    readers: dict[str, list[int]] = {name: [] for name in values}
    for index, layer in enumerate(layers):
        for read in layer.reads:
            readers.setdefault(read.source.name, []).append(index)
    for value in network_outputs(graph):
        if (name := stored(graph, value).name) in readers:
            readers[name].append(len(layers))
    return tuple(
        Crossing(value, made.get(name, -1), tuple(dict.fromkeys(readers[name])))
        for name, value in values.items()
    )


def size_on_chip(value: Value, target: Target) -> int:
    """Bytes of a tensor on a chip and on its host link."""
    return -(-value.size * storage_bits(value, target) // 8)


def core_memory(target: Target) -> int:
    """Bytes of all cores of a chip together."""
    return target.array.usable_cores * int(target.core.memory)


def bytes_in_and_out(
    found: Sequence[Crossing], layers: int, target: Target
) -> tuple[IntArray, IntArray]:
    """Bytes that the stage of layers i to j - 1 gets from the host, and sends there.

    Two int64 tables [layers + 1, layers + 1], indexed [i, j].
    """
    first, end = np.ogrid[: layers + 1, : layers + 1]
    into = np.zeros((layers + 1, layers + 1), np.int64)
    out = np.zeros_like(into)
    for crossing in found:
        size = size_on_chip(crossing.value, target)
        readers = np.zeros(layers + 2, np.int64)
        readers[1:][list(crossing.readers)] = 1
        before = readers.cumsum()  # readers before each layer
        read_inside = before[end] > before[first]
        made_inside = (first <= crossing.source) & (crossing.source < end)
        into += size * (read_inside & (crossing.source < first))
        out += size * (made_inside & (before[-1] > before[end]))
    return into, out


def stage_graph(graph: Graph, layers: Sequence[Layer], first: int, end: int) -> Graph:
    """The network of the layers first to end - 1; the whole of it is the graph itself."""
    if (first, end) == (0, len(layers)):
        return graph
    wanted = _nodes_of(graph, layers[first:end], is_first=first == 0)
    nodes = tuple(node for node in graph.nodes if node.name in wanted)
    made = {name for node in nodes for name in node.outputs}
    read = dict.fromkeys(name for node in nodes for name in node.inputs if name)
    outside = [n for n in read if n not in made and not graph.values[n].is_constant]
    idle = _idle(graph) if first == 0 else set()
    inputs = [n for n in graph.inputs if n in outside or n in idle]
    inputs += [n for n in outside if n not in graph.inputs]
    later = {read.source.name for layer in layers[end:] for read in layer.reads}
    outputs = [n for n in graph.outputs if n in made or n in idle]
    outputs += [n for n in (m.output.name for m in layers[first:end]) if n in later - set(outputs)]
    state = tuple((before, after) for before, after in graph.state if after in outputs)
    stage = replace(graph, inputs=tuple(inputs), outputs=tuple(outputs), state=state)
    return stage.with_nodes(nodes, graph.values)


def _idle(graph: Graph) -> set[str]:
    """Inputs that no node reads, and outputs that no node makes: the first stage has them."""
    read = {name for node in graph.nodes for name in node.inputs}
    return (set(graph.inputs) - read) | (set(graph.outputs) - graph.producers().keys())


def _nodes_of(graph: Graph, layers: Sequence[Layer], *, is_first: bool) -> set[str]:
    """Names of the nodes of these layers: their own, views they read through, the border's.

    A view or a converter on the way to a network output belongs to the stage that stores it.
    """
    producers, hosted = graph.producers(), host_nodes(graph)
    names = {call.node.name for layer in layers for call in layer.calls}
    for layer in layers:
        for read in layer.reads:
            names.update(view.node.name for view in read.views)
            maker = producers.get(read.source.name)
            if maker is not None and maker.name in hosted:
                names.add(maker.name)
    outputs = {layer.output.name for layer in layers}
    if is_first:
        outputs |= {value.name for value in network_inputs(graph)}
    for name in graph.outputs:
        names |= {node.name for node in _way_out(graph, producers, name, hosted, outputs)}
    return names


def _way_out(
    graph: Graph,
    producers: dict[str, Node],
    name: str,
    hosted: frozenset[str],
    outputs: set[str],
) -> list[Node]:
    """The converter and views between a tensor that is stored here and a network output."""
    way: list[Node] = []
    node = producers.get(name)
    if node is not None and node.name in hosted:
        way.append(node)
        name = node.inputs[0]
    source = stored(graph, graph.values[name]).name
    if source not in outputs:
        return []
    while name != source:
        way.append(producers[name])
        name = producers[name].inputs[0]
    return way


def border_bytes(graph: Graph, target: Target) -> tuple[int, int]:
    """Bytes that a stage with this graph gets from the host, and sends there."""
    into, out = (
        sum(size_on_chip(value, target) for value in values)
        for values in (network_inputs(graph), network_outputs(graph))
    )
    return into, out


def stage_seconds(
    cycles: FloatArray, into: IntArray, out: IntArray, target: Target
) -> tuple[FloatArray, FloatArray]:
    """Seconds between micro-batches, and of one alone, of stages that take so many cycles.

    The three take turns where the framebuffer holds only one set of inputs and outputs.
    """
    array = cycles / target.clock_hz
    link = target.host.bandwidth.value
    fixed = 2 * target.host.transfer_latency_s + target.host.launch_latency_s
    alone = fixed + into / link + array + out / link
    twice = 2 * (into + out) <= target.framebuffer_bytes
    slowest = np.maximum(array, np.maximum(into, out) / link)
    return np.where(twice, slowest, alone), alone


def keeps_state_whole(graph: Graph, layers: Sequence[Layer]) -> BoolTable:
    """Stages that have all layers around a state, or none of them [first, end].

    State stays on a chip, so those that read it, old or new, and the one that renews it share one.
    """
    first, end = np.ogrid[: len(layers) + 1, : len(layers) + 1]
    allowed = np.ones((len(layers) + 1,) * 2, np.bool_)
    for state in states(graph):
        names = {state.before.name, state.after.name}
        around = [
            index
            for index, layer in enumerate(layers)
            if names & {layer.output.name, *(read.source.name for read in layer.reads)}
        ]
        low, high = min(around), max(around)
        allowed &= ((first <= low) & (high < end)) | (end <= low) | (high < first)
    return allowed


@dataclass(frozen=True, eq=False)
class Demands:
    """What every stage asks of a chip, at the least, in bytes; int64 tables [first, end].

    `held`: parameters and programs, with the largest output of a layer beside them, over all cores;
    `moved`: in the framebuffer, what is received and sent. How a mapping fills the cores, only
    compiling tells.
    """

    held: IntArray
    moved: IntArray
    memory: int
    framebuffer: int

    @property
    def there(self) -> BoolTable:
        """Stages of one layer and more."""
        return np.triu(np.ones(self.held.shape, np.bool_), 1)

    @property
    def possible(self) -> BoolTable:
        """Stages that this does not rule out."""
        return self.there & (self.held <= self.memory) & (self.moved <= self.framebuffer)


def demands(layers: Sequence[Layer], moved: IntArray, target: Target) -> Demands:
    """The demands of all stages of consecutive layers, which move so many bytes."""
    programs = parameters_and_programs((), target)
    own = [parameters_and_programs((layer,), target) - programs for layer in layers]
    total = np.concatenate([[0], np.cumsum(own)])
    output = np.array([size_on_chip(layer.output, target) for layer in layers])
    largest = np.zeros(moved.shape, np.int64)
    for index in range(len(layers)):
        largest[index, index + 1 :] = np.maximum.accumulate(output[index:])
    return Demands(
        held=programs + total[None, :] - total[:, None] + largest,
        moved=moved,
        memory=core_memory(target),
        framebuffer=target.framebuffer_bytes,
    )
