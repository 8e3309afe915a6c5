"""Small products that a quantized file leaves in float run in the vector unit."""

from __future__ import annotations

from dataclasses import replace

from zapdeploy.compile.graph import FLOAT32, Call, Graph, Node

MOST_MACS = 1 << 20  # of one product for one frame; a larger one belongs in the matrix unit


def with_real_products(graph: Graph) -> Graph:
    """Every matrix product with an operand in float and at most MOST_MACS multiplications.

    Larger ones stay as they are, for the reader to be told about.
    """
    nodes = tuple(_real(graph.call(node)) for node in graph.nodes)
    return graph.with_nodes(nodes, graph.values)


def _real(call: Call) -> Node:
    if call.node.op != "MatMul" or len(call.inputs) > 3:
        return call.node
    operands = (call.input(0), call.input(1))
    frames = call.output.shape[0] if len(call.output.shape) > 2 else 1
    macs = call.output.size * operands[0].shape[-1] // max(frames, 1)
    bias = call.optional(2)
    if all(value.element != FLOAT32 for value in operands) or macs > MOST_MACS:
        return call.node
    if bias is not None and bias.element != FLOAT32:
        return call.node
    return replace(call.node, op="RealMatMul")
