"""Writes an 8-bit plan as ONNX Runtime's integer operators: QLinearConv, QGemm, QLinearAdd, ...

The same scales and integers as the QDQ form: the two files compute the same function. Operators
without an integer form run in float between DequantizeLinear and QuantizeLinear.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import NodeProto, helper

from zapdeploy.errors import ModelError
from zapdeploy.quantize.form_qdq import GraphParts
from zapdeploy.quantize.network import Network, Role
from zapdeploy.quantize.plan import Plan
from zapdeploy.quantize.tensors import constant
from zapdeploy.simplify.onnx_operators import CLAMPS

MICROSOFT = "com.microsoft"


def write_qoperator(plan: Plan) -> GraphParts:
    """The plan as integer operators, in topological order."""
    return _Writer(plan).write()


class _Writer:
    """Builds one graph. Quantized tensors appear as `<name>_quantized`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.network: Network = plan.network
        self.parts = GraphParts()
        self.dequantized: set[str] = set()

    def write(self) -> GraphParts:
        for name in self.network.quantized:
            quantizer = self.plan.quantizers[name]
            zero_point = np.array(quantizer.zero_point, np.uint8)
            self.parts.initializers.append(constant(f"{name}_scale", np.array(quantizer.scale)))
            self.parts.initializers.append(constant(f"{name}_zero_point", zero_point))
        for name in self.network.input_names:
            if name in self.plan.quantizers:
                self._quantize(name)
        for node in self.network.nodes:
            self._convert(node)
        for name in self.network.output_names:
            if name in self.plan.quantizers:
                self._dequantize(name)
        self.parts.keep_used(self.network.initializers, self.network.output_names)
        return self.parts

    def _convert(self, node: NodeProto) -> None:
        role = self.network.role(node)
        if role is Role.ACTIVATION:
            return
        if role is Role.PASSING:
            self._pass(node)
        elif role is Role.PRODUCT:
            self._product(node)
        # Clamps with scales of their own on either side have no integer form.
        elif role is Role.FLOAT or (role is Role.COMBINING and node.op_type in CLAMPS):
            self._float(node)
        else:
            self._integer(node)

    def _integer(self, node: NodeProto) -> None:
        writers: dict[str, Callable[[NodeProto], None]] = {
            "Conv": self._conv,
            "Gemm": self._gemm,
            "MatMul": self._matmul,
            "Add": self._add,
            "Concat": self._concat,
            "AveragePool": self._average_pool,
            "GlobalAveragePool": self._global_average_pool,
        }
        if node.op_type not in writers:
            raise ModelError(
                f"form must be qdq, qcdq or packed for a {node.op_type}, not qoperator "
                f"(node '{node.name}'): no integer operator of ONNX Runtime computes it"
            )
        writers[node.op_type](node)

    def _conv(self, node: NodeProto) -> None:
        inputs = [*_triple(node.input[0]), *self._weight(node), *_scales(self.network.result(node))]
        self._node("QLinearConv", node, [*inputs, *self._bias(node)], **_attributes(node))

    def _gemm(self, node: NodeProto) -> None:
        attributes = {k: v for k, v in _attributes(node).items() if k in ("transA", "transB")}
        bias = self._bias(node) or [""]
        inputs = [*_triple(node.input[0]), *self._weight(node), *bias]
        self._node(
            "QGemm",
            node,
            [*inputs, *_scales(self.network.result(node))],
            MICROSOFT,
            alpha=1.0,
            **attributes,
        )

    def _matmul(self, node: NodeProto) -> None:
        inputs = [*_triple(node.input[0]), *self._weight(node), *_scales(self.network.result(node))]
        self._node("QLinearMatMul", node, inputs)

    def _product(self, node: NodeProto) -> None:
        """QLinearMatMul; a Gemm, which may transpose, in float between its quantizers."""
        if node.op_type == "Gemm":
            self._float(node)
            return
        operands = [name for tensor in node.input[:2] for name in _triple(tensor)]
        self._node("QLinearMatMul", node, [*operands, *_scales(self.network.result(node))])

    def _add(self, node: NodeProto) -> None:
        inputs = [*_triple(node.input[0]), *_triple(node.input[1])]
        self._node("QLinearAdd", node, [*inputs, *_scales(self.network.result(node))], MICROSOFT)

    def _concat(self, node: NodeProto) -> None:
        inputs = _scales(node.output[0])
        for name in node.input:
            inputs += _triple(name)
        self._node("QLinearConcat", node, inputs, MICROSOFT, **_attributes(node))

    def _average_pool(self, node: NodeProto) -> None:
        inputs = [*_triple(node.input[0]), *_scales(node.output[0])]
        self._node("QLinearAveragePool", node, inputs, MICROSOFT, **_attributes(node))

    def _global_average_pool(self, node: NodeProto) -> None:
        inputs = [*_triple(node.input[0]), *_scales(node.output[0])]
        self._node("QLinearGlobalAveragePool", node, inputs, MICROSOFT, channels_last=0)

    def _pass(self, node: NodeProto) -> None:
        """The same operator on the quantized tensor: it moves or selects values."""
        copy = NodeProto()
        copy.CopyFrom(node)
        copy.input[0] = f"{node.input[0]}_quantized"
        copy.output[0] = f"{node.output[0]}_quantized"
        self.parts.nodes.append(copy)

    def _float(self, node: NodeProto) -> None:
        copy = NodeProto()
        copy.CopyFrom(node)
        for index, name in enumerate(node.input):
            if name in self.plan.quantizers:
                copy.input[index] = self._dequantize(name)
        for index, name in enumerate(node.output):
            if name in self.plan.quantizers and name in self.network.output_names:
                copy.output[index] = f"{name}_float"
        self.parts.nodes.append(copy)
        for name, written in zip(node.output, copy.output, strict=True):
            if name in self.plan.quantizers:
                self._quantize(name, written)

    def _quantize(self, name: str, source: str = "") -> None:
        inputs = [source or name, *_scales(name)]
        self.parts.nodes.append(
            helper.make_node(
                "QuantizeLinear", inputs, [f"{name}_quantized"], f"{name}_QuantizeLinear"
            )
        )

    def _dequantize(self, name: str) -> str:
        """The name of the float value of a quantized tensor, computed once."""
        is_output = name in self.network.output_names and name not in self.network.input_names
        result = name if is_output else f"{name}_dequantized"
        if name not in self.dequantized:
            self.dequantized.add(name)
            node_name = f"{name}_DequantizeLinear"
            self.parts.nodes.append(
                helper.make_node("DequantizeLinear", _triple(name), [result], node_name)
            )
        return result

    def _weight(self, node: NodeProto) -> list[str]:
        """Value, scale and zero point of a layer's weights, as initializers."""
        name = f"{node.name or node.output[0]}_weight"
        weight = self.plan.weights[node.output[0]]
        zeros = np.zeros(weight.scales.shape, np.int8)
        self.parts.initializers += [
            constant(f"{name}_quantized", weight.values),
            constant(f"{name}_scale", weight.scales),
            constant(f"{name}_zero_point", zeros),
        ]
        return _triple(name)

    def _bias(self, node: NodeProto) -> list[str]:
        bias = self.plan.weights[node.output[0]].bias
        if bias is None:
            return []
        name = f"{node.name or node.output[0]}_bias_quantized"
        self.parts.initializers.append(constant(name, bias))
        return [name]

    def _node(
        self, operator: str, node: NodeProto, inputs: list[str], domain: str = "", **attributes: Any
    ) -> None:
        output = f"{self.network.result(node)}_quantized"
        name = f"{node.name or node.output[0]}_{operator}"
        self.parts.nodes.append(
            helper.make_node(operator, inputs, [output], name, domain=domain, **attributes)
        )


def _triple(name: str) -> list[str]:
    return [f"{name}_quantized", *_scales(name)]


def _scales(name: str) -> list[str]:
    return [f"{name}_scale", f"{name}_zero_point"]


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
