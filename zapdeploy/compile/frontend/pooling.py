"""Pooling."""

from __future__ import annotations

from zapdeploy.compile.frontend.errors import RefusedError
from zapdeploy.compile.frontend.graph_builder import GraphBuilder
from zapdeploy.compile.frontend.onnx_node import OnnxNode
from zapdeploy.compile.frontend.registry import translates
from zapdeploy.compile.frontend.windows import pooling_attributes
from zapdeploy.compile.graph import Attribute


@translates("MaxPool")
def max_pool(builder: GraphBuilder, node: OnnxNode) -> None:
    """On real numbers or on codes: both have the same maximum."""
    if len(node.outputs) > 1:
        raise RefusedError("the indices output must not be used")
    x = builder.value(node.required(0))
    builder.emit(
        node,
        "MaxPool",
        (x.name,),
        pooling_attributes(node, x.shape),
        element=x.element,
        quantization=x.quantization,
    )


@translates("GlobalMaxPool")
def global_max_pool(builder: GraphBuilder, node: OnnxNode) -> None:
    x = builder.real(node.required(0))
    spatial = x.shape[2:]
    attributes: dict[str, Attribute] = {
        "kernel_shape": spatial,
        "strides": (1,) * len(spatial),
        "dilations": (1,) * len(spatial),
        "pads": (0,) * 2 * len(spatial),
        "ceil_mode": 0,
    }
    builder.emit(node, "MaxPool", (x.name,), attributes)


@translates("AveragePool")
def average_pool(builder: GraphBuilder, node: OnnxNode) -> None:
    x = builder.real(node.required(0))
    attributes = pooling_attributes(node, x.shape)
    attributes["count_include_pad"] = node.integer("count_include_pad", 0)
    builder.emit(node, "AveragePool", (x.name,), attributes)


@translates("GlobalAveragePool")
def global_average_pool(builder: GraphBuilder, node: OnnxNode) -> None:
    builder.emit(node, "GlobalAveragePool", (builder.real(node.required(0)).name,))
