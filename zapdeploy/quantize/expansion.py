"""Operators that ONNX defines by others are quantized as those others, product by product."""

from __future__ import annotations

import onnx
from onnx import inliner

EXPANDED = ("Attention", "RotaryEmbedding")


def has_functions(model: onnx.ModelProto) -> bool:
    """Whether there is anything to expand."""
    return any(node.op_type in EXPANDED and not node.domain for node in model.graph.node)


def expanded(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with ONNX's own function bodies in the place of such operators.

    The body of an operator depends on the types of its inputs, hence the shape inference first; the
    inliner finds types of constants only where they are written down. Raises what ONNX raises for a
    model that it cannot expand.
    """
    typed = onnx.shape_inference.infer_shapes(model)
    for tensor in typed.graph.initializer:
        info = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        typed.graph.value_info.append(info)
    functions = [("", name) for name in EXPANDED]
    return inliner.inline_selected_functions(typed, functions, inline_schema_functions=True)
