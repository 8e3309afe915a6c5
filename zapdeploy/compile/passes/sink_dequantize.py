"""Dequantizers move down through what gives the same on codes as on real numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from zapdeploy.compile.graph import Graph, Node, Quantization, Value
from zapdeploy.compile.ops.axes import axis_after
from zapdeploy.compile.ops.base import Trait, has
from zapdeploy.compile.passes.rewriting import Names, sources_of


@dataclass(frozen=True)
class SinkDequantize:
    """op(DQ(q)) = DQ(op(q)): codes are moved and compared instead of float32.

    A dequantizer with other readers stays for them; what is read by nobody is removed later.
    """

    def __call__(self, graph: Graph) -> Graph:
        names, values = Names.of(graph), dict(graph.values)
        dequantizers: dict[str, Node] = {}  # float value -> the dequantizer that makes it
        nodes: list[Node] = []
        for node in graph.nodes:
            if node.op == "Dequantize":
                dequantizers[node.outputs[0]] = node
                nodes.append(node)
                continue
            result = _codes_after(values, dequantizers, node)
            if result is None:
                nodes.append(node)
                continue
            made = replace(result, name=names.fresh(f"{node.outputs[0]}_quantized"))
            values[made.name] = made
            before = [dequantizers[name] for name in node.inputs]
            inputs = tuple(dequantizer.inputs[0] for dequantizer in before)
            nodes.append(replace(node, inputs=inputs, outputs=(made.name,)))
            name = names.fresh(f"{node.name}_dequantize")
            after = Node(name, "Dequantize", (made.name,), node.outputs, {}, sources_of(before))
            dequantizers[node.outputs[0]] = after
            nodes.append(after)
        return graph.with_nodes(tuple(nodes), values)


def _codes_after(
    values: dict[str, Value], dequantizers: dict[str, Node], node: Node
) -> Value | None:
    """The output as codes, when the operator can work on the codes of all its inputs."""
    if not has(node.op, Trait.DEQUANTIZER_PASSES) or any(
        name not in dequantizers for name in node.inputs
    ):
        return None
    codes = [values[dequantizers[name].inputs[0]] for name in node.inputs]
    first, output = codes[0], values[node.outputs[0]]
    meaning = first.quantization
    assert meaning is not None
    if meaning.axis is not None:
        moved = _along_axis(node, first, output, meaning.axis)
        if moved is None:
            return None
        meaning = replace(meaning, axis=moved)
    if node.op == "Concat":
        return _joined(codes, output)
    if node.op == "Pad" and not _holds(meaning, node):
        return None
    if node.op == "Relu":
        low = int(np.clip(meaning.zero_point[0], meaning.low, meaning.high))
        meaning = replace(meaning, low=low)
    return replace(output, element=first.element, quantization=meaning)


def _along_axis(node: Node, first: Value, output: Value, axis: int) -> int | None:
    if node.op not in ("Reshape", "Transpose", "Slice", "Take", "Tile"):
        return None
    return axis_after(node, first.shape, output.shape, axis)


def _joined(codes: list[Value], output: Value) -> Value | None:
    """Codes of equal meaning and signedness, in the widest type among them."""
    widest = max(codes, key=lambda value: value.element.bits)
    meaning = widest.quantization
    assert meaning is not None
    low, high = meaning.low, meaning.high
    for value in codes:
        if value.quantization is None or not value.quantization.same(meaning):
            return None
        if value.element.kind != widest.element.kind:
            return None
        low, high = min(low, value.quantization.low), max(high, value.quantization.high)
    joined = replace(meaning, low=low, high=high)
    return replace(output, element=widest.element, quantization=joined)


def _holds(meaning: Quantization, node: Node) -> bool:
    """Whether the padding value has a code of its own: what it means is that very number, up to
    the last bits of float32."""
    value = node.attributes["value"]
    assert isinstance(value, float)
    steps = value / float(meaning.scale[0])
    code = round(steps) + int(meaning.zero_point[0])
    return abs(steps - round(steps)) <= 1e-6 * abs(steps) and meaning.low <= code <= meaning.high
