"""One or more calls of every operator. Every new operator joins here; every law holds for all."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np

from tests.compile.ops.build import (
    INT4,
    INT8,
    UINT8,
    call,
    constant,
    convolution,
    integer_bias,
    plain,
    pool,
    quantized,
    random_data,
    real_bias,
    weights,
)
from tests.compile.ops.image_cases import IMAGES
from zapdeploy.compile.graph import (
    BOOL,
    INT32,
    INT64,
    Array,
    Attribute,
    Call,
    ElementType,
    Value,
)

_RANDOM = np.random.default_rng(7)
UINT4 = ElementType("uint", 4)
INT2 = ElementType("int", 2)
INT16 = ElementType("int", 16)


def _convolutions() -> Iterator[tuple[str, Call]]:
    x = quantized("x", (2, 4, 9, 8), UINT8, 0.021, 131)
    y = quantized("y", (), UINT8, 0.9, 117)
    w = weights((6, 4, 3, 3), 0)
    bias = integer_bias(x, w)
    yield "conv", convolution(x, w, y, bias, pads=(1, 1, 1, 1))
    yield "conv without bias", convolution(x, w, y, strides=(2, 1))
    yield "conv asymmetric pads", convolution(x, w, y, bias, pads=(0, 2, 1, 1), strides=(2, 3))
    yield "conv dilated", convolution(x, w, y, bias, pads=(2, 2, 2, 2), dilations=(1, 2))
    relu = quantized("y", (), UINT8, 0.9, 117, limits=(117, 255))
    yield "conv relu", convolution(x, w, relu, bias, pads=(1, 1, 1, 1))
    yield "conv float out", convolution(x, w, plain("y", ()), real_bias(6))
    yield "conv float bias", convolution(x, w, y, real_bias(6))
    grouped = weights((6, 2, 3, 3), 0)
    bias = integer_bias(x, grouped)
    yield "conv grouped", convolution(x, grouped, y, bias, group=2, pads=(1, 1, 1, 1))
    depthwise = weights((8, 1, 3, 3), 0)
    yield "conv depthwise", convolution(x, depthwise, y, integer_bias(x, depthwise), group=4)
    x1 = quantized("x", (1, 5, 11), INT8, 0.03, -3)
    w1 = weights((4, 5, 1), 0)
    yield "conv 1d", convolution(x1, w1, quantized("y", (), INT8, 0.7), integer_bias(x1, w1))
    x3 = quantized("x", (1, 2, 5, 4, 6), INT8, 0.03, 2)
    w3 = weights((3, 2, 2, 3, 2), 0)
    y3 = quantized("y", (), INT8, 0.8, -7)
    yield "conv 3d", convolution(x3, w3, y3, integer_bias(x3, w3), pads=(1, 1, 0, 0, 1, 1))
    x4 = quantized("x", (2, 4, 9, 8), UINT4, 0.25, 7)
    w4 = weights((6, 4, 3, 3), 0, INT4)
    y4 = quantized("y", (), UINT4, 2.0, 6)
    yield "conv int4", convolution(x4, w4, y4, integer_bias(x4, w4), pads=(1, 1, 1, 1))
    wide = quantized("x", (2, 4, 9, 8), INT16, 0.0004, 100)
    y16 = quantized("y", (), INT16, 0.002, -300)
    yield "conv int16", convolution(wide, w, y16, integer_bias(wide, w))
    scales, zeros = [0.3, 0.7, 0.9, 1.1, 2.0, 0.5], [1, 2, 3, 128, 5, 6]
    per_channel = quantized("y", (), UINT8, scales, zeros, 1)
    yield "conv with a scale per output channel", convolution(x, w, per_channel)
    w2 = weights((6, 4, 3, 3), 0, INT2)
    yield "conv int2 weights", convolution(x4, w2, quantized("y", (), INT4, 0.5))


def _matmuls() -> Iterator[tuple[str, Call]]:
    a = quantized("a", (3, 7, 10), UINT8, 0.02, 120)
    y = quantized("y", (), UINT8, 0.5, 127)
    w = weights((10, 6), 1)
    yield "matmul", call("MatMul", [a, w], y)
    yield "matmul bias", call("MatMul", [a, w, integer_bias(a, w)], y)
    yield "matmul float out", call("MatMul", [a, w, real_bias(6)], plain("y", ()))
    b = quantized("b", (2, 3, 10, 4), UINT8, 0.03, 99)
    yield "matmul of activations", call("MatMul", [a, b], y)
    flat = quantized("a", (5, 10), INT8, 0.02, 5)
    yield "matmul flat", call("MatMul", [flat, w, integer_bias(flat, w)], quantized("y", (), INT8))
    a4 = quantized("a", (2, 1, 7, 10), INT4, 0.5)
    w4 = quantized("w", (3, 10, 6), INT4, 0.25)
    yield "matmul int4", call("MatMul", [a4, w4], quantized("y", (), INT4, 4.0, 1))


def _pools() -> Iterator[tuple[str, Call]]:
    x = quantized("x", (2, 3, 9, 8), UINT8, 0.02, 77)
    same = quantized("y", (), UINT8, 0.02, 77)
    other = quantized("y", (), UINT8, 0.031, 60)
    padded: dict[str, Attribute] = {"strides": (2, 2), "pads": (1, 1, 1, 1)}
    yield "max pool", pool("MaxPool", x, same, (3, 3), **padded)
    yield "max pool ceil", pool("MaxPool", x, same, (2, 2), strides=(2, 3), ceil_mode=1)
    yield "max pool dilated", pool("MaxPool", x, same, (3, 2), dilations=(2, 3))
    yield "max pool rescaled", pool("MaxPool", x, other, (3, 3), **padded)
    real = plain("x", (1, 2, 7))
    yield "max pool float", pool("MaxPool", real, plain("y", ()), (3,), pads=(1, 1))
    yield "average pool", pool("AveragePool", x, other, (3, 3), **padded)
    yield (
        "average pool padded",
        pool("AveragePool", x, other, (3, 3), count_include_pad=1, **padded),
    )
    yield "average pool ceil", pool("AveragePool", x, other, (2, 2), strides=(2, 3), ceil_mode=1)
    yield "average pool float", pool("AveragePool", real, plain("y", ()), (3,), pads=(1, 1))
    x4 = quantized("x", (2, 3, 9, 8), UINT4, 0.5, 7)
    yield "average pool int4", pool("AveragePool", x4, quantized("y", (), UINT4, 0.25, 7), (3, 3))
    yield "global pool", call("GlobalAveragePool", [x], other)
    yield "global pool int4", call("GlobalAveragePool", [x4], quantized("y", (), INT4, 0.125, 1))
    yield "mean", call("ReduceMean", [x], other, axes=(2, 3), keepdims=1)
    yield "mean without dimension", call("ReduceMean", [x], other, axes=(-3,), keepdims=0)
    yield "mean float", call("ReduceMean", [real], plain("y", ()), axes=(0, 2), keepdims=0)


def _pairs() -> Iterator[tuple[str, Call]]:
    a = quantized("a", (2, 3, 5, 4), UINT8, 0.0217, 120)
    b = quantized("b", (3, 1, 4), UINT8, 0.0313, 99)
    y = quantized("y", (), UINT8, 0.0411, 110)
    relu = quantized("y", (), UINT8, 0.0411, 110, limits=(110, 255))
    yield "mod", call("Mod", [a, positive_divisor()], y, fmod=1)
    for op in ("Add", "Sub", "Mul", "Div", "Min", "Max"):
        yield op.lower(), call(op, [a, b], y)
        yield (
            f"{op.lower()} float",
            call(op, [plain("a", (2, 5, 4)), plain("b", (1, 4))], plain("y", ())),
        )
    yield "add relu", call("Add", [a, b], relu)
    four = quantized("a", (2, 3, 5, 4), INT4, 0.5), quantized("b", (5, 1), UINT4, 0.25, 7)
    yield "add int4", call("Add", [*four], quantized("y", (), INT4, 1.0, 1))
    yield "mul int4", call("Mul", [*four], quantized("y", (), INT4, 1.0, 1))
    positive = quantized("a", (2, 3, 5, 4), UINT8, 0.02, 0)
    exponent = constant(plain("b", ()), np.float32(1.5))
    yield "pow", call("Pow", [positive, exponent], quantized("y", (), UINT8, 0.05))
    yield "max of three", call("Max", [a, b, quantized("c", (4,), UINT8, 0.02, 3)], y)


def positive_divisor() -> Value:
    return constant(plain("b", (4,)), np.asarray([0.5, 0.75, 1.5, 0.25], np.float32))


FUNCTIONS: dict[str, dict[str, Attribute]] = {
    "Relu": {},
    "Clip": {"low": -0.7, "high": 1.1},
    "LeakyRelu": {"alpha": 0.13},
    "Sigmoid": {},
    "Tanh": {},
    "Exp": {},
    "Erf": {},
    "Neg": {},
    "Abs": {},
    "HardSigmoid": {"alpha": 0.2, "beta": 0.5},
    "HardSwish": {},
    "Gelu": {"approximate": "none"},
    "Softmax": {"axis": -1},
    "LogSoftmax": {"axis": -1},
    "Sin": {},
    "Cos": {},
    "Softplus": {},
    "Swish": {"alpha": 1.0},
    "Floor": {},
    "Ceil": {},
    "Round": {},
    "Sign": {},
    "Selu": {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805},
}


def _functions() -> Iterator[tuple[str, Call]]:
    x = quantized("x", (2, 4, 5, 6), UINT8, 0.0217, 120)
    y = quantized("y", (), UINT8, 0.0113, 90)
    for op, attributes in FUNCTIONS.items():
        yield op.lower(), call(op, [x], y, **attributes)
        yield f"{op.lower()} float", call(op, [plain("x", (3, 5))], plain("y", ()), **attributes)
    yield "gelu tanh", call("Gelu", [x], y, approximate="tanh")
    positive = quantized("x", (2, 4, 5, 6), UINT8, 0.0217, 0, limits=(1, 255))
    for op in ("Log", "Sqrt", "Reciprocal"):
        yield op.lower(), call(op, [positive], y)
    yield "softmax first axis", call("Softmax", [x], quantized("y", (), INT4, 0.125), axis=1)
    scale = constant(plain("s", (5, 6)), _RANDOM.normal(size=(5, 6)))
    bias = constant(plain("b", (6,)), _RANDOM.normal(size=6))
    norm: dict[str, Attribute] = {"axis": -2, "epsilon": 1e-5}
    yield "layer norm", call("LayerNormalization", [x, scale, bias], y, **norm)
    yield "layer norm without bias", call("LayerNormalization", [x, scale], y, **norm)
    yield "rms norm", call("RMSNormalization", [x, scale], y, **norm)
    row = constant(plain("s", (6,)), _RANDOM.normal(size=6))
    last: dict[str, Attribute] = {"axis": -1, "epsilon": 1e-5}
    yield (
        "rms norm float",
        call("RMSNormalization", [plain("x", (3, 6)), row], plain("y", ()), **last),
    )


def _choices() -> Iterator[tuple[str, Call]]:
    x = quantized("a", (2, 3, 5, 4), UINT8, 0.0217, 120)
    y = plain("y", (), BOOL)
    for op in ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"):
        numbers = plain("a", (2, 5, 4), INT32), plain("b", (1, 4), INT32)
        yield op.lower(), call(op, [*numbers], y)
    yield "less, of codes", call("Less", [x, plain("b", (5, 1))], y)
    for op in ("And", "Or", "Xor"):
        yield op.lower(), call(op, [plain("a", (2, 5, 4), BOOL), plain("b", (4,), BOOL)], y)
    yield "is nan", call("IsNaN", [plain("a", (2, 5))], y)
    both = {"detect_positive": 1, "detect_negative": 1}
    yield "is infinite", call("IsInf", [plain("a", (2, 5))], y, **both)
    yield "not", call("Not", [plain("a", (2, 5), BOOL)], y)
    mask = plain("c", (3, 1, 4), BOOL)
    yield "where", call("Where", [mask, x, quantized("b", (5, 1), INT8, 0.03)], quantized("y", ()))
    same = quantized("b", (), UINT8, 0.0217, 120), quantized("y", (), UINT8, 0.0217, 120)
    yield "where of one meaning", call("Where", [mask, x, same[0]], same[1])
    yield (
        "where float",
        call("Where", [mask, plain("a", (3, 5, 4)), plain("b", ())], plain("y", ())),
    )


def _reductions() -> Iterator[tuple[str, Call]]:
    x = quantized("x", (2, 3, 9, 8), UINT8, 0.02, 77)
    y = quantized("y", (), UINT8, 0.5, 60)
    real = plain("x", (4, 2, 7))
    for op in ("ReduceSum", "ReduceMax", "ReduceMin"):
        yield op.lower(), call(op, [x], y, axes=(-1, 1), keepdims=1)
    yield "sum without dimension", call("ReduceSum", [x], y, axes=(2,), keepdims=0)
    yield "sum float", call("ReduceSum", [real], plain("y", ()), axes=(0, 2), keepdims=0)
    yield "largest float", call("ReduceMax", [real], plain("y", ()), axes=(1,), keepdims=0)
    once: dict[str, Attribute] = {"keepdims": 1, "select_last_index": 0}
    last: dict[str, Attribute] = {"keepdims": 0, "select_last_index": 1}
    yield "index of the largest", call("ArgMax", [x], plain("y", (), INT64), axis=1, **once)
    yield "index of the smallest", call("ArgMin", [real], plain("y", (), INT64), axis=-1, **last)
    running: dict[str, Attribute] = {"exclusive": 0, "reverse": 0}
    yield "running sum", call("CumSum", [x], y, axis=2, **running)
    back: dict[str, Attribute] = {"exclusive": 1, "reverse": 1}
    yield "running sum float", call("CumSum", [real], plain("y", ()), axis=-1, **back)
    top: dict[str, Attribute] = {"axis": -1, "largest": 1}
    yield "top k", call("TopK", [x], quantized("y", (2, 3, 9, 3), UINT8, 0.5, 60), indices=0, **top)
    yield "top k indices", call("TopK", [real], plain("y", (4, 2, 3), INT64), indices=1, **top)
    codes, wide = quantized("a", (3, 7, 10), UINT8, 0.02, 120), plain("w", (10, 6))
    yield "real product", call("RealMatMul", [codes, wide, real_bias(6)], y)
    heads = plain("a", (2, 3, 7, 10)), plain("b", (3, 10, 6))
    yield "real products", call("RealMatMul", [*heads], plain("y", ()))


def _representations() -> Iterator[tuple[str, Call]]:
    x = quantized("x", (2, 4, 5), UINT8, 0.0217, 120)
    yield "quantize", call("Quantize", [plain("x", (2, 4, 5))], quantized("y", (), INT8, 0.011, 3))
    yield "dequantize", call("Dequantize", [x], plain("y", ()))
    yield "requantize", call("Requantize", [x], quantized("y", (), INT8, 0.031, -5))
    yield "requantize to int4", call("Requantize", [x], quantized("y", (), INT4, 0.25, 1))
    per_axis = quantized("y", (), INT8, [0.1, 0.02, 0.3, 0.5], [1, 2, 3, 4], 1)
    yield "quantize per axis", call("Quantize", [plain("x", (2, 4, 5))], per_axis)
    yield "cast to int", call("Cast", [plain("x", (2, 4))], plain("y", (), INT32))
    yield "cast to float", call("Cast", [plain("x", (2, 4), INT32)], plain("y", ()))


def _moves() -> Iterator[tuple[str, Call]]:
    shape = (2, 3, 5, 4)
    x = quantized("x", shape, UINT8, 0.02, 77)
    same = quantized("y", (), UINT8, 0.02, 77)
    other = quantized("y", (), UINT8, 0.031, 60)
    short = quantized("x2", (2, 1, 5, 4), UINT8, 0.02, 77)
    scaled = quantized("x2", (2, 4, 5, 4), UINT8, 0.013, 70)
    yield "concat", call("Concat", [x, short, x], same, axis=1)
    yield "concat rescaled", call("Concat", [x, scaled], other, axis=-3)
    yield "transpose", call("Transpose", [x], same, perm=(0, 3, 1, 2))
    yield "transpose rescaled", call("Transpose", [x], other, perm=(3, 2, 1, 0))
    pads = (0, 1, 2, 0, 1, 0, 1, 3)
    yield "pad", call("Pad", [x], same, pads=pads, value=-0.5)
    yield "pad rescaled", call("Pad", [x], other, pads=pads, value=0.3)
    yield "pad and crop", call("Pad", [x], same, pads=(0, 0, 1, -1, 0, 0, -2, 1), value=0.0)
    steps: dict[str, Attribute] = {"starts": (1, 0, 4, 0), "steps": (1, 2, -2, 3)}
    target = quantized("y", (1, 2, 3, 2), UINT8, 0.02, 77)
    yield "slice", call("Slice", [x], target, **steps)
    yield (
        "slice float",
        call("Slice", [plain("x", (6,))], plain("y", (3,)), starts=(1,), steps=(2,)),
    )
    yield "reshape", call("Reshape", [x], quantized("y", (6, 20), UINT8, 0.02, 77))
    yield "reshape rescaled", call("Reshape", [x], quantized("y", (2, 15, 4), UINT8, 0.03, 60))


def _run_time_zero_points() -> Iterator[tuple[str, Call]]:
    """ConvInteger and MatMulInteger: plain integers in, the accumulator out."""
    zero = plain("x_zero", (), UINT8)
    x, w = plain("x", (2, 4, 9, 8), UINT8), plain("w", (6, 4, 3, 3), UINT8)
    attributes: dict[str, Attribute] = {
        "strides": (1, 1), "dilations": (1, 1), "pads": (1, 1, 1, 1), "group": 1
    }  # fmt: skip
    inputs = [x, w, None, zero, plain("w_zero", (6,), UINT8)]
    yield "conv integer", call("Conv", inputs, plain("y", (), INT32), **attributes)
    a, b = plain("x", (3, 7, 10), UINT8), plain("w", (10, 6), INT8)
    matrices = [a, b, None, zero, plain("w_zero", (6,), INT8)]
    yield "matmul integer", call("MatMul", matrices, plain("y", (), INT32))


def dynamic() -> Call:
    """DynamicQuantizeLinear, the one operator with several outputs."""
    c = call("DynamicQuantizeLinear", [plain("x", (3, 4, 5))], plain("y", (), UINT8))
    outputs = (c.output, plain("s", ()), plain("z", (), UINT8))
    node = type(c.node)(c.node.name, c.node.op, c.node.inputs, ("y", "s", "z"))
    return Call(node, c.inputs, outputs)


def _by_operator() -> Iterator[tuple[str, Call]]:
    """The calls in tests that have an operator to themselves (`operators/test_*.py`)."""
    for path in sorted((Path(__file__).parent / "operators").glob("test_*.py")):
        found: dict[str, Call] = import_module(f"tests.compile.ops.operators.{path.stem}").CALLS
        yield from found.items()


CASES: dict[str, Call] = {
    **dict(_by_operator()),
    **dict(_convolutions()),
    **dict(_matmuls()),
    **dict(_pools()),
    **dict(_pairs()),
    **dict(_functions()),
    **dict(_choices()),
    **dict(_reductions()),
    **dict(_representations()),
    **dict(_moves()),
    **dict(_run_time_zero_points()),
    **IMAGES,
    "dynamic": dynamic(),
}
MATRIX = tuple(
    label
    for label, c in CASES.items()
    if c.node.op in ("BlockSparse", "Conv", "ConvTranspose", "MatMul")
)


def inputs_of(c: Call, seed: int = 0) -> list[Array | None]:
    """Random inputs; divisors and logarithms' arguments stay away from zero."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, Array] = {}
    for value in c.inputs:
        if value is None or value.name in arrays:
            continue
        array = random_data(value, rng) if value.data is None else value.data
        if value.name == "indices":
            array = np.asarray(array % _most(c))
        if c.node.op == "Div" and value.name == "b":
            array = np.where(array == _zero(value), array + 1, array).astype(array.dtype)
        arrays[value.name] = array
    return [None if v is None else arrays[v.name] for v in c.inputs]


def _most(c: Call) -> int:
    """How many indices along its axis the first input has."""
    return c.input(0).shape[c.int("axis")]


def _zero(value: Value) -> int:
    return 0 if value.quantization is None else int(value.quantization.zero_point[0])
