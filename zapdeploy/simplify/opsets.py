"""Operators of old opsets in the form of opset 13: what were attributes became inputs.

ONNX's own converter refuses files with operators of other domains and knows no way for some of
these; the differences are few.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from zapdeploy.errors import ModelError
from zapdeploy.simplify.graphs import all_nodes, inner_graphs

OLDEST_OPSET = 13
OLDEST_READ = 7  # before it, broadcasting was an attribute
_SOFTMAX = ("Softmax", "LogSoftmax", "Hardmax")


def standard_opset(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators that the model uses."""
    found = (e.version for e in model.opset_import if e.domain in ("", "ai.onnx"))
    return max(found, default=1)


def current_forms(model: onnx.ModelProto) -> None:
    """Write the model at OLDEST_OPSET, in place. Raises ModelError for one older than OLDEST_READ.

    The file's own tensors keep their names. Raising changes no value.
    """
    opset = standard_opset(model)
    if opset < OLDEST_READ:
        raise ModelError(
            f"opset must be {OLDEST_READ} or later, not {opset}; "
            "convert the model with onnx.version_converter or export it with a later opset"
        )
    softmax = any(node.op_type in _SOFTMAX for node in all_nodes(model.graph))
    ranks = _ranks(model) if softmax else {}
    _Raise(opset, _names(model.graph), ranks).graph(model.graph)
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = OLDEST_OPSET
    model.ir_version = max(model.ir_version, 7)


def _names(graph: onnx.GraphProto) -> set[str]:
    return {name for node in all_nodes(graph) for name in (*node.input, *node.output)}


class _Raise:
    """Rewrites the nodes of one file."""

    def __init__(self, opset: int, taken: set[str], ranks: dict[str, int]) -> None:
        self.opset = opset
        self.taken = taken
        self.ranks = ranks
        self.made: list[TensorProto] = []

    def graph(self, graph: onnx.GraphProto) -> None:
        nodes = list(graph.node)
        del graph.node[:]
        self.made, outer = [], self.made
        for node in nodes:
            for inner in inner_graphs(node):
                self.graph(inner)
            graph.node.extend(self._raised(node))
        graph.initializer.extend(self.made)
        self.made = outer

    def _raised(self, node: NodeProto) -> Sequence[NodeProto]:
        moved = _MOVED.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if moved is not None and self.opset < moved.since:
            self._to_inputs(node, moved)
        if node.op_type in _SOFTMAX and not node.domain:
            return self._softmax(node)
        if node.op_type in ("Upsample", "Resize") and not node.domain and self.opset < 11:
            self._resize(node)
        return [node]

    def _to_inputs(self, node: NodeProto, moved: _Moved) -> None:
        """Attributes become inputs behind those that are there."""
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        given = [name for name in moved.attributes if name in attributes]
        kept = [a for a in node.attribute if a.name not in moved.attributes]
        del node.attribute[:]
        node.attribute.extend(kept)
        if not given:
            return
        while len(node.input) < moved.first:
            node.input.append("")
        for name in moved.attributes[: moved.attributes.index(given[-1]) + 1]:
            value = attributes.get(name)
            array = np.asarray(value, moved.types(name)) if value is not None else None
            node.input.append("" if array is None else self._constant(node, name, array))

    def _softmax(self, node: NodeProto) -> Sequence[NodeProto]:
        """Before opset 13, all dimensions from the axis on were one; the default axis was 1."""
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        rank = self.ranks.get(node.input[0])
        del node.attribute[:]
        if axis == -1 or (rank is not None and axis % rank == rank - 1):
            node.attribute.append(helper.make_attribute("axis", -1))
            return [node]
        flat, normal, shape = (
            self._fresh(f"{node.output[0]}.{n}") for n in ("flat", "normal", "shape")
        )
        soft = NodeProto()
        soft.CopyFrom(node)
        soft.input[0], soft.output[0] = flat, normal
        soft.attribute.append(helper.make_attribute("axis", -1))
        name = node.name or node.output[0]
        return [
            helper.make_node("Flatten", [node.input[0]], [flat], f"{name}.flatten", axis=axis),
            soft,
            helper.make_node("Shape", [node.input[0]], [shape], f"{name}.shape"),
            helper.make_node("Reshape", [normal, shape], list(node.output), f"{name}.unflatten"),
        ]

    def _resize(self, node: NodeProto) -> None:
        """Upsample, and Resize of opset 10: x and scales, positions scaled from the corner."""
        kept = [a for a in node.attribute if a.name not in ("scales", "mode")]
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if "scales" in attributes:
            scales = np.asarray(attributes["scales"], np.float32)
            node.input.append(self._constant(node, "scales", scales))
        node.input.insert(1, "")
        node.op_type = "Resize"
        mode = attributes.get("mode", b"nearest").decode()
        settings = {
            "mode": "linear" if mode in ("linear", "bilinear") else mode,
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        }
        del node.attribute[:]
        node.attribute.extend([*kept, *(helper.make_attribute(k, v) for k, v in settings.items())])

    def _constant(self, node: NodeProto, what: str, array: NDArray[Any]) -> str:
        name = self._fresh(f"{node.output[0]}.{what}")
        self.made.append(numpy_helper.from_array(array, name))
        return name

    def _fresh(self, wish: str) -> str:
        name, count = wish, 1
        while name in self.taken:
            name, count = f"{wish}_{count}", count + 1
        self.taken.add(name)
        return name


class _Moved:
    """Attributes that are inputs, in this order, from opset `since` on."""

    def __init__(self, since: int, first: int, *attributes: str) -> None:
        self.since = since
        self.first = first
        self.attributes = attributes

    def types(self, name: str) -> type[np.generic]:
        return np.float32 if name in ("min", "max", "value", "ratio") else np.int64


_MOVED = {
    "Unsqueeze": _Moved(13, 1, "axes"),
    "Squeeze": _Moved(13, 1, "axes"),
    "ReduceSum": _Moved(13, 1, "axes"),
    "Split": _Moved(13, 1, "split"),
    "Dropout": _Moved(12, 1, "ratio"),
    "Clip": _Moved(11, 1, "min", "max"),
    "Pad": _Moved(11, 1, "pads", "value"),
    "Slice": _Moved(10, 1, "starts", "ends", "axes"),
    "TopK": _Moved(10, 1, "k"),
}


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    """How many dimensions tensors have, where ONNX's inference finds out."""
    light = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    light.graph.name = "ranks"
    light.graph.node.extend(model.graph.node)
    light.graph.input.extend(model.graph.input)
    known = {value.name for value in model.graph.input}
    for tensor in model.graph.initializer:
        if tensor.name not in known:
            light.graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    try:
        inferred = onnx.shape_inference.infer_shapes(light)
    except Exception:  # unknown everywhere, which the general form covers
        return {}
    values = (*inferred.graph.input, *inferred.graph.value_info)
    found = ((value.name, value.type.tensor_type) for value in values)
    return {name: len(kind.shape.dim) for name, kind in found if kind.HasField("shape")}
