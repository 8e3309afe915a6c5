"""The graph while it is being translated, one ONNX node after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir

from zapdeploy.compile.frontend.errors import RefusedError, UnjudgedError
from zapdeploy.compile.frontend.onnx_node import OnnxNode
from zapdeploy.compile.frontend.tensors import array_of
from zapdeploy.compile.graph import (
    FLOAT32,
    INT32,
    Array,
    Attribute,
    Call,
    ElementType,
    Graph,
    Node,
    Quantization,
    Shape,
    Value,
)
from zapdeploy.compile.ops.base import Trait, Unit, has, operator
from zapdeploy.compile.ops.gather import Indexed
from zapdeploy.errors import ModelError
from zapdeploy.simplify import Batch
from zapdeploy.simplify.soundness import check_size

WIDE = 32  # bits; narrower integers may be codes, which mean nothing without their scale


@dataclass
class GraphBuilder:
    """Values and nodes so far. Initializers become values when a node first reads them.

    `ranges` holds the bounds of integers that were clipped before their scale is known.
    """

    name: str
    initializers: Mapping[str, ir.Value]
    batch: Batch | None = None
    values: dict[str, Value] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    producers: dict[str, Node] = field(default_factory=dict)
    ranges: dict[str, tuple[int, int]] = field(default_factory=dict)
    folded: int = 0  # elements computed from constants so far
    taken: set[str] = field(default_factory=set)
    node_names: set[str] = field(default_factory=set)

    def value(self, name: str) -> Value:
        """The value of this name. Raises UnjudgedError when a refused node should have made it."""
        if name in self.values:
            return self.values[name]
        if not name:
            raise RefusedError("an input that is not optional must be given")
        if name not in self.initializers:
            raise UnjudgedError(f"reads '{name}', which a refused node makes")
        tensor = self.initializers[name].const_value
        assert tensor is not None
        array, element = array_of(tensor, f"initializer '{name}'")
        return self.define(Value(name, array.shape, element, data=array))

    def define(self, value: Value) -> Value:
        check_size(f"tensor '{value.name}'", value.shape)
        if 0 in value.shape and value.data is None:
            raise ModelError(
                f"tensor '{value.name}' must have no dimension of size zero, "
                f"not {list(value.shape)}"
            )
        self.values[value.name] = value
        return value

    def fresh(self, wish: str) -> str:
        """A name that no value, node or ONNX tensor has."""
        name, count = wish, 1
        while name in self.taken or name in self.values:
            name, count = f"{wish}_{count}", count + 1
        self.taken.add(name)
        return name

    def real(self, name: str) -> Value:
        """A value that must be floating point."""
        value = self.value(name)
        if value.element != FLOAT32:
            raise RefusedError(f"input '{name}' must be float32, not {value.element.name}")
        return value

    def plain(self, name: str) -> Value:
        """A value that must be numbers as they are: floating point, or wide integers."""
        value = self.value(name)
        wide = value.element.is_integer and value.element.bits >= WIDE and not value.quantization
        if value.element != FLOAT32 and not wide:
            raise RefusedError(f"input '{name}' must be float32, not {value.element.name}")
        return value

    def common_element(self, values: Sequence[Value]) -> ElementType:
        """The one element type of operands."""
        found = {value.element.name: value.element for value in values}
        if len(found) > 1:
            raise RefusedError(f"operands must have one element type, not {' and '.join(found)}")
        return values[0].element

    def array(self, name: str, what: str) -> Array:
        """A constant's array; `what` names it in the refusal of anything else."""
        found = self._constant(self.value(name))
        if found is None:
            raise RefusedError(f"{what} must be constant, not computed at run time ('{name}')")
        return found

    def _constant(self, value: Value) -> Array | None:
        """The value of a tensor that is constant, or computed from constants: dequantized, say."""
        if value.data is not None:
            return value.data
        node = self.producers.get(value.name)
        if node is None or len(node.outputs) > 1:
            return None
        operands = tuple(self.values[name] if name else None for name in node.inputs)
        arrays = [None if operand is None else self._constant(operand) for operand in operands]
        if any(o is not None and a is None for o, a in zip(operands, arrays, strict=True)):
            return None
        return operator(node.op).evaluate(Call(node, operands, (value,)), arrays)[0]

    def constant(self, wish: str, data: Array | float) -> str:
        """A new float32 constant."""
        array = np.asarray(data, np.float32)
        return self.define(Value(self.fresh(wish), array.shape, FLOAT32, data=array)).name

    def emit(
        self,
        node: OnnxNode,
        op: str,
        inputs: tuple[str, ...],
        attributes: Mapping[str, Attribute] | None = None,
        *,
        output: str = "",
        element: ElementType = FLOAT32,
        quantization: Quantization | None = None,
        shape: Shape | None = None,
    ) -> str:
        """Add a graph node that stands for an ONNX node; its shape is inferred unless given.

        `output` is the ONNX node's first output unless given. Returns the output's name.
        """
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        output = output or node.output
        made = Node(
            self.fresh_node(node.name), op, inputs, (output,), attributes or {}, (node.name,)
        )
        guess = Value(output, shape or (), element, quantization)
        (inferred,) = operator(op).infer(Call(made, self._operands(op, inputs), (guess,)))
        self.define(replace(guess, shape=inferred))
        self.append(made)
        return output

    def _operands(self, op: str, inputs: tuple[str, ...]) -> tuple[Value | None, ...]:
        """The inputs as shape inference may see them.

        The matrix unit takes integers only. Real numbers pass for integers here: whether they
        become some is judged after the passes.
        """
        operands = tuple(self.value(name) if name else None for name in inputs)
        if operator(op).unit is not Unit.MATRIX:
            return operands
        return tuple(
            replace(value, element=INT32) if value is not None and index < 2 else value
            for index, value in enumerate(operands)
        )

    def emit_dynamic_quantizer(self, node: OnnxNode) -> None:
        """DynamicQuantizeLinear: codes without a meaning, and their scale and zero point."""
        x = self.real(node.required(0))
        if len(node.outputs) != 3:
            raise RefusedError("all three outputs must be used")
        made = Node(self.fresh_node(node.name), node.op, (x.name,), node.outputs, {}, (node.name,))
        byte = ElementType("uint", 8)
        shapes = operator(node.op).infer(Call(made, (x,), ()))
        for name, shape, element in zip(node.outputs, shapes, (byte, FLOAT32, byte), strict=True):
            self.define(Value(name, shape, element))
        self.append(made)

    def append(self, node: Node) -> None:
        self.nodes.append(node)
        self.producers.update(dict.fromkeys(node.outputs, node))

    def fresh_node(self, wish: str) -> str:
        """A name that no node has: an ONNX node's own for the first that stands for it."""
        name, count = wish, 1
        while name in self.node_names:
            name, count = f"{wish}_{count}", count + 1
        self.node_names.add(name)
        return name

    def quantize_as(self, name: str, quantization: Quantization) -> str:
        """The name of a value with these codes and this meaning.

        Codes without a meaning (a constant, a network input, what was made of them) are given it.
        A constant that has another meaning already is used under a second name.
        """
        value = self.value(name)
        if not value.element.is_integer:
            raise RefusedError(f"input '{name}' must be integers, not {value.element.name}")
        if value.quantization is not None:
            if value.quantization.same(quantization):
                return name
            if value.data is None:
                raise RefusedError(
                    f"scale and zero point of '{name}' must be the same wherever it is written "
                    "and read"
                )
            again = replace(
                value, name=self.fresh(name), quantization=self._bounded(value, quantization)
            )
            return self.define(again).name
        self._set_quantization(value, quantization)
        return name

    def _set_quantization(self, value: Value, quantization: Quantization) -> None:
        node = self.producers.get(value.name)
        if node is not None:
            if not has(node.op, Trait.HANDS_CODES_ON):
                raise RefusedError(
                    f"integers '{value.name}' must come from a quantizer, not {node.op}"
                )
            axis = quantization.axis
            before = self.values[node.inputs[0]]
            if axis is not None:
                axis = operator(node.op).axis_before(node, before.shape, value.shape, axis)
                if axis is None:
                    raise RefusedError(f"{node.op} must keep the axis of the scales whole")
            indexed = isinstance(operator(node.op), Indexed)
            for source in node.inputs[:1] if indexed else node.inputs:
                self._quantize_source(source, replace(quantization, axis=axis), node)
        self.values[value.name] = replace(value, quantization=self._bounded(value, quantization))

    def _quantize_source(self, name: str, quantization: Quantization, node: Node) -> None:
        if self.quantize_as(name, quantization) != name:
            raise RefusedError(f"'{name}' must have one scale and zero point (node '{node.name}')")

    def _bounded(self, value: Value, quantization: Quantization) -> Quantization:
        """The quantization with the range that this value's codes can have."""
        if value.quantization is not None:
            low, high = value.quantization.low, value.quantization.high
        else:
            low, high = self.ranges.get(value.name, value.element.limits)
        return replace(quantization, low=low, high=high)

    def graph(self, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Graph:
        for name in outputs:
            self.value(name)
        nodes = tuple(self._settled(node) for node in self.nodes)
        return Graph(self.name, (), {}, inputs, outputs).with_nodes(nodes, self.values)

    def _settled(self, node: Node) -> Node:
        """Integers that were clipped and never given a meaning are clipped as the numbers they are;
        a Requantize clamps to the range of a meaning."""
        name = node.outputs[0]
        if node.op != "Requantize" or self.values[name].quantization is not None:
            return node
        low, high = self.ranges[name]
        return replace(node, op="Clip", attributes={"low": low, "high": high})
