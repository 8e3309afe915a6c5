"""Operators that ONNX defines by others are read as those others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import onnx
from onnx import NodeProto, TypeProto

from zapdeploy.simplify.conditional import inlined
from zapdeploy.simplify.precision import in_float32
from zapdeploy.simplify.registry import expands
from zapdeploy.simplify.walking import Place

# Those that readers have no use for as a whole.
EXPANDED = (
    "Attention", "RotaryEmbedding", "Celu", "Mish", "Shrink", "Softsign", "ThresholdedRelu",
    "MeanVarianceNormalization", "CenterCropPad",
)  # fmt: skip


@expands(*EXPANDED)
def function_body(place: Place) -> Iterable[NodeProto] | None:
    """ONNX's own body for the types of the inputs; None where it has none for them."""
    node, walk = place.node, place.walk
    schema: Any = onnx.defs.get_schema(node.op_type, walk.opset)
    if schema.has_function:
        oldest = min(schema.all_function_opset_versions)  # ONNX wrote it down later, unchanged
        text = schema.get_function_with_opset_version(max(walk.opset, oldest))
    else:
        types = [walk.types.get(name, TypeProto()).SerializeToString() for name in node.input]
        text = schema.get_context_dependent_function(node.SerializeToString(), types)
    function = onnx.FunctionProto()
    function.ParseFromString(text)
    return _body(place, schema, function) if function.node else None


@expands("CastLike")
def cast_like(place: Place) -> Iterable[NodeProto] | None:
    """A Cast to the type of another tensor, which is known."""
    kind = place.walk.types.get(place.input(1))
    if kind is None:
        return None
    out = place.writer()
    out.node("Cast", place.input(0), output=place.output(0), to=kind.tensor_type.elem_type)
    return out.nodes


def _body(place: Place, schema: Any, function: onnx.FunctionProto) -> list[NodeProto]:
    """The function's nodes, with the caller's attributes and names."""
    given = {attribute.name: attribute for attribute in place.node.attribute}
    for name, attribute in schema.attributes.items():
        if attribute.default_value.name:
            given.setdefault(name, attribute.default_value)
    graph = onnx.GraphProto(name=function.name)
    for node in function.node:
        graph.node.append(node)
        kept = []
        for attribute in node.attribute:
            if not attribute.ref_attr_name:
                kept.append(attribute)
            elif attribute.ref_attr_name in given:
                bound = onnx.AttributeProto()
                bound.CopyFrom(given[attribute.ref_attr_name])
                bound.name = attribute.name
                kept.append(bound)
        del graph.node[-1].attribute[:]
        graph.node[-1].attribute.extend(kept)
    for name in function.output:
        graph.output.add(name=name)
    inputs = {name: place.input(index) for index, name in enumerate(function.input)}
    outputs = [place.output(index) for index in range(len(function.output))]
    nodes = inlined(place.walk, graph, inputs, outputs, place.name)
    in_float32(nodes)
    return nodes
