"""How a file writes quantization, in words."""

from __future__ import annotations

from collections.abc import Sequence

from zapdeploy.compile.frontend.onnx_node import OnnxNode
from zapdeploy.compile.frontend.qonnx import QONNX
from zapdeploy.simplify.onnx_operators import INTEGER_PRODUCTS


def dialects_of(nodes: Sequence[OnnxNode]) -> tuple[str, ...]:
    """Of "QDQ", "QCDQ", "QONNX", "operator form", "dynamic": those that the file uses."""
    found = []
    operators = {node.op for node in nodes}
    producer = {name: node.op for node in nodes for name in node.outputs}
    if "DequantizeLinear" in operators:
        clipped = any(
            node.op == "DequantizeLinear" and producer.get(node.inputs[0]) == "Clip"
            for node in nodes
        )
        found.append("QCDQ" if clipped else "QDQ")
    if any(node.domain in QONNX for node in nodes):
        found.append("QONNX")
    if any(op.startswith("QLinear") or op == "QGemm" for op in operators):
        found.append("operator form")
    if operators & ({"DynamicQuantizeLinear"} | INTEGER_PRODUCTS):
        found.append("dynamic")
    return tuple(found)
