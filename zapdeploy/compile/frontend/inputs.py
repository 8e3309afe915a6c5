"""Network inputs: their types and their shapes."""

from __future__ import annotations

import onnx_ir as ir

from zapdeploy.compile.frontend.tensors import element_type
from zapdeploy.compile.graph import Value
from zapdeploy.errors import ModelError


def network_inputs(graph: ir.Graph) -> tuple[Value, ...]:
    """The inputs that are not initializers; every length is there by now."""
    found = []
    for value in graph.inputs:
        if value.name in graph.initializers:
            continue
        if value.dtype is None or value.shape is None:
            raise ModelError(
                f"input '{value.name}' must have a type and a shape; export the model again"
            )
        shape = tuple(int(d) for d in value.shape if isinstance(d, int))
        if 0 in shape:
            raise ModelError(
                f"input '{value.name}' must have no dimension of size zero, "
                f"not {list(shape)}; export the model again"
            )
        element = element_type(value.dtype, f"input '{value.name}'")
        found.append(Value(str(value.name), shape, element))
    return tuple(found)
