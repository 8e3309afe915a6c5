"""A Relu or Clip before quantizers is a narrower range of their codes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from zapdeploy.compile.graph import FLOAT32, Array, Graph, Node, Quantization
from zapdeploy.compile.ops.base import operator
from zapdeploy.compile.passes.rewriting import sources_of


@dataclass(frozen=True)
class AbsorbClamp:
    """Exact, because quantizing is monotonic: Q(clamp(x, a, b)) = clamp(Q(x), Q(a), Q(b)).

    Not so for NaN, which a clamp hands on and a quantizer makes its lowest code: where real numbers
    may be none (behind a logarithm, a division), the clamp stays.
    """

    def __call__(self, graph: Graph) -> Graph:
        while True:
            absorbed = self._once(graph)
            if absorbed is graph:
                return graph
            graph = absorbed

    def _once(self, graph: Graph) -> Graph:
        consumers = graph.consumers()
        clamps: dict[str, Node] = {}  # value -> the clamp that makes it
        unsure = _maybe_nan(graph)
        for node in graph.nodes:
            readers = consumers[node.outputs[0]]
            if unsure.isdisjoint(node.inputs) and _absorbable(graph, node, readers):
                clamps[node.outputs[0]] = node
        if not clamps:
            return graph
        values, nodes = dict(graph.values), []
        for node in graph.nodes:
            if node.outputs[0] in clamps:
                continue
            clamp = clamps.get(node.inputs[0]) if node.inputs else None
            if clamp is not None:
                output = values[node.outputs[0]]
                assert output.quantization is not None
                bounds = bounds_of(clamp)
                assert bounds is not None
                narrowed = clamped(output.quantization, *bounds)
                values[output.name] = replace(output, quantization=narrowed)
                node = replace(node, inputs=clamp.inputs, sources=sources_of((node, clamp)))
            nodes.append(node)
        return graph.with_nodes(tuple(nodes), values)


def _absorbable(graph: Graph, node: Node, readers: list[Node]) -> bool:
    bounds = bounds_of(node)
    if bounds is None or node.outputs[0] in graph.outputs or not readers:
        return False
    if graph.values[node.inputs[0]].element != FLOAT32:
        return False
    return all(
        reader.op == "Quantize" and _one_range(graph.values[reader.outputs[0]].quantization, bounds)
        for reader in readers
    )


def _one_range(quantization: Quantization | None, bounds: tuple[float, float]) -> bool:
    """Whether every index has the same codes for the bounds."""
    if quantization is None:
        return False
    return all(np.ptp(_codes(quantization, bound)) == 0 for bound in bounds)


def _maybe_nan(graph: Graph) -> set[str]:
    """Real numbers behind an operator whose results may be infinite or NaN, up to a quantizer."""
    found: set[str] = set()
    for node in graph.nodes:
        if not operator(node.op).finite or not found.isdisjoint(node.inputs):
            found.update(n for n in node.outputs if graph.values[n].element == FLOAT32)
    return found


def bounds_of(node: Node) -> tuple[float, float] | None:
    """What a node clamps to; None for one that is no clamp."""
    return operator(node.op).bounds(node)


def clamped(quantization: Quantization, low: float, high: float) -> Quantization:
    """The quantization with its range cut to what lies between two numbers."""
    first, last = (int(_codes(quantization, bound).flat[0]) for bound in (low, high))
    return replace(quantization, low=first, high=last)


def _codes(quantization: Quantization, bound: float) -> Array:
    """The code of a bound for each index, inside the range so far."""
    with np.errstate(over="ignore"):
        steps = np.rint(np.float32(bound) / quantization.scale)
    codes = np.clip(steps + quantization.zero_point, quantization.low, quantization.high)
    return codes.astype(np.int64)
