"""ArgMax, ArgMin, TopK, and running sums."""

from __future__ import annotations

from zapdeploy.compile.frontend.errors import RefusedError
from zapdeploy.compile.frontend.graph_builder import GraphBuilder
from zapdeploy.compile.frontend.onnx_node import OnnxNode
from zapdeploy.compile.frontend.registry import translates
from zapdeploy.compile.graph import INT64, Attribute
from zapdeploy.errors import ModelError


@translates("ArgMax", "ArgMin")
def index(builder: GraphBuilder, node: OnnxNode) -> None:
    """On codes of one scale as on real numbers; the passes see to that."""
    x = builder.plain(node.required(0))
    attributes: dict[str, Attribute] = {
        "axis": node.integer("axis", 0),
        "keepdims": node.integer("keepdims", 1),
        "select_last_index": node.integer("select_last_index", 0),
    }
    builder.emit(node, node.op, (x.name,), attributes, element=INT64)


@translates("TopK")
def top_k(builder: GraphBuilder, node: OnnxNode) -> None:
    """One node for the values and one for the indices, whichever are used."""
    x = builder.plain(node.required(0))
    if not node.integer("sorted", 1):
        raise RefusedError("sorted must be 1")
    k = int(builder.array(node.required(1), "k").item())
    axis, rank = node.integer("axis", -1), len(x.shape)
    if not -rank <= axis < rank:
        raise ModelError(f"axis must be in [{-rank}, {rank}), not {axis} (node '{node.name}')")
    axis %= rank
    shape = (*x.shape[:axis], k, *x.shape[axis + 1 :])
    for number, output in enumerate(node.outputs):
        attributes: dict[str, Attribute] = {
            "axis": axis, "largest": node.integer("largest", 1), "indices": number
        }  # fmt: skip
        element = INT64 if number else x.element
        if output:
            builder.emit(
                node, "TopK", (x.name,), attributes, output=output, element=element, shape=shape
            )


@translates("CumSum")
def running_sum(builder: GraphBuilder, node: OnnxNode) -> None:
    x = builder.plain(node.required(0))
    attributes: dict[str, Attribute] = {
        "axis": int(builder.array(node.required(1), "axis").item()),
        "exclusive": node.integer("exclusive", 0),
        "reverse": node.integer("reverse", 0),
    }
    builder.emit(node, "CumSum", (x.name,), attributes, element=x.element)
