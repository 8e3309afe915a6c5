"""Writes a plan as float operators between QuantizeLinear and DequantizeLinear nodes.

One writer serves three forms, which differ only in how they hold fewer than 8 bits: not at all
("qdq"), in 8-bit tensors behind a Clip ("qcdq"), or weights, which make up the file, in INT4 and
INT2 tensors ("packed"). Activations are behind a Clip in both: ONNX Runtime's optimizations make
integer operators of what stands between UINT4 quantizers, and then refuse them.
Nodes stand where ONNX Runtime's own quantizer puts them: one pair on each tensor between
operators, none between a layer and the activation it absorbs.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from zapdeploy.quantize.network import Network, Role
from zapdeploy.quantize.plan import Plan
from zapdeploy.quantize.ranges import Quantizer
from zapdeploy.quantize.recipe import Form
from zapdeploy.quantize.tensors import constant, packed_constant
from zapdeploy.quantize.weights import QuantizedWeight


@dataclass
class GraphParts:
    """Nodes and initializers of the graph being written."""

    nodes: list[NodeProto] = field(default_factory=list)
    initializers: list[TensorProto] = field(default_factory=list)

    def keep_used(self, initializers: dict[str, TensorProto], outputs: Set[str]) -> None:
        """Add those of the float network's constants that some node still reads, or that are
        outputs."""
        used = {name for node in self.nodes for name in node.input} | outputs
        self.initializers.extend(tensor for name, tensor in initializers.items() if name in used)


def write_qdq(plan: Plan, form: Form, *, real_weights: bool = False) -> GraphParts:
    """The plan as a graph of the given form, in topological order.

    real_weights: weights and biases as the real numbers that their integers stand for, to look at
    the network, not to keep it.
    """
    return _Writer(plan, form, real_weights).write()


class _Writer:
    """Builds one graph. `renamed` says under which name a float tensor now appears."""

    def __init__(self, plan: Plan, form: Form, real_weights: bool) -> None:
        self.plan = plan
        self.real_weights = real_weights
        self.network: Network = plan.network
        self.packed = form == "packed"
        self.parts = GraphParts()
        self.renamed: dict[str, str] = {}

    def write(self) -> GraphParts:
        for name in self.network.input_names:
            if name in self.plan.quantizers:
                self._quantize(name, name)
        for node in self.network.nodes:
            self._copy(node)
        self.parts.keep_used(self.network.initializers, self.network.output_names)
        return self.parts

    def _copy(self, node: NodeProto) -> None:
        copy = NodeProto()
        copy.CopyFrom(node)
        copy.doc_string = ""
        copy.input[:] = [self.renamed.get(name, name) for name in node.input]
        if self.network.role(node) is Role.MATRIX:
            if node.output[0] in self.plan.readers:
                copy.input[0] = self._narrowed(node, copy.input[0])
            self._replace_weights(copy, self.plan.weights[node.output[0]])
        for index, name in enumerate(node.output):
            if name in self.plan.quantizers and name in self.network.output_names:
                copy.output[index] = f"{name}_float"
        self.parts.nodes.append(copy)
        for name, written in zip(node.output, copy.output, strict=True):
            if name in self.plan.quantizers:
                self._quantize(name, written)

    def _narrowed(self, layer: NodeProto, source: str) -> str:
        """Append the pair through which one layer reads a tensor in fewer bits."""
        name = f"{layer.name or layer.output[0]}_read"
        self._pair(name, source, f"{name}_dequantized", self.plan.readers[layer.output[0]])
        return f"{name}_dequantized"

    def _quantize(self, name: str, source: str) -> None:
        """Append the pair that quantizes `source`; later readers of `name` see its result."""
        is_output = name in self.network.output_names and name not in self.network.input_names
        result = name if is_output else f"{name}_dequantized"
        self._pair(name, source, result, self.plan.quantizers[name])
        self.renamed[name] = result

    def _pair(self, name: str, source: str, result: str, quantizer: Quantizer) -> None:
        scale, zero = self._activation_constants(name, quantizer)
        quantized = f"{name}_quantized"
        axis = {} if quantizer.axis is None else {"axis": quantizer.axis}
        self._node("QuantizeLinear", [source, scale, zero], quantized, **axis)
        if quantizer.bits < 8:
            quantized = self._clip(
                quantized, np.array(0, np.uint8), np.array(quantizer.highest, np.uint8)
            )
        self._node("DequantizeLinear", [quantized, scale, zero], result, **axis)

    def _activation_constants(self, name: str, quantizer: Quantizer) -> tuple[str, str]:
        scale, zero = f"{name}_scale", f"{name}_zero_point"
        zero_point = np.array(quantizer.zero_point, np.uint8)
        self.parts.initializers.append(constant(scale, np.array(quantizer.scale, np.float32)))
        self.parts.initializers.append(constant(zero, zero_point))
        return scale, zero

    def _replace_weights(self, node: NodeProto, weight: QuantizedWeight) -> None:
        """Point a layer at its dequantized weights and bias."""
        name, bias = (f"{node.name or node.output[0]}_{what}" for what in ("weight", "bias"))
        if self.real_weights:
            self._real_weights(node, weight, name, bias)
            return
        node.input[1] = self._dequantized_weight(name, weight)
        if weight.bias is not None:
            self.parts.initializers.append(constant(f"{bias}_quantized", weight.bias))
            self.parts.initializers.append(constant(f"{bias}_scale", weight.bias_scales))
            inputs = [f"{bias}_quantized", f"{bias}_scale"]
            self._node("DequantizeLinear", inputs, f"{bias}_dequantized", axis=0)
            node.input[2] = f"{bias}_dequantized"
        _drop_factors(node)

    def _real_weights(self, node: NodeProto, weight: QuantizedWeight, name: str, bias: str) -> None:
        node.input[1] = name
        self.parts.initializers.append(constant(name, weight.real_values()))
        added = weight.real_bias()
        if added is not None:
            node.input[2] = bias
            self.parts.initializers.append(constant(bias, added))
        _drop_factors(node)

    def _dequantized_weight(self, name: str, weight: QuantizedWeight) -> str:
        quantized, scale, zero = f"{name}_quantized", f"{name}_scale", f"{name}_zero_point"
        zeros = np.zeros(weight.scales.shape, np.int8)
        low_bits = weight.bits < 8
        if low_bits and self.packed:
            values = packed_constant(quantized, weight.values, weight.bits, signed=True)
            zero_points = packed_constant(zero, zeros, weight.bits, signed=True)
        else:
            values, zero_points = constant(quantized, weight.values), constant(zero, zeros)
        self.parts.initializers += [values, constant(scale, weight.scales), zero_points]
        if low_bits and not self.packed:
            half = 2 ** (weight.bits - 1)
            quantized = self._clip(quantized, np.array(-half, np.int8), np.array(half - 1, np.int8))
        self._node(
            "DequantizeLinear", [quantized, scale, zero], f"{name}_dequantized", axis=weight.axis
        )
        return f"{name}_dequantized"

    def _clip(self, source: str, low: NDArray[np.integer], high: NDArray[np.integer]) -> str:
        """Append a Clip to the narrow bounds of a tensor held in 8 bits; returns its result."""
        names = [f"{source}_low", f"{source}_high"]
        self.parts.initializers += [constant(names[0], low), constant(names[1], high)]
        self._node("Clip", [source, *names], f"{source}_clipped")
        return f"{source}_clipped"

    def _node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> None:
        node = helper.make_node(operator, inputs, [output], f"{output}_{operator}", **attributes)
        self.parts.nodes.append(node)


def _drop_factors(node: NodeProto) -> None:
    """Without the factors of a Gemm, which are in its weights and bias."""
    kept = [entry for entry in node.attribute if entry.name not in ("alpha", "beta")]
    del node.attribute[:]
    node.attribute.extend(kept)
