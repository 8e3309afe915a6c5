"""Comparisons, logic and choice: masks, and caches that are written at a position."""

from __future__ import annotations

from zapdeploy.compile.frontend.errors import RefusedError
from zapdeploy.compile.frontend.graph_builder import WIDE, GraphBuilder
from zapdeploy.compile.frontend.onnx_node import OnnxNode
from zapdeploy.compile.frontend.registry import translates
from zapdeploy.compile.graph import BOOL, FLOAT32, Attribute, ElementType, Value


@translates("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual")
def comparison(builder: GraphBuilder, node: OnnxNode) -> None:
    a, b = (_plain(builder, node, index) for index in (0, 1))
    _common_element(a, b)
    builder.emit(node, node.op, (a.name, b.name), element=BOOL)


@translates("IsNaN")
def is_nan(builder: GraphBuilder, node: OnnxNode) -> None:
    builder.emit(node, "IsNaN", (builder.real(node.required(0)).name,), element=BOOL)


@translates("IsInf")
def is_infinite(builder: GraphBuilder, node: OnnxNode) -> None:
    attributes: dict[str, Attribute] = {
        name: node.integer(name, 1) for name in ("detect_positive", "detect_negative")
    }
    builder.emit(node, "IsInf", (builder.real(node.required(0)).name,), attributes, element=BOOL)


@translates("And", "Or", "Xor", "Not")
def logic(builder: GraphBuilder, node: OnnxNode) -> None:
    names = tuple(_condition(builder, node, index) for index in range(len(node.inputs)))
    builder.emit(node, node.op, names, element=BOOL)


@translates("Where")
def where(builder: GraphBuilder, node: OnnxNode) -> None:
    condition = _condition(builder, node, 0)
    a, b = (_plain(builder, node, index) for index in (1, 2))
    element = _common_element(a, b)
    builder.emit(node, "Where", (condition, a.name, b.name), element=element)


def _common_element(a: Value, b: Value) -> ElementType:
    if a.element != b.element:
        raise RefusedError(
            f"operands must have one element type, not {a.element.name} and {b.element.name}"
        )
    return a.element


def _condition(builder: GraphBuilder, node: OnnxNode, index: int) -> str:
    value = builder.value(node.required(index))
    if value.element != BOOL:
        raise RefusedError(f"input '{value.name}' must be bool, not {value.element.name}")
    return value.name


def _plain(builder: GraphBuilder, node: OnnxNode, index: int) -> Value:
    value = builder.value(node.required(index))
    wide = value.element.bits >= WIDE and value.quantization is None
    if value.element not in (FLOAT32, BOOL) and not wide:
        raise RefusedError(
            f"input '{value.name}' must be real numbers, not {value.element.name} codes; "
            "put a DequantizeLinear before it"
        )
    return value
