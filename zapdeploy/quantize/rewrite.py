"""Changes to the float network that let more of it become integer."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from zapdeploy.quantize.parts import without_weights
from zapdeploy.simplify.onnx_operators import CLAMPS, LAYOUT


def hoist_activations(model: onnx.ModelProto) -> None:
    """Move ReLU and Clip before a change of shape, next to the layer that can absorb them.

    Both orders compute the same. Exporters put the change of shape between when a linear layer acts
    on tensors of more than two dimensions. Changes `model` in place.
    """
    nodes = list(model.graph.node)
    outputs = {value.name for value in model.graph.output}
    moved = True
    while moved:
        moved = any(_hoist(nodes, index, outputs) for index in range(len(nodes)))
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _hoist(nodes: list[NodeProto], index: int, outputs: set[str]) -> bool:
    """Swap the activation at `index` with the shape operator before it, if there is one."""
    activation = nodes[index]
    if activation.op_type not in CLAMPS:
        return False
    between = activation.input[0]
    place = next((i for i, node in enumerate(nodes[:index]) if between in node.output), None)
    if place is None or nodes[place].op_type not in LAYOUT or between in outputs:
        return False
    bounds = set(activation.input[1:])
    readers = [node for node in nodes if between in node.input]
    if len(readers) > 1 or any(bounds & set(node.output) for node in nodes):
        return False
    shape = nodes[place]
    activation.input[0], shape.input[0] = shape.input[0], between
    activation.output[0], shape.output[0] = between, activation.output[0]
    nodes.insert(place, nodes.pop(index))
    return True


def split_products(model: onnx.ModelProto) -> None:
    """Write products so that a constant operand is the second one, a matrix, and a bias constant.

    ONNX Runtime makes one Gemm of a product and a computed sum; networks multiply from the left
    with constants, and with stacks of constant matrices. Changes `model` in place, no value.
    """
    rewriter = _Products(model)
    nodes = [made for node in model.graph.node for made in rewriter.rewritten(node)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


class _Products:
    """`constants` are the initializers by name."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.graph = model.graph
        self.constants = {tensor.name: tensor for tensor in self.graph.initializer}
        self.stacks: set[str] = set()

    def rewritten(self, node: NodeProto) -> list[NodeProto]:
        if node.op_type == "Gemm":
            return self._gemm(node)
        if node.op_type != "MatMul":
            return [node]
        left, right = (self.constants.get(name) for name in node.input)
        if left is not None and right is None and len(left.dims) == 2:
            return self._turned(node, left)
        return [*self._stack(node, 0), *self._stack(node, 1), node]

    def _stack(self, node: NodeProto, index: int) -> list[NodeProto]:
        """An operand of several constant matrices is quantized like one that is computed."""
        name = node.input[index]
        tensor = self.constants.get(name)
        if tensor is None or (index == 1 and len(tensor.dims) == 2):
            return []
        node.input[index] = f"{name}_stack"
        if name in self.stacks:
            return []
        self.stacks.add(name)
        return [helper.make_node("Identity", [name], [f"{name}_stack"], f"{name}_stack")]

    def _gemm(self, node: NodeProto) -> list[NodeProto]:
        """A product and, where what is added is computed, a sum; no transposed first operand."""
        before, after = list[NodeProto](), list[NodeProto]()
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.input[0] in self.constants and node.input[1] not in self.constants:
            return self._gemm_of_left(node, attributes)
        if attributes.get("transA", 0) and node.input[0] not in self.constants:
            name = f"{node.output[0]}_turned"
            before.append(helper.make_node("Transpose", [node.input[0]], [name], name, perm=(1, 0)))
            node.input[0] = name
            attributes["transA"] = 0
        added = node.input[2] if len(node.input) > 2 else ""
        if added and added not in self.constants:
            product, beta = f"{node.output[0]}_product", attributes.pop("beta", 1.0)
            after = self._plus(product, added, beta, node.output[0])
            node.output[0], added = product, ""
        if not added:
            del node.input[2:]
        plain = {"alpha": 1.0, "transA": 0, "transB": 0}
        if not added and all(attributes.get(k, v) == v for k, v in plain.items()):
            node.op_type, attributes = "MatMul", {}
        del node.attribute[:]
        node.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
        return [*before, node, *after]

    def _gemm_of_left(self, node: NodeProto, attributes: dict[str, Any]) -> list[NodeProto]:
        """A constant times x, and a sum: (x' W')' with a bias where one row is added to each."""
        left = numpy_helper.to_array(self.constants[node.input[0]])
        left = (left if attributes.get("transA", 0) else left.T) * attributes.get("alpha", 1.0)
        output = node.output[0]
        weights = self._added(np.ascontiguousarray(left, np.float32), f"{output}_left")
        x, product, made = node.input[1], f"{output}_product", list[NodeProto]()
        if not attributes.get("transB", 0):
            x = f"{output}_x"
            made.append(helper.make_node("Transpose", [node.input[1]], [x], x, perm=(1, 0)))
        bias = self.constants.get(node.input[2]) if len(node.input) > 2 else None
        one_each = bias is not None and list(bias.dims) == [left.shape[1], 1]
        if one_each:
            assert bias is not None
            row = numpy_helper.to_array(bias).ravel() * attributes.get("beta", 1.0)
            inputs = [x, weights, self._added(row.astype(np.float32), f"{output}_bias")]
            made.append(helper.make_node("Gemm", inputs, [product], node.name or product))
        else:
            made.append(helper.make_node("MatMul", [x, weights], [product], node.name or product))
        rest = len(node.input) > 2 and bool(node.input[2]) and not one_each
        turned = f"{output}_sum" if rest else output
        made.append(helper.make_node("Transpose", [product], [turned], turned, perm=(1, 0)))
        if rest:
            made += self._plus(turned, node.input[2], attributes.get("beta", 1.0), output)
        return made

    def _plus(self, name: str, added: str, beta: float, output: str) -> list[NodeProto]:
        """A sum with beta times another tensor."""
        made = []
        if beta != 1:
            factor = self._added(np.asarray(beta, np.float32), f"{output}_beta")
            scaled = f"{output}_scaled"
            made.append(helper.make_node("Mul", [added, factor], [scaled], scaled))
            added = scaled
        return [*made, helper.make_node("Add", [name, added], [output], f"{name}_sum")]

    def _added(self, array: NDArray[Any], name: str) -> str:
        """A new constant's name."""
        tensor = numpy_helper.from_array(array, name)
        self.graph.initializer.append(tensor)
        self.constants[name] = tensor
        return name

    def _turned(self, node: NodeProto, left: onnx.TensorProto) -> list[NodeProto]:
        """W x = (x' W')', where the dimensions before the last two stay."""
        rank = _ranks(self.model).get(node.input[1], 0)
        if rank < 2:
            return [node]
        weights = np.ascontiguousarray(numpy_helper.to_array(left).T)
        turned = self._added(weights, f"{node.output[0]}_left")
        x, product, output = f"{node.output[0]}_x", f"{node.output[0]}_product", node.output[0]
        perm = (*range(rank - 2), rank - 1, rank - 2)
        return [
            helper.make_node("Transpose", [node.input[1]], [x], x, perm=perm),
            helper.make_node("MatMul", [x, turned], [product], node.name or product),
            helper.make_node("Transpose", [product], [output], f"{output}_turned", perm=perm),
        ]


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    """Dimensions of tensors, where ONNX's inference finds out."""
    inferred = onnx.shape_inference.infer_shapes(without_weights(model), data_prop=True).graph
    values = (*inferred.value_info, *inferred.input, *inferred.output)
    found = ((value.name, value.type.tensor_type) for value in values)
    return {name: len(kind.shape.dim) for name, kind in found if kind.HasField("shape")}
