"""Operators that ONNX defines by others are read as those others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import onnx
from onnx import NodeProto, TypeProto

from zapdeploy.simplify.conditional import inlined
from zapdeploy.simplify.registry import expands
from zapdeploy.simplify.walking import Place

# Those that readers have no use for as a whole.
EXPANDED = (
    "Attention", "RotaryEmbedding", "Celu", "Mish", "Shrink", "Softsign", "ThresholdedRelu",
    "MeanVarianceNormalization", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp",
    "ReduceSumSquare", "CenterCropPad",
)  # fmt: skip


@expands(*EXPANDED)
def function_body(place: Place) -> Iterable[NodeProto] | None:
    """ONNX's own body for the types of the inputs; None where it has none for them."""
    node, walk = place.node, place.walk
    schema: Any = onnx.defs.get_schema(node.op_type, walk.opset)
    types = [walk.types.get(name, TypeProto()) for name in node.input]
    text = b""
    if schema.has_function:
        text = schema.get_function_with_opset_version(_version(schema, walk.opset))
    elif schema.has_context_dependent_function:
        version = _version(schema, walk.opset, dependent=True)
        text = schema.get_context_dependent_function_with_opset_version(
            version, node.SerializeToString(), [t.SerializeToString() for t in types]
        )
    if not text:
        return None
    function = onnx.FunctionProto()
    function.ParseFromString(text)
    return _body(place, function)


def _version(schema: Any, opset: int, *, dependent: bool = False) -> int:
    versions = (
        schema.context_dependent_function_opset_versions
        if dependent
        else schema.function_opset_versions
    )
    return max(version for version in versions if version <= opset)


def _body(place: Place, function: onnx.FunctionProto) -> list[NodeProto]:
    """The function's nodes, with the caller's attributes and names."""
    given = {attribute.name: attribute for attribute in place.node.attribute}
    for default in function.attribute_proto:
        given.setdefault(default.name, default)
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
    return inlined(place.walk, graph, inputs, outputs, place.name)
