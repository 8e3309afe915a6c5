"""Dequantizers move down through what gives the same on codes as on real numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from zapdeploy.compile.graph import Graph, Node, Value
from zapdeploy.compile.ops.axes import quantization_after
from zapdeploy.compile.ops.base import Trait, has, operator
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
    meaning = quantization_after(node, first, output.shape)
    if meaning is None:
        return None
    return operator(node.op).codes_after(
        node, [replace(first, quantization=meaning), *codes[1:]], output
    )
