"""Operators that the graph has under ONNX's own name: read by what they say of themselves."""

from __future__ import annotations

import zapdeploy.compile.ops  # noqa: F401  (registers the operators)
from zapdeploy.compile.frontend.draft import Draft
from zapdeploy.compile.frontend.onnx_node import OnnxNode
from zapdeploy.compile.frontend.registry import translates
from zapdeploy.compile.graph import Attribute
from zapdeploy.compile.ops.base import operator, registered


@translates(*(op.name for op in registered() if op.onnx_attributes is not None))
def same_name(draft: Draft, node: OnnxNode) -> None:
    """The same inputs and attributes; those that the node leaves out have ONNX's defaults."""
    values = [draft.plain(name) for name in node.inputs]
    defaults = operator(node.op).onnx_attributes or {}
    attributes = {name: _attribute(node, name, default) for name, default in defaults.items()}
    element = draft.common_element(values)
    draft.emit(node, node.op, tuple(value.name for value in values), attributes, element=element)


def _attribute(node: OnnxNode, name: str, default: float | int | str) -> Attribute:
    if isinstance(default, str):
        return node.text(name, default)
    if isinstance(default, float):
        return node.number(name, default)
    return node.integer(name, default)
