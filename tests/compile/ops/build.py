"""Values, nodes and random data for the operators' tests, built by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from zapdeploy.compile import ops  # noqa: F401  (registers the operators)
from zapdeploy.compile.graph import (
    FLOAT32,
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
from zapdeploy.compile.ops.base import operator

INT8 = ElementType("int", 8)
UINT8 = ElementType("uint", 8)
INT4 = ElementType("int", 4)


def plain(name: str, shape: Shape, element: ElementType = FLOAT32) -> Value:
    return Value(name, shape, element)


def quantized(
    name: str,
    shape: Shape,
    element: ElementType = INT8,
    scale: float | list[float] = 0.05,
    zero_point: int | list[int] = 0,
    axis: int | None = None,
    limits: tuple[int, int] | None = None,
) -> Value:
    low, high = limits or element.limits
    quantization = Quantization(np.asarray(scale), np.asarray(zero_point), low, high, axis)
    return Value(name, shape, element, quantization)


def call(op: str, inputs: list[Value | None], output: Value, **attributes: Attribute) -> Call:
    """A node with its output's shape inferred, except where the operator reads it there."""
    names = tuple(v.name if v is not None else "" for v in inputs)
    node = Node(f"{op}_0", op, names, (output.name,), attributes)
    shape = operator(op).infer(Call(node, tuple(inputs), (output,)))[0]
    return Call(node, tuple(inputs), (replace(output, shape=shape),))


def graph(*calls: Call, name: str = "network") -> Graph:
    """A graph of these calls; inputs are what nobody computes, outputs what nobody reads."""
    values: dict[str, Value] = {}
    for c in calls:
        values.update({v.name: v for v in (*c.inputs, *c.outputs) if v is not None})
    made = [n for c in calls for n in c.node.outputs]
    read = {n for c in calls for n in c.node.inputs}
    inputs = tuple(n for n, v in values.items() if n not in made and not v.is_constant)
    outputs = tuple(n for n in made if n not in read)
    return Graph(name, tuple(c.node for c in calls), values, inputs, outputs)


def random_data(value: Value, rng: np.random.Generator) -> Array:
    """Codes over the whole range of a quantized value, normal numbers for floating point."""
    if value.quantization is not None:
        low, high = value.quantization.low, value.quantization.high
        return rng.integers(low, high + 1, value.shape).astype(value.element.numpy)
    if value.element.kind == "float":
        return rng.normal(size=value.shape).astype(np.float32)
    if value.element.kind == "bool":
        return rng.integers(0, 2, value.shape).astype(bool)
    return rng.integers(-100, 100, value.shape).astype(value.element.numpy)


def random_inputs(c: Call, rng: np.random.Generator) -> list[Array | None]:
    return [
        None if v is None else v.data if v.data is not None else random_data(v, rng)
        for v in c.inputs
    ]


def constant(value: Value, data: Array) -> Value:
    return replace(value, data=np.asarray(data, value.element.numpy))
