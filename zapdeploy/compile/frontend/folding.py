"""Constants and what is computed from constants and shapes alone: shape arithmetic, mostly."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from zapdeploy.compile.frontend.graph_builder import GraphBuilder
from zapdeploy.compile.frontend.onnx_node import STANDARD, OnnxNode
from zapdeploy.compile.frontend.tensors import array_of, element_type
from zapdeploy.compile.graph import INT64, Array, Value
from zapdeploy.errors import ModelError
from zapdeploy.simplify.onnx_operators import NEVER_FOLDED, SHAPES

_WIDE = 32
_FEW = 1024  # elements of what can be a shape, repeats, or bounds
MOST_FOLDED = 1 << 26  # elements in all that is computed from constants


def fold(builder: GraphBuilder, node: OnnxNode, original: ir.Node) -> bool:
    """Define the node's outputs as constants where that is what they are."""
    if node.domain != STANDARD or node.op in NEVER_FOLDED or node.op.startswith("QLinear"):
        return False
    if node.op == "Constant" and "value" in node.attributes:
        array, element = array_of(node.attributes["value"], f"constant '{node.output}'")
        builder.define(Value(node.output, array.shape, element, data=array))
        return True
    if node.op in SHAPES:
        _fold_shape(builder, node)
        return True
    values = [builder.value(name) for name in node.inputs if name]
    if any(value.data is None or _holds_codes(value) for value in values):
        return False
    if node.op == "Identity":
        builder.define(Value(node.output, values[0].shape, values[0].element, data=values[0].data))
        return True
    _evaluate(builder, node, original, values)
    return True


def _holds_codes(value: Value) -> bool:
    """Whether a constant may be quantized: up to 16 bits wide, or given a meaning already."""
    return value.quantization is not None or (
        value.element.is_integer and value.element.bits < _WIDE
    )


def _fold_shape(builder: GraphBuilder, node: OnnxNode) -> None:
    shape = builder.value(node.required(0)).shape
    if node.op == "Size":
        found = np.asarray(np.prod(shape, dtype=np.int64))
    else:
        end = node.attributes.get("end")
        found = np.asarray(shape[node.integer("start", 0) : end], np.int64)
    builder.values[node.output] = Value(node.output, found.shape, INT64, data=found)


def _spend(
    builder: GraphBuilder, node: OnnxNode, proto: onnx.NodeProto, feeds: Mapping[str, Array]
) -> None:
    """Raise ModelError, before the memory is taken, when constants grow beyond all that the file
    could mean: by ONNX's own shape inference, with the constants known."""
    types = {
        name: onnx.helper.make_tensor_type_proto(
            onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in feeds.items()
    }
    known = {n: onnx.numpy_helper.from_array(a) for n, a in feeds.items() if a.size <= _FEW}
    try:
        schema = onnx.defs.get_schema(node.op, node.version)
        imports = [onnx.helper.make_opsetid(STANDARD, node.version)]
        inferred = onnx.shape_inference.infer_node_outputs(
            schema, proto, types, known, opset_imports=imports
        )
    except Exception:  # what is wrong with the node, its evaluation says
        return
    for kind in inferred.values():
        shape = [d.dim_value for d in kind.tensor_type.shape.dim]
        builder.folded += prod(shape)
    if builder.folded > MOST_FOLDED:
        raise ModelError(
            f"constants must fold to at most {MOST_FOLDED:,} elements, not {builder.folded:,} "
            f"(node '{node.name}', {node.op}); store them as initializers"
        )


def _evaluate(
    builder: GraphBuilder, node: OnnxNode, original: ir.Node, values: list[Value]
) -> None:
    """Run one node in ONNX's own reference implementation."""
    from onnx.reference import ReferenceEvaluator

    proto = ir.serde.serialize_node(original)
    feeds: dict[str, Array] = {v.name: v.data for v in values if v.data is not None}
    _spend(builder, node, proto, feeds)
    try:
        evaluator = ReferenceEvaluator(proto, opsets={STANDARD: node.version})
        with np.errstate(all="ignore"):
            results: list[Any] = list(evaluator.run(None, feeds))
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(
            f"constant inputs must have a result, and have none: {reason} (node '{node.name}', "
            f"{node.op}); export the model again"
        ) from error
    for name, result in zip(node.outputs, results, strict=False):
        array = np.asarray(result)
        dtype = ir.DataType(onnx.helper.np_dtype_to_tensor_dtype(array.dtype))
        element = element_type(dtype, f"constant '{name}'")
        builder.values[name] = Value(name, array.shape, element, data=array)
