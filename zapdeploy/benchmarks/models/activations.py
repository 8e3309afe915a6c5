"""How much memory a network's values take while it runs: what a batch must leave room for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

FLOAT_BYTES = 4
_SMALL_ELEMENTS = 1024  # a constant of no more may be a shape or axes


def peak_activation_bytes(model: onnx.ModelProto) -> int:
    """The most that is alive at once when nodes run in the file's order, as float32.

    For the batch of the file. Values whose shape ONNX cannot infer count nothing, so that this is
    no upper bound for a file with operators of another domain.
    """
    sizes = _sizes(model)
    graph = model.graph
    kept = {value.name for value in graph.output}
    last = {name: index for index, node in enumerate(graph.node) for name in node.input}
    live = peak = sum(sizes.get(value.name, 0) for value in graph.input)
    for index, node in enumerate(graph.node):
        live += sum(sizes.get(name, 0) for name in node.output)
        peak = max(peak, live)
        done = {name for name in node.input if last[name] == index} - kept
        live -= sum(sizes.get(name, 0) for name in done)
    return peak


def _sizes(model: onnx.ModelProto) -> Mapping[str, int]:
    """Bytes of every value with a known shape; an open dimension is 1. Constants are none."""
    import onnx

    try:
        inferred = onnx.shape_inference.infer_shapes(_without_weights(model)).graph
    except Exception:  # over 2 GiB, or wrong: other parts say what is wrong with a model
        inferred = model.graph
    constants = {tensor.name for tensor in model.graph.initializer}
    values = (*inferred.input, *inferred.value_info, *inferred.output)
    return {value.name: _bytes(value) for value in values if value.name not in constants}


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with large constants as inputs of their shapes, which is all that inference needs
    of them: it copies what it is given.
    """
    import onnx

    light = onnx.ModelProto()
    light.ir_version = model.ir_version
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    graph, given = light.graph, {value.name for value in model.graph.input}
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    graph.value_info.extend(model.graph.value_info)
    graph.sparse_initializer.extend(model.graph.sparse_initializer)
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) <= _SMALL_ELEMENTS:
            graph.initializer.append(tensor)
        elif tensor.name not in given:
            value = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            graph.input.append(value)
    return light


def _bytes(value: onnx.ValueInfoProto) -> int:
    sizes: list[int] = [size.dim_value or 1 for size in value.type.tensor_type.shape.dim]
    return FLOAT_BYTES * math.prod(sizes)
