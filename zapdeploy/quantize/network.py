"""Which parts of a float network become integer, and which tensors carry quantizers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, numpy_helper

from zapdeploy.errors import ModelError
from zapdeploy.simplify.onnx_operators import CLAMPS, CONVOLUTIONS, LAYOUT, PRODUCTS


class Role(Enum):
    """What quantization makes of a node."""

    MATRIX = "matrix"  # integer multiply-accumulate with constant weights
    PRODUCT = "product"  # integer multiply-accumulate of two computed tensors
    COMBINING = "combining"  # integer inputs, an output with a scale of its own
    PASSING = "passing"  # moves or selects values: the output keeps the input's scale
    ACTIVATION = "activation"  # a clamp that the layer before it absorbs
    FLOAT = "float"  # stays in floating point


STATE_KEY = "zapdeploy.state"
# What this way of quantizing makes integer; the module path has rules of its own.
COMBINING_OPERATORS = CLAMPS | {"Add", "AveragePool", "Concat", "GlobalAveragePool"}
PASSING_OPERATORS = LAYOUT | {"MaxPool"}
ABSORBING_OPERATORS = PRODUCTS | {"Add"}


@dataclass(frozen=True)
class Network:
    """A prepared float model with its lookups and the role of every node.

    `quantized` holds the tensors that carry a quantizer, in topological order. A tensor between a
    layer and the activation that it absorbs carries none.
    """

    model: onnx.ModelProto

    @cached_property
    def nodes(self) -> tuple[NodeProto, ...]:
        return tuple(self.model.graph.node)

    @cached_property
    def initializers(self) -> dict[str, TensorProto]:
        return {tensor.name: tensor for tensor in self.model.graph.initializer}

    @cached_property
    def producers(self) -> dict[str, NodeProto]:
        return {name: node for node in self.nodes for name in node.output if name}

    @cached_property
    def consumers(self) -> dict[str, tuple[NodeProto, ...]]:
        found: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                found.setdefault(name, []).append(node)
        return {name: tuple(nodes) for name, nodes in found.items()}

    @cached_property
    def input_names(self) -> tuple[str, ...]:
        return tuple(v.name for v in self.model.graph.input if v.name not in self.initializers)

    @cached_property
    def output_names(self) -> frozenset[str]:
        return frozenset(value.name for value in self.model.graph.output)

    @cached_property
    def layers(self) -> tuple[NodeProto, ...]:
        """Matrix layers in topological order."""
        return tuple(node for node in self.nodes if self._is_matrix(node))

    @cached_property
    def products(self) -> tuple[NodeProto, ...]:
        """Products of two computed tensors, in topological order."""
        return tuple(node for node in self.nodes if self._is_product(node))

    @cached_property
    def state(self) -> tuple[tuple[str, str], ...]:
        """Inputs, and the outputs of the frame before that they are: one tensor, one quantizer.

        The file's metadata names them; who imports the result judges whether they can be kept.
        """
        entries = {entry.key: entry.value for entry in self.model.metadata_props}
        try:
            pairs = json.loads(entries.get(STATE_KEY, "{}"))
            return tuple((str(before), str(after)) for before, after in pairs.items())
        except (ValueError, AttributeError):
            raise ModelError(
                f"metadata '{STATE_KEY}' must be a JSON object of input and output names, "
                f"not {entries[STATE_KEY]!r}; write it again"
            ) from None

    @cached_property
    def quantized(self) -> tuple[str, ...]:
        ordered = [*self.input_names, *(name for node in self.nodes for name in node.output)]
        return tuple(name for name in ordered if name in self._carried)

    def role(self, node: NodeProto) -> Role:
        """The role of a node of this network."""
        if self._is_matrix(node):
            return Role.MATRIX
        if self._is_product(node):
            return Role.PRODUCT
        layer = self.absorbing_layer(node)
        if layer is not None and self.role(layer) is not Role.FLOAT:
            return Role.ACTIVATION
        if self._passes(node) and node.input[0] in self._carried:
            return Role.PASSING
        if node.op_type in COMBINING_OPERATORS and self._joins(node, self._carried):
            return Role.COMBINING
        return Role.FLOAT

    def absorbing_layer(self, node: NodeProto) -> NodeProto | None:
        """The layer or addition right before an activation, if nothing else reads its result."""
        if node.op_type not in CLAMPS or not self._clamps_around_zero(node):
            return None
        source = node.input[0]
        producer = self.producers.get(source)
        if producer is None or source in self.output_names or len(self.consumers[source]) > 1:
            return None
        if self._is_matrix(producer):
            return producer
        inputs_constant = any(name in self.initializers for name in producer.input)
        return producer if producer.op_type == "Add" and not inputs_constant else None

    def array(self, name: str) -> NDArray[np.float32]:
        """The value of an initializer, float32."""
        return np.asarray(numpy_helper.to_array(self.initializers[name]), np.float32)

    def activation_inputs(self, node: NodeProto) -> tuple[str, ...]:
        """The inputs of a matrix or combining node that are computed, not constant."""
        if self._is_matrix(node):
            return (node.input[0],)
        return tuple(name for name in node.input if name and name not in self.initializers)

    def result(self, node: NodeProto) -> str:
        """The tensor that a layer hands on: its output, or that of the activation it absorbs."""
        output = node.output[0]
        for follower in self.consumers.get(output, ()):
            if self.absorbing_layer(follower) is not None:
                return str(follower.output[0])
        return str(output)

    def _clamps_around_zero(self, node: NodeProto) -> bool:
        """Whether a quantizer's own saturation can stand for this activation: zero is in range."""
        bounds = [*node.input[1:], "", ""][:2]
        if any(name and name not in self.initializers for name in bounds):
            return False
        low, high = (float(self.array(name).ravel()[0]) if name else 0.0 for name in bounds)
        return low <= 0 <= high

    def _is_matrix(self, node: NodeProto) -> bool:
        if node.op_type not in PRODUCTS or len(node.input) < 2:
            return False
        weight = self.initializers.get(node.input[1])
        if weight is None or weight.data_type != TensorProto.FLOAT:
            return False
        if len(node.input) > 2 and node.input[2] and node.input[2] not in self.initializers:
            return False
        if node.op_type == "Gemm":
            return attribute(node, "transA", 0) == 0
        if node.op_type == "ConvTranspose":  # one scale per output channel needs one group
            return attribute(node, "group", 1) == 1
        return node.op_type == "Conv" or len(weight.dims) == 2

    def _is_product(self, node: NodeProto) -> bool:
        """Whether both operands are computed; nothing may be added to them."""
        if node.op_type not in PRODUCTS - CONVOLUTIONS or any(node.input[2:]):
            return False
        return all(name not in self.initializers for name in node.input[:2])

    def _passes(self, node: NodeProto) -> bool:
        if node.op_type == "Gather":  # of computed values, by constant indices
            return node.input[0] not in self.initializers and node.input[1] in self.initializers
        return node.op_type in PASSING_OPERATORS and len(node.output) == 1

    def _joins(self, node: NodeProto, carried: set[str] | frozenset[str]) -> bool:
        if node.op_type == "Clip":
            return node.input[0] in carried
        return all(name in carried for name in node.input)

    @cached_property
    def _carried(self) -> frozenset[str]:
        """What matrix layers read and write, spread through the operators between them."""
        carried = {layer.input[0] for layer in self.layers}
        carried |= {self.result(layer) for layer in self.layers}
        carried |= {name for node in self.products for name in (*node.input[:2], *node.output)}
        while True:
            before = len(carried)
            for pair in self.state:
                if carried.intersection(pair):
                    carried.update(pair)
            for node in self.nodes:
                if self._passes(node) and carried & {node.input[0], node.output[0]}:
                    carried |= {node.input[0], node.output[0]}
                elif node.op_type in COMBINING_OPERATORS and self._joins(node, carried):
                    carried.add(self.result(node))
            if len(carried) == before:
                return frozenset(carried)


def attribute(node: NodeProto, name: str, default: float) -> float:
    """A numeric attribute of a node."""
    for entry in node.attribute:
        if entry.name == name:
            return float(onnx.helper.get_attribute_value(entry))
    return default


def numbers(node: NodeProto, name: str) -> tuple[float, ...]:
    """A node's attribute of several numbers; none where it is absent."""
    for entry in node.attribute:
        if entry.name == name:
            return tuple(onnx.helper.get_attribute_value(entry))
    return ()


def check_network(network: Network) -> None:
    """Raise ModelError when there is nothing to quantize, or a weight is not finite."""
    if not network.layers:
        raise ModelError(
            "model must have a Conv, Gemm or MatMul with constant float32 weights, not none; "
            "there is nothing to quantize"
        )
    for layer in network.layers:
        for name in layer.input[1:3]:
            if name and not np.isfinite(network.array(name)).all():
                raise ModelError(
                    f"weights must be finite, not NaN or infinite ({name!r}, node {layer.name!r}); "
                    "repair the checkpoint and export it again"
                )
