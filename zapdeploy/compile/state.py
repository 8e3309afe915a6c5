"""State: what a network keeps on the chip from one frame to the next, such as a key-value cache.

A file writes it as a pair, an input and the output that is that input in the next frame. On the
chip both are one tensor: it lies where the layer that computes the output leaves it, and is read
there in the next frame. The host neither sends nor receives it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from zapdeploy.compile.graph import Graph, Value
from zapdeploy.compile.layers import Layer, chip_output, received
from zapdeploy.compile.ops.base import Operator, operator
from zapdeploy.errors import ModelError, UsageError


@dataclass(frozen=True, eq=False)
class State:
    """`before`: the tensor as layers read it; `after`: as the next frame finds it."""

    before: Value
    after: Value


def with_state(graph: Graph, pairs: Mapping[str, str]) -> Graph:
    """The graph with these inputs (keys) kept from these outputs.

    Raises UsageError for names that the graph does not have, ModelError for pairs that cannot be
    one tensor on the chip.
    """
    for what, names, known in (
        ("input", pairs.keys(), graph.inputs),
        ("output", pairs.values(), graph.outputs),
    ):
        for name in names:
            if name not in known:
                listed = ", ".join(f"'{n}'" for n in known)
                raise UsageError(f"state must name an {what}, one of {listed}, not '{name}'")
    if len(set(pairs.values())) < len(pairs):
        raise UsageError(f"state must name every output once, not {sorted(pairs.values())}")
    graph = replace(graph, state=tuple(pairs.items()))
    states(graph)
    return graph


def states(graph: Graph) -> tuple[State, ...]:
    """Every pair as tensors on the chip; raises ModelError for one that cannot be kept there."""
    return tuple(_state(graph, before, after) for before, after in graph.state)


def _state(graph: Graph, before: str, after: str) -> State:
    where = f"state '{before}' -> '{after}'"
    given, result = received(graph, before), chip_output(graph, after)
    if len(given) > 1:
        names = " and ".join(f"'{value.name}'" for value in given)
        raise ModelError(f"{where} must be read in one form, not as {names}")
    value = given[0]
    if (value.shape, value.element) != (result.shape, result.element):
        raise ModelError(
            f"{where} must have one shape and type, not {list(value.shape)} {value.element.name} "
            f"and {list(result.shape)} {result.element.name}"
        )
    a, b = value.quantization, result.quantization
    if (a is None) != (b is None) or (a is not None and b is not None and not a.same(b)):
        raise ModelError(f"{where} must have one scale and zero point; give both one quantizer")
    producer = graph.producers().get(result.name)
    if producer is None or operator(producer.op).unit.value == "view":
        raise ModelError(f"{where} must be computed by a layer, not be another tensor's view")
    return State(value, result)


def is_in_place(state: State, layers: Sequence[Layer]) -> bool:
    """Whether the layer that computes the new state can write it over the old one.

    It can when no later layer reads the old one, and when it reads only the very elements that it
    writes: it works element by element on tensors of one shape.
    """
    writer = next(i for i, layer in enumerate(layers) if layer.output.name == state.after.name)
    for index, layer in enumerate(layers):
        for read in layer.reads:
            if read.source.name != state.before.name:
                continue
            op = operator(read.call.node.op)
            elementwise = type(op).input_regions is Operator.input_regions and not read.views
            same = read.call.output.shape == state.before.shape
            if index > writer or (index == writer and not (elementwise and same)):
                return False
    return True
