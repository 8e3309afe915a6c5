"""float64 and float16 become float32, which is what the chip's vector unit is modelled in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from zapdeploy.simplify.graphs import inner_graphs

WIDE, NARROW = TensorProto.DOUBLE, (TensorProto.FLOAT16, TensorProto.BFLOAT16)
_TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype", "stash_type")


def to_float32(model: onnx.ModelProto) -> tuple[str, ...]:
    """Change every tensor of another floating type, in place; what to tell the user.

    Tensors in external files keep their type, and a Cast makes float32 of them.
    """
    found: set[int] = set()
    _change_graph(model.graph, found)
    for function in model.functions:
        for node in function.node:
            _change_node(node, found)
    names = sorted(TensorProto.DataType.Name(kind).lower() for kind in found)
    if not names:
        return ()
    said = " and ".join("float64" if name == "double" else name for name in names)
    return (f"{said} is computed in float32 here",)


def in_float32(nodes: Iterable[onnx.NodeProto]) -> None:
    """Change what nodes say of other floating types, in place."""
    for node in nodes:
        _change_node(node, set())


def _is_other(kind: int) -> bool:
    return kind == WIDE or kind in NARROW


def _change_graph(graph: onnx.GraphProto, found: set[int]) -> None:
    casts = []
    for tensor in graph.initializer:
        if not _is_other(tensor.data_type):
            continue
        found.add(tensor.data_type)
        if tensor.data_location == TensorProto.EXTERNAL:
            casts.append(_cast(tensor))
        else:
            _change_tensor(tensor)
    for node in graph.node:
        _change_node(node, found)
    for value in (*graph.input, *graph.output, *graph.value_info):
        kind = value.type.tensor_type
        if _is_other(kind.elem_type):
            found.add(kind.elem_type)
            kind.elem_type = TensorProto.FLOAT
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend((*casts, *nodes))


def _cast(tensor: TensorProto) -> onnx.NodeProto:
    """The tensor is read under another name, and the Cast has its name."""
    name, tensor.name = tensor.name, f"{tensor.name}.stored"
    return onnx.helper.make_node(
        "Cast", [tensor.name], [name], f"{name}.cast", to=TensorProto.FLOAT
    )


def _change_tensor(tensor: TensorProto) -> None:
    array = numpy_helper.to_array(tensor).astype(np.float32)
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _change_node(node: onnx.NodeProto, found: set[int]) -> None:
    for attribute in node.attribute:
        if attribute.name in _TYPE_ATTRIBUTES and _is_other(attribute.i):
            found.add(int(attribute.i))
            attribute.i = TensorProto.FLOAT
        for tensor in _tensors(attribute):
            if _is_other(tensor.data_type):
                found.add(tensor.data_type)
                _change_tensor(tensor)
    for graph in inner_graphs(node):
        _change_graph(graph, found)


def _tensors(attribute: onnx.AttributeProto) -> Iterator[TensorProto]:
    if attribute.type == onnx.AttributeProto.TENSOR:
        yield attribute.t
    yield from attribute.tensors
