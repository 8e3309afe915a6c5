"""Operators that the graph has under ONNX's own name: read by what they say of themselves."""

from __future__ import annotations

import zapdeploy.compile.ops  # noqa: F401  (registers the operators)
from zapdeploy.compile.frontend.graph_builder import GraphBuilder
from zapdeploy.compile.frontend.onnx_node import OnnxNode
from zapdeploy.compile.frontend.registry import translates
from zapdeploy.compile.graph import Attribute
from zapdeploy.compile.ops.base import operator, registered


@translates(*(op.name for op in registered() if op.onnx_attributes is not None))
def same_name(builder: GraphBuilder, node: OnnxNode) -> None:
    """The same inputs and attributes; those that the node leaves out have ONNX's defaults."""
    values = [builder.plain(name) for name in node.inputs]
    defaults = operator(node.op).onnx_attributes or {}
    attributes = {name: _attribute(node, name, default) for name, default in defaults.items()}
    element = builder.common_element(values)
    builder.emit(node, node.op, tuple(value.name for value in values), attributes, element=element)


def _attribute(node: OnnxNode, name: str, default: float | int | str) -> Attribute:
    if isinstance(default, str):
        return node.text(name, default)
    if isinstance(default, float):
        return node.number(name, default)
    return node.integer(name, default)
