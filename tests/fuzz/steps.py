"""What a random graph is made of: a step adds an operator with drawn attributes, or declines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.compile.frontend.onnx_files import Array
from tests.fuzz.drawing import Drawing, NotDrawnError, Real

Step = Callable[[Drawing], Real]


def ints(*values: int) -> Array:
    return np.asarray(values, np.int64)


def axis_of(d: Drawing, x: Real) -> int:
    """Any dimension, counted from either end."""
    if not x.shape:
        raise NotDrawnError
    return d.chance.randrange(-len(x.shape), len(x.shape))


def window(d: Drawing, sizes: tuple[int, ...], dilated: bool = True) -> dict[str, Any]:
    """Kernel, strides, dilations and pads, each side its own."""
    count = len(sizes)
    kernel = [min(d.choose(1, 2, 3, 3, 5), size + 1) for size in sizes]
    found: dict[str, Any] = {"kernel_shape": kernel}
    if d.rarely(0.5):
        found["strides"] = [d.choose(1, 2, 3) for _ in sizes]
    if dilated and d.rarely(0.25):
        found["dilations"] = [d.choose(1, 2) for _ in sizes]
    if d.rarely(0.15):
        found["auto_pad"] = d.choose("SAME_UPPER", "SAME_LOWER", "VALID")
    elif d.rarely(0.6):
        found["pads"] = [d.chance.randint(0, (kernel[i % count] - 1)) for i in range(2 * count)]
    return found


def conv(d: Drawing) -> Real:
    x = d.operand(3, 4, 4, 4, 5)
    channels, sizes = x.shape[1], x.shape[2:]
    group = d.choose(1, 1, channels, *(g for g in (2, 3) if channels % g == 0))
    out = group * d.choose(1, 2, 3)
    attributes = window(d, sizes)
    shape = (out, channels // group, *attributes["kernel_shape"])
    weights = d.weights(shape, 0)
    inputs = [x, weights, d.bias(x, weights, out)]
    return d.call("Conv", inputs[: 2 if inputs[2] is None else 3], group=group, **attributes)


def conv_transpose(d: Drawing) -> Real:
    x = d.operand(3, 4, 4)
    channels, sizes = x.shape[1], x.shape[2:]
    group = d.choose(1, 1, channels)
    each = d.choose(1, 2)
    kernel = [d.choose(1, 2, 3) for _ in sizes]
    strides = [d.choose(1, 2) for _ in sizes]
    weights = d.weights((channels, each, *kernel), 1 if group == 1 else 0)
    if group > 1 and np.ndim(weights.kind and weights.kind.scale):
        raise NotDrawnError
    attributes: dict[str, Any] = {"strides": strides, "kernel_shape": kernel, "group": group}
    if d.rarely(0.3):
        attributes["pads"] = [d.chance.randint(0, 1) for _ in range(2 * len(sizes))]
    if d.rarely(0.2):
        attributes["output_padding"] = [d.chance.randrange(s) for s in strides]
    return d.call("ConvTranspose", [x, weights], **attributes)


def gemm(d: Drawing) -> Real:
    x = d.operand(2)
    turned, first = d.choose(0, 1), d.rarely(0.2)
    length, out = x.shape[0 if first else 1], d.choose(1, 2, 5, 7)
    weights = d.weights((out, length) if turned else (length, out), 0 if turned else 1)
    inputs: list[Any] = [x, weights]
    bias = d.bias(x, weights, out)
    if bias is not None:
        inputs.append(bias)
    attributes: dict[str, Any] = {"transA": int(first), "transB": turned}
    if d.rarely():
        attributes |= {"alpha": d.choose(0.5, 1.5, -1.0), "beta": d.choose(0.0, 2.0, 0.3)}
    return d.call("Gemm", inputs, **attributes)


def matmul(d: Drawing) -> Real:
    x = d.operand(1, 2, 2, 3, 3, 4)
    left = len(x.shape) > 1 and d.rarely(0.2)
    length = x.shape[-2] if left else x.shape[-1]
    out = d.choose(1, 2, 5, 8)
    batch = x.shape[:-2] if len(x.shape) > 2 and d.rarely(0.3) else ()
    shape = (*batch, *((out, length) if left else (length, out)))
    weights = d.weights(shape, len(batch) + (0 if left else 1))
    return d.call("MatMul", [weights, x] if left else [x, weights])


def product(d: Drawing) -> Real:
    """Two computed operands."""
    x = d.operand(2, 3, 4)
    perm = [*range(len(x.shape) - 2), len(x.shape) - 1, len(x.shape) - 2]
    turned = d.call("Transpose", [x], perm=perm)
    return d.call("MatMul", d.choose([x, turned], [turned, x]))


def einsum(d: Drawing) -> Real:
    x = d.operand(2, 3)
    letters = "abc"[: len(x.shape)]
    weights = d.weights((x.shape[-1], 3), 1)
    return d.call("Einsum", [x, weights], equation=f"{letters},{letters[-1]}z->{letters[:-1]}z")


def other(d: Drawing, x: Real) -> Real | Array:
    """A second operand: of the same shape, one that broadcasts, or a constant."""
    fitting = [t for t in d.tensors if broadcasts(t.shape, x.shape)]
    if fitting and not d.rarely(0.4):
        return d.choose(*fitting)
    shape = tuple(d.choose(size, size, 1) for size in x.shape)[d.choose(0, 0, 1) :]
    spread = float(np.abs(x.array).max()) or 1.0
    drawn = d.rng.integers(-16, 17, shape) / 16 * 2.0 ** np.ceil(np.log2(spread))
    return np.asarray(np.float32(drawn), np.float64)


def broadcasts(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    pairs = zip(reversed(a), reversed(b), strict=False)
    return all(x == y or 1 in (x, y) for x, y in pairs)


def binary(d: Drawing) -> Real:
    x = d.operand()
    op = d.choose("Add", "Add", "Sub", "Mul", "Mul", "Max", "Min", "Sum", "Mean", "PRelu")
    pair = [x, other(d, x)]
    if op not in ("PRelu",) and d.rarely(0.3):
        pair.reverse()
    return d.call(op, pair)


def divided(d: Drawing) -> Real:
    x = d.operand()
    if d.rarely(0.3):
        return d.call("Div", [x, np.asarray(d.choose(0.5, 3.0, -7.0, 1e-3))])
    positive = d.call("Abs", [d.operand()])
    if not broadcasts(positive.shape, x.shape):
        raise NotDrawnError
    spread = float(positive.array.max()) or 1.0
    return d.call("Div", [x, d.call("Add", [positive, np.asarray(np.float32(spread), np.float64)])])


# Attributes to draw from, for functions of one number.
_FUNCTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    **dict.fromkeys(
        ("Relu", "Sigmoid", "Tanh", "Erf", "Abs", "Neg", "Softplus", "Softsign", "HardSwish",
         "Identity", "Exp", "Selu", "Mish", "Sin", "Cos"),
        ({},),
    ),
    "LeakyRelu": ({}, {"alpha": 0.25}, {"alpha": -0.5}),
    "Elu": ({}, {"alpha": 0.5}),
    "Celu": ({}, {"alpha": 2.0}),
    "HardSigmoid": ({}, {"alpha": 0.25, "beta": 0.4}),
    "ThresholdedRelu": ({}, {"alpha": 0.25}),
    "Shrink": ({}, {"lambd": 0.25, "bias": 0.5}),
    "Gelu": ({}, {"approximate": "tanh"}),
}  # fmt: skip
_JUMPS = ("ThresholdedRelu", "Shrink", "Floor", "Ceil", "Round", "Sign")


def function(d: Drawing) -> Real:
    op = d.choose(*_FUNCTIONS, *_JUMPS[2:])
    if op in _JUMPS and not d.powers:
        d.exactly = False
    if op in ("Gelu", "Mish") and d.file.opset < 20:
        raise NotDrawnError
    x = d.operand()
    if op in ("Elu", "Selu", "Celu") and np.abs(x.array).max() < 0.01:
        raise NotDrawnError  # ONNX Runtime's exp(x) - 1 cancels
    return d.call(op, [x], **d.choose(*_FUNCTIONS.get(op, ({},))))


def positive(d: Drawing) -> Real:
    """A function of positive numbers alone."""
    x = d.call("Abs", [d.operand()])
    spread = float(x.array.max()) or 1.0
    x = d.call("Add", [x, np.asarray(np.float32(spread / 8), np.float64)])
    op = d.choose("Sqrt", "Reciprocal", "Log", "Pow")
    if op == "Pow":
        return d.call("Pow", [x, np.asarray(d.choose(0.5, 2.0, 3.0, -1.0))])
    return d.call(op, [x])


def clip(d: Drawing) -> Real:
    x = d.operand(quantized=False)
    spread = float(np.abs(x.array).max()) or 1.0
    low, high = (np.asarray(np.float32(s * spread), np.float64) for s in (-0.4, 0.6))
    bounds = d.choose([low, high], [low], [None, high], [np.asarray(0.0), high])
    return d.call("Clip", [x, *bounds])


def pool(d: Drawing) -> Real:
    x = d.operand(3, 4, 4, 4, 5)
    op = d.choose("MaxPool", "AveragePool")
    attributes = window(d, x.shape[2:], dilated=op == "MaxPool")
    if d.rarely(0.3) and "auto_pad" not in attributes:
        attributes["ceil_mode"] = 1
    if op == "AveragePool" and d.rarely(0.4):
        attributes["count_include_pad"] = 1
    return d.call(op, [x], **attributes)


def global_pool(d: Drawing) -> Real:
    return d.call(d.choose("GlobalAveragePool", "GlobalMaxPool"), [d.operand(3, 4, 5)])


def reduced(d: Drawing) -> Real:
    x = d.operand()
    op = d.choose("Sum", "Max", "Min", "Mean", "L1", "L2", "SumSquare")
    if not x.shape:
        raise NotDrawnError
    axes = d.chance.sample(range(len(x.shape)), d.chance.randint(1, len(x.shape)))
    if op == "L2" and not x.array.any():
        raise NotDrawnError
    return d.call(f"Reduce{op}", [x, ints(*axes)], keepdims=d.choose(0, 1))


def softmax(d: Drawing) -> Real:
    x = d.operand()
    return d.call(d.choose("Softmax", "Softmax", "LogSoftmax"), [x], axis=axis_of(d, x))


def normalized(d: Drawing) -> Real:
    x = d.operand(2, 3, 4)
    op = d.choose("LayerNormalization", "InstanceNormalization", "BatchNormalization")

    def factors(size: int) -> Array:
        return d.rng.integers(1, 8, size) / 4

    if op == "LayerNormalization":
        inputs = [x, factors(x.shape[-1])]
        return d.call(op, inputs if d.rarely(0.5) else [*inputs, factors(x.shape[-1])], axis=-1)
    channels = x.shape[1]
    if op == "InstanceNormalization":
        if len(x.shape) < 3:
            raise NotDrawnError
        return d.call(op, [x, factors(channels), factors(channels)])
    return d.call(op, [x, *(factors(channels) for _ in range(4))])


# Moving


def transposed(d: Drawing) -> Real:
    x = d.operand(1, 2, 3, 4, 5)
    return d.call("Transpose", [x], perm=d.chance.sample(range(len(x.shape)), len(x.shape)))


def reshaped(d: Drawing) -> Real:
    """Two neighbours as one dimension, or one split in two; -1 and 0 now and then."""
    x = d.operand()
    shape = list(x.shape)
    if len(shape) > 1 and d.rarely(0.6):
        at = d.chance.randrange(len(shape) - 1)
        shape[at : at + 2] = [shape[at] * shape[at + 1]]
    else:
        at = d.chance.randrange(len(shape)) if shape else 0
        part = next((p for p in (2, 3, 5) if shape and shape[at] % p == 0), 1)
        shape[at : at + 1] = [part, shape[at] // part] if shape else [1]
    if d.rarely(0.4):
        shape[d.chance.randrange(len(shape))] = -1
    return d.call("Reshape", [x, ints(*shape)])


def squeezed(d: Drawing) -> Real:
    x = d.operand()
    ones = [axis for axis, size in enumerate(x.shape) if size == 1]
    if ones and d.rarely(0.7):
        return d.call("Squeeze", [x, ints(d.choose(*ones))])
    if len(x.shape) > 4:
        raise NotDrawnError
    return d.call("Unsqueeze", [x, ints(d.chance.randint(-1, len(x.shape)))])


def flattened(d: Drawing) -> Real:
    x = d.operand(2, 3, 4, 5)
    return d.call("Flatten", [x], axis=d.chance.randint(0, len(x.shape)))


def sliced(d: Drawing) -> Real:
    x = d.operand()
    axis = axis_of(d, x)
    size = x.shape[axis]
    step = d.choose(1, 1, 2, 3, -1, -2)
    first, last = d.chance.randint(-size, size), d.choose(size, -1, 1 << 40, size // 2)
    if step < 0:
        first, last = d.choose(size, -1, 1 << 40), d.choose(-(1 << 40), 0)
    return d.call("Slice", [x, ints(first), ints(last), ints(axis), ints(step)])


def gathered(d: Drawing) -> Real:
    """By constant places; now and then by places that come in at run time."""
    x = d.operand()
    axis = axis_of(d, x)
    shape = d.choose((), (1,), (3,), (2, 2))
    places = d.rng.integers(-x.shape[axis], x.shape[axis], shape)
    if not d.rarely(0.2):
        return d.call("Gather", [x, places], axis=axis)
    name = f"places{len(d.inputs)}"
    d.file.input(name, shape, 7)
    found = d.call("Gather", [x, places], axis=axis)
    d.file.initializers = [t for t in d.file.initializers if t.name != d.file.nodes[-1].input[1]]
    d.file.nodes[-1].input[1] = name
    d.inputs[name] = places
    return found


def gathered_elements(d: Drawing) -> Real:
    x = d.operand()
    axis = axis_of(d, x)
    places = d.rng.integers(-x.shape[axis], x.shape[axis], x.shape)
    return d.call("GatherElements", [x, places], axis=axis)


def concatenated(d: Drawing) -> Real:
    x = d.operand()
    axis = axis_of(d, x)

    def beside(shape: tuple[int, ...]) -> bool:
        rank, at = len(x.shape), axis % len(x.shape)
        return len(shape) == rank and all(i == at or shape[i] == x.shape[i] for i in range(rank))

    same = [t for t in d.tensors if beside(t.shape)]
    parts = [x, *(d.choose(*same) for _ in range(d.choose(1, 1, 2)))]
    if d.rarely(0.1):
        parts.append(np.float32(d.rng.normal(0, 1, x.shape)).astype(np.float64))
    return d.call("Concat", parts, axis=axis)


def split(d: Drawing) -> Real:
    x = d.operand()
    axis = axis_of(d, x)
    size = x.shape[axis]
    if size < 2:
        raise NotDrawnError
    first = d.chance.randrange(1, size)
    outputs = [d.file.fresh("split"), d.file.fresh("rest")]
    return d.call("Split", [x, ints(first, size - first)], axis=axis, outputs=outputs)


def padded(d: Drawing) -> Real:
    x = d.operand()
    mode = d.choose("constant", "constant", "edge", "reflect")
    most = 2 if mode != "reflect" else 1
    pads = [d.chance.randint(0, most) for _ in range(2 * len(x.shape))]
    if mode == "reflect":
        pads = [min(p, x.shape[i % len(x.shape)] - 1) for i, p in enumerate(pads)]
    value = [] if mode != "constant" or d.rarely(0.5) else [np.asarray(d.choose(-1.5, 0.25))]
    return d.call("Pad", [x, ints(*pads), *value], mode=mode)


def tiled(d: Drawing) -> Real:
    x = d.operand()
    return d.call("Tile", [x, ints(*(d.choose(1, 1, 2) for _ in x.shape))])


def expanded(d: Drawing) -> Real:
    x = d.operand()
    shape = [size if size > 1 else d.choose(1, 3) for size in x.shape]
    return d.call("Expand", [x, ints(*([2, *shape] if d.rarely() else shape))])


def resized(d: Drawing) -> Real:
    x = d.operand(3, 4, 4)
    mode = d.choose("nearest", "nearest", "linear")
    attributes: dict[str, Any] = {"mode": mode}
    attributes["coordinate_transformation_mode"] = d.choose("asymmetric", "half_pixel")
    if mode == "nearest":
        attributes["nearest_mode"] = d.choose("floor", "round_prefer_floor", "ceil")
    sizes = [max(1, d.choose(s, 2 * s, s // 2, s + 1)) for s in x.shape[2:]]
    return d.call("Resize", [x, None, None, ints(*x.shape[:2], *sizes)], **attributes)


def blocks(d: Drawing) -> Real:
    x = d.operand(4)
    if x.shape[1] % 4 == 0 and d.rarely(0.6):
        return d.call("DepthToSpace", [x], blocksize=2, mode=d.choose("DCR", "CRD"))
    return d.call("SpaceToDepth", [x], blocksize=2)


def triangle(d: Drawing) -> Real:
    x = d.operand(2, 3, 4)
    return d.call("Trilu", [x, np.asarray(d.chance.randint(-1, 1))], upper=d.choose(0, 1))


def chosen(d: Drawing) -> Real:
    """Where a comparison holds, one tensor, elsewhere another."""
    a = d.operand(quantized=True)
    b = other(d, a)
    if not d.powers:
        d.exactly = False
    mask = d.call(d.choose("Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Equal"), [a, b])
    if d.rarely(0.2):
        mask = d.call("Not", [mask])
    return d.call("Where", [mask, *d.choose([a, b], [b, a])])


def largest(d: Drawing) -> Real:
    x = d.operand(quantized=True)
    axis = axis_of(d, x)
    k = d.chance.randint(1, x.shape[axis])
    outputs = [d.file.fresh("top"), d.file.fresh("places")]
    return d.call("TopK", [x, ints(k)], axis=axis, largest=d.choose(0, 1), outputs=outputs)


def cumulative(d: Drawing) -> Real:
    x = d.operand()
    axis = np.asarray(axis_of(d, x))
    return d.call("CumSum", [x, axis], exclusive=d.choose(0, 1), reverse=d.choose(0, 1))


STEPS: tuple[Step, ...] = (
    *(conv, conv, conv, conv_transpose, gemm, gemm, matmul, matmul, product, einsum),
    *(binary, binary, binary, divided, function, function, positive, clip, pool, pool),
    *(global_pool, reduced, softmax, normalized, transposed, reshaped, squeezed, flattened),
    *(sliced, gathered, gathered_elements, concatenated, split, padded, tiled, expanded),
    *(resized, blocks, triangle, chosen, largest, cumulative),
)
