"""Values, nodes and random data for the operators' tests, built by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from zapdeploy.compile import ops  # noqa: F401  (registers the operators)
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
from zapdeploy.compile.ops.base import operator

INT8 = ElementType("int", 8)
UINT8 = ElementType("uint", 8)
INT4 = ElementType("int", 4)
_RANDOM = np.random.default_rng(7)


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


def weights(shape: tuple[int, ...], axis: int, element: ElementType = INT8) -> Value:
    """Constant weights with a scale per index along `axis`."""
    scales = list(_RANDOM.uniform(0.01, 0.05, shape[axis]))
    value = quantized("w", shape, element, scales, [0] * shape[axis], axis)
    return constant(value, random_data(value, _RANDOM))


def integer_bias(x: Value, w: Value, random: np.random.Generator = _RANDOM) -> Value:
    """A constant int32 bias of scale s_x s_w."""
    assert x.quantization is not None
    assert w.quantization is not None
    scale = x.quantization.scale * w.quantization.scale
    low, high = INT32.limits
    quantization = Quantization(scale, np.zeros(scale.size, np.int32), low, high, 0)
    data = random.integers(-500, 500, scale.size).astype(np.int32)
    return Value("b", (scale.size,), INT32, quantization, data)


def real_bias(size: int) -> Value:
    return constant(plain("b", (size,)), _RANDOM.normal(size=size))


def convolution(
    x: Value, w: Value, y: Value, bias: Value | None = None, op: str = "Conv", **changes: Attribute
) -> Call:
    rank = len(x.shape) - 2
    attributes: dict[str, Attribute] = {
        "strides": (1,) * rank,
        "dilations": (1,) * rank,
        "pads": (0,) * (2 * rank),
        "group": 1,
    }
    inputs = [x, w] if bias is None else [x, w, bias]
    return call(op, inputs, y, **(attributes | changes))


def pool(op: str, x: Value, y: Value, kernel: tuple[int, ...], **changes: Attribute) -> Call:
    rank = len(kernel)
    attributes: dict[str, Attribute] = {
        "kernel_shape": kernel,
        "strides": (1,) * rank,
        "dilations": (1,) * rank,
        "pads": (0,) * (2 * rank),
        "ceil_mode": 0,
    }
    if op == "AveragePool":
        attributes["count_include_pad"] = 0
    return call(op, [x], y, **(attributes | changes))
