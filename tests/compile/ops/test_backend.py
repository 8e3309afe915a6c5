"""ONNX's own node tests, for the operators that this graph has under the same or another name."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.compile.ops.build import call, plain, quantized
from zapdeploy.compile.graph import BOOL, FLOAT32, INT32, INT64, Array, Call, ElementType, Value
from zapdeploy.compile.ops.base import operator

ELEMENTS = {
    "bool": BOOL,
    "float32": FLOAT32,
    "int32": INT32,
    "int64": INT64,
    **{f"{k}{b}": ElementType(k, b) for k in ("int", "uint") for b in (8, 16)},
}
ELEMENTWISE = (
    "Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Relu", "Sigmoid", "Tanh", "Exp", "Log", "Erf",
    "Sqrt", "Reciprocal", "Neg", "Abs", "HardSwish", "Sin", "Cos", "Softplus", "Equal", "Less",
    "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Xor", "Not", "Where", "Floor", "Ceil",
    "Round", "Sign", "IsNaN",
)  # fmt: skip
DEFAULTS: dict[str, dict[str, Any]] = {
    "LeakyRelu": {"alpha": 0.01},
    "HardSigmoid": {"alpha": 0.2, "beta": 0.5},
    "Gelu": {"approximate": "none"},
    "Softmax": {"axis": -1},
    "LogSoftmax": {"axis": -1},
    "Swish": {"alpha": 1.0},
    "Concat": {},
    "Transpose": {},
    "GlobalAveragePool": {},
    "DynamicQuantizeLinear": {},
} | {op: {} for op in ELEMENTWISE}


@cache
def collected() -> dict[str, tuple[onnx.ModelProto, list[Array], list[Array]]]:
    from onnx.backend.test.case.node import collect_testcases

    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in collect_testcases(None):
            if len(case.model.graph.node) == 1 and case.data_sets:
                inputs, outputs = case.data_sets[0]
                found[case.name] = (case.model, list(inputs), list(outputs))
    return found


def value(name: str, array: Array) -> Value:
    array = np.asarray(array)
    return plain(name, array.shape, ELEMENTS[array.dtype.name])


def with_scale(name: str, array: Array, scale: Array, zero_point: Array, axis: int) -> Value:
    element = ELEMENTS[np.asarray(array).dtype.name]
    scales, zeros = np.ravel(scale).tolist(), np.ravel(zero_point).tolist()
    along = axis if len(scales) > 1 else None
    return quantized(name, np.shape(array), element, scales, zeros, along)


Translated = tuple[Call, list[Array | None]]


def same_name(node: onnx.NodeProto, inputs: list[Array], outputs: list[Array]) -> Translated:
    attributes = DEFAULTS[node.op_type] | {
        a.name: helper.get_attribute_value(a) for a in node.attribute
    }
    attributes = {
        k: v.decode() if isinstance(v, bytes) else tuple(v) if isinstance(v, list) else v
        for k, v in attributes.items()
    }
    if node.op_type == "Transpose":
        attributes.setdefault("perm", tuple(reversed(range(inputs[0].ndim))))
    values: list[Value | None] = [value(f"i{n}", a) for n, a in enumerate(inputs)]
    return call(node.op_type, values, value("y", outputs[0]), **attributes), [*inputs]


def pooling(node: onnx.NodeProto, inputs: list[Array], outputs: list[Array]) -> Translated:
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    rank = inputs[0].ndim - 2
    attributes = {
        "kernel_shape": tuple(given["kernel_shape"]),
        "strides": tuple(given.get("strides", (1,) * rank)),
        "dilations": tuple(given.get("dilations", (1,) * rank)),
        "pads": tuple(given.get("pads", (0,) * (2 * rank))),
        "ceil_mode": given.get("ceil_mode", 0),
    }
    if node.op_type == "AveragePool":
        attributes["count_include_pad"] = given.get("count_include_pad", 0)
    y = value("y", outputs[0])
    return call(node.op_type, [value("x", inputs[0])], y, **attributes), inputs[:1]


def layer_norm(node: onnx.NodeProto, inputs: list[Array], outputs: list[Array]) -> Translated:
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    attributes = {"axis": given.get("axis", -1), "epsilon": given.get("epsilon", 1e-5)}
    values: list[Value | None] = [value(f"i{n}", a) for n, a in enumerate(inputs)]
    return call(node.op_type, values, value("y", outputs[0]), **attributes), [*inputs]


def reduction(node: onnx.NodeProto, inputs: list[Array], outputs: list[Array]) -> Translated:
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    axes = tuple(inputs[1].tolist()) if len(inputs) > 1 and inputs[1].size else None
    axes = axes or tuple(range(inputs[0].ndim))
    made = call(
        node.op_type, [value("x", inputs[0])], value("y", outputs[0]),
        axes=axes, keepdims=given.get("keepdims", 1),
    )  # fmt: skip
    return made, inputs[:1]


def clip(node: onnx.NodeProto, inputs: list[Array], outputs: list[Array]) -> Translated:
    bounds = dict(zip(filter(None, node.input), inputs, strict=True))
    low, high = float(bounds.get("min", -np.inf)), float(bounds.get("max", np.inf))
    return call("Clip", [value("x", inputs[0])], value("y", outputs[0]), low=low, high=high), [
        inputs[0]
    ]


def pad(node: onnx.NodeProto, inputs: list[Array], outputs: list[Array]) -> Translated:
    x, y = value("x", inputs[0]), value("y", outputs[0])
    return call("Pad", [x], y, pads=tuple(inputs[1].tolist()), value=float(inputs[2])), inputs[:1]


def slicing(node: onnx.NodeProto, inputs: list[Array], outputs: list[Array]) -> Translated:
    x, first, last = inputs[0], inputs[1].tolist(), inputs[2].tolist()
    axes = inputs[3].tolist() if len(inputs) > 3 else range(len(first))
    strides = inputs[4].tolist() if len(inputs) > 4 else [1] * len(first)
    starts, steps = [0] * x.ndim, [1] * x.ndim
    for axis, a, b, step in zip(axes, first, last, strides, strict=True):
        starts[axis], _, steps[axis] = slice(a, b, step).indices(x.shape[axis])
    y = value("y", outputs[0])
    return call("Slice", [value("x", x)], y, starts=tuple(starts), steps=tuple(steps)), [x]


def convolution(node: onnx.NodeProto, inputs: list[Array], outputs: list[Array]) -> Translated:
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    attributes = {
        "strides": (1, 1),
        "dilations": (1, 1),
        "pads": tuple(given.get("pads", (0,) * 4)),
        "group": 1,
    }
    if node.op_type == "ConvInteger":
        x, w, *zeros = inputs
        values: list[Value | None] = [value("x", x), value("w", w), None]
        values += [value(f"z{n}", zero) for n, zero in enumerate(zeros)]
        return call("Conv", values, value("y", outputs[0]), **attributes), [x, w, None, *zeros]
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero = inputs
    made = call(
        "Conv",
        [with_scale("x", x, x_scale, x_zero, 1), with_scale("w", w, w_scale, w_zero, 0)],
        with_scale("y", outputs[0], y_scale, y_zero, 1),
        **attributes,
    )
    return made, [x, w]


def product(node: onnx.NodeProto, inputs: list[Array], outputs: list[Array]) -> Translated:
    if node.op_type == "MatMulInteger":
        a, b, a_zero, b_zero = inputs
        zeros = [value("za", a_zero), value("zb", b_zero)]
        values: list[Value | None] = [value("a", a), value("b", b), None, *zeros]
        return call("MatMul", values, value("y", outputs[0])), [a, b, None, a_zero, b_zero]
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = inputs
    made = call(
        "MatMul",
        [
            with_scale("a", a, a_scale, a_zero, a.ndim - 1),
            with_scale("b", b, b_scale, b_zero, b.ndim - 1),
        ],
        with_scale("y", outputs[0], y_scale, y_zero, a.ndim - 1),
    )
    return made, [a, b]


def quantizer(node: onnx.NodeProto, inputs: list[Array], outputs: list[Array]) -> Translated:
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    x, scale = inputs[:2]
    axis = given.get("axis", 1)
    if node.op_type == "QuantizeLinear":
        y = with_scale("y", outputs[0], scale, inputs[2], axis)
        return call("Quantize", [value("x", x)], y), [x]
    zero = inputs[2] if len(inputs) > 2 else np.zeros_like(scale, x.dtype)
    x_value = with_scale("x", x, scale, zero, axis)
    return call("Dequantize", [x_value], value("y", outputs[0])), [x]


TRANSLATORS: dict[str, Callable[..., Translated]] = {
    "MaxPool": pooling,
    "AveragePool": pooling,
    "LayerNormalization": layer_norm,
    "RMSNormalization": layer_norm,
    "ReduceMean": reduction,
    "ReduceSum": reduction,
    "ReduceMax": reduction,
    "ReduceMin": reduction,
    "Clip": clip,
    "Pad": pad,
    "Slice": slicing,
    "QLinearConv": convolution,
    "ConvInteger": convolution,
    "QLinearMatMul": product,
    "MatMulInteger": product,
    "QuantizeLinear": quantizer,
    "DequantizeLinear": quantizer,
} | dict.fromkeys(DEFAULTS, same_name)

# What the frontend does before these operators see a node, or refuses.
NOT_HERE = ("same_upper", "same_lower", "argmax", "axes", "default_axes_", "start_out", "edge")
NOT_HERE += (
    "empty_set",
    "reflect",
    "wrap",
    "blocked",
    "int4",
    "int2",
    "e4m3",
    "e5m2",
    "e2m1",
    "expanded",
)
# Their expected values are written down so far.
FOUR_DECIMALS = ("test_averagepool_2d_ceil_last_window_starts_on_pad",)


def suitable(op: str) -> dict[str, tuple[onnx.ModelProto, list[Array], list[Array]]]:
    """The tests of an operator whose types are the graph's."""
    return {
        name: case
        for name, case in collected().items()
        if case[0].graph.node[0].op_type == op
        and not any(word in name for word in NOT_HERE)
        and all(np.asarray(a).dtype.name in ELEMENTS for a in (*case[1], *case[2]))
    }


@pytest.mark.parametrize("op", sorted(TRANSLATORS))
def test_node_tests(op: str) -> None:
    cases = suitable(op)
    assert cases
    for name, (model, inputs, outputs) in cases.items():
        made, arrays = TRANSLATORS[op](model.graph.node[0], inputs, outputs)
        results = operator(made.node.op).evaluate(made, arrays)
        for ours, theirs in zip(results, outputs, strict=False):
            assert ours.shape == np.shape(theirs), name
            atol = 1e-4 if name in FOUR_DECIMALS else 1e-6
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=atol, err_msg=name)
