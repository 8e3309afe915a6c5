"""Hypothesis strategies that all parts share. A new operator joins `_STEPS`.

`quantized_networks` draws small QDQ files: chains and residuals of operators on tensors of int8 or
int4, some quantized after every operator, some moved as real numbers in between. Scales are powers
of two and 8-bit zero points are even, so that ONNX Runtime's floating point is exact for all but
means and smooth functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil, log2, prod, sqrt
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st

from tests.compile.frontend.onnx_files import Array, OnnxFile

Draw = Callable[[st.SearchStrategy[Any]], Any]


@dataclass(frozen=True, repr=False)
class Network:
    """A drawn file, and inputs for it."""

    model: onnx.ModelProto
    inputs: dict[str, Array]
    steps: tuple[str, ...]

    def __repr__(self) -> str:
        return onnx.printer.to_text(self.model)


@dataclass(frozen=True)
class Real:
    """A float tensor of the file; `spread` is roughly its largest magnitude."""

    name: str
    shape: tuple[int, ...]
    spread: float
    quantized: bool = True


@dataclass
class Drawing:
    """A file while it is being drawn."""

    draw: Draw
    rng: np.random.Generator
    file: OnnxFile = field(default_factory=OnnxFile)
    tensors: list[Real] = field(default_factory=list)

    def choose(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def quantize(self, real: Real) -> Real:
        """A quantizer and a dequantizer that use most of their range."""
        bits, signed = self.choose((8, True), (8, False), (8, False), (4, True), (4, False))
        scale = 2.0 ** ceil(log2(real.spread / (1 << (bits - 1))))
        middle = 0 if signed else 1 << (bits - 1)
        zero = middle + self.choose(0, 0, 2, -2)
        element = f"{'int' if signed else 'uint'}{bits}"
        scales = self.file.constant(np.float32(scale))
        zeros = np.asarray(zero, np.int8 if signed else np.uint8)
        parameters = [scales, self.file.constant(zeros, element=element)]
        codes = self.file.node("QuantizeLinear", [real.name, *parameters])
        name = self.file.node("DequantizeLinear", [codes, *parameters])
        return Real(name, real.shape, real.spread)

    def operand(self, rank: int | None = None) -> Real:
        """A quantized tensor, of a rank if given."""
        fitting = [t for t in self.tensors if t.quantized and rank in (None, len(t.shape))]
        return self.choose(*fitting)

    def has(self, rank: int) -> bool:
        return any(t.quantized and len(t.shape) == rank for t in self.tensors)

    def weights(self, shape: tuple[int, ...], axis: int) -> tuple[str, Array]:
        """Dequantized codes, int8 or int4, per tensor or along an axis; their scales."""
        bits, per_channel = self.choose(8, 4), self.choose(False, True)
        count = shape[axis] if per_channel else 1
        scale = 2.0 ** self.rng.integers(-bits - 1, -bits + 2, count)
        codes = self.rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), shape).astype(np.int8)
        element = f"int{bits}"
        scales = scale.astype(np.float32) if per_channel else np.float32(scale[0])
        zeros = np.zeros(np.shape(scales), np.int8)
        inputs = [
            self.file.constant(codes, element=element),
            self.file.constant(scales),
            self.file.constant(zeros, element=element),
        ]
        return self.file.node("DequantizeLinear", inputs, axis=axis), scale

    def add(self, real: Real) -> None:
        """Keep a tensor: perhaps clamped, moved, and quantized."""
        if self.choose(False, False, True):
            real = self._clamped(real)
        if self.choose(False, False, True):
            real = self._moved(real)
        self.tensors.append(self.quantize(real))

    def _clamped(self, real: Real) -> Real:
        if self.choose(True, False):
            return Real(self.file.node("Relu", [real.name]), real.shape, real.spread)
        bounds = [self.file.constant(np.float32(v)) for v in (0.0, real.spread / 2)]
        return Real(self.file.node("Clip", [real.name, *bounds]), real.shape, real.spread)

    def _moved(self, real: Real) -> Real:
        if self.choose(True, False):
            perm = self.draw(st.permutations(range(len(real.shape))))
            shape = tuple(real.shape[d] for d in perm)
            name = self.file.node("Transpose", [real.name], perm=list(perm))
            return Real(name, shape, real.spread)
        return Real(self.file.node("Identity", [real.name]), real.shape, real.spread)


def conv(d: Drawing) -> None:
    x = d.operand(4)
    kernel, stride, group = d.choose(1, 3), d.choose(1, 2), d.choose(1, x.shape[1])
    out = group * d.choose(1, 2, 3)
    shape = (out, x.shape[1] // group, kernel, kernel)
    weights, _ = d.weights(shape, 0)
    inputs = [x.name, weights]
    if d.choose(True, False):
        inputs.append(d.file.constant(d.rng.integers(-8, 8, out).astype(np.float32) / 4))
    pad = kernel // 2
    attributes = {"pads": [pad] * 4, "strides": [stride] * 2, "group": group}
    name = d.file.node("Conv", inputs, **attributes)
    size = tuple((s - 1) // stride + 1 for s in x.shape[2:])
    d.add(Real(name, (x.shape[0], out, *size), _spread(x, prod(shape[1:]))))


def transposed(d: Drawing) -> None:
    """Twice as many positions, with a kernel of 2 or 3."""
    x = d.operand(4)
    kernel, out = d.choose(2, 3), d.choose(1, 3)
    weights, _ = d.weights((x.shape[1], out, kernel, kernel), 1)
    attributes = {"strides": [2, 2], "pads": [0, 0, kernel - 2, kernel - 2]}
    name = d.file.node("ConvTranspose", [x.name, weights], **attributes)
    shape = (x.shape[0], out, *(2 * s for s in x.shape[2:]))
    d.add(Real(name, shape, _spread(x, x.shape[1] * kernel**2)))


def gemm(d: Drawing) -> None:
    """Gemm on a matrix, MatMul and Add on three dimensions."""
    x = d.operand(d.choose(*(rank for rank in (2, 3) if d.has(rank))))
    out, length = d.choose(2, 5), x.shape[-1]
    spread = _spread(x, length)
    bias = d.file.constant(d.rng.integers(-8, 8, out).astype(np.float32) / 4)
    if len(x.shape) == 2:
        weights, _ = d.weights((out, length), 0)
        name = d.file.node("Gemm", [x.name, weights, bias], transB=1)
    else:
        weights, _ = d.weights((length, out), 1)
        name = d.file.node("Add", [d.file.node("MatMul", [x.name, weights]), bias])
    d.add(Real(name, (*x.shape[:-1], out), spread))


def _spread(x: Real, length: int) -> float:
    """Sums of independent products grow with the root of their number; weights are below 1."""
    return max(x.spread * sqrt(length), 1.0)


def product(d: Drawing) -> None:
    """Every row with every row: both operands are computed."""
    x = d.operand(d.choose(*(rank for rank in (2, 3) if d.has(rank))))
    perm = [*range(len(x.shape) - 2), len(x.shape) - 1, len(x.shape) - 2]
    turned = d.file.node("Transpose", [x.name], perm=perm)
    name = d.file.node("MatMul", [x.name, turned])
    spread = max(x.spread**2 * sqrt(x.shape[-1]), 2.0**-6)
    d.add(Real(name, (*x.shape[:-1], x.shape[-2]), spread))


def residual(d: Drawing) -> None:
    a = d.operand()
    same = [t for t in d.tensors if t.quantized and t.shape == a.shape]
    b, op = d.choose(*same), d.choose("Add", "Add", "Mul", "Sub")
    spread = a.spread * b.spread if op == "Mul" else a.spread + b.spread
    d.add(Real(d.file.node(op, [a.name, b.name]), a.shape, max(spread, 2.0**-6)))


def pool(d: Drawing) -> None:
    x, op = d.operand(4), d.choose("MaxPool", "MaxPool", "AveragePool")
    pads = d.choose([0, 0, 0, 0], [1, 1, 1, 1])
    if min(x.shape[2:]) < 3:
        return
    name = d.file.node(op, [x.name], kernel_shape=[3, 3], strides=[2, 2], pads=pads)
    size = tuple((s + 2 * pads[0] - 3) // 2 + 1 for s in x.shape[2:])
    d.add(Real(name, (*x.shape[:2], *size), x.spread))


def global_pool(d: Drawing) -> None:
    x = d.operand(4)
    name = d.file.node("GlobalAveragePool", [x.name])
    d.add(Real(name, (*x.shape[:2], 1, 1), x.spread))


def concat(d: Drawing) -> None:
    a = d.operand()
    same = [t for t in d.tensors if t.quantized and t.shape == a.shape]
    b = d.choose(*same)
    axis = d.draw(st.integers(0, len(a.shape) - 1))
    shape = tuple(s * 2 if i == axis else s for i, s in enumerate(a.shape))
    spread = max(a.spread, b.spread)
    d.add(Real(d.file.node("Concat", [a.name, b.name], axis=axis), shape, spread))


def part(d: Drawing) -> None:
    """Every second index along one dimension."""
    x = d.operand()
    axis = d.draw(st.integers(0, len(x.shape) - 1))
    inputs = [d.file.constant(np.asarray([v], np.int64)) for v in (0, 1 << 40, axis, 2)]
    shape = tuple(-(-s // 2) if i == axis else s for i, s in enumerate(x.shape))
    d.add(Real(d.file.node("Slice", [x.name, *inputs]), shape, x.spread))


def picked(d: Drawing) -> None:
    """Any indices along one dimension."""
    x = d.operand()
    axis = d.draw(st.integers(0, len(x.shape) - 1))
    indices = d.rng.integers(0, x.shape[axis], d.choose(1, 3))
    name = d.file.node("Gather", [x.name, d.file.constant(indices)], axis=axis)
    d.add(Real(name, (*x.shape[:axis], len(indices), *x.shape[axis + 1 :]), x.spread))


def enlarged(d: Drawing) -> None:
    """To nearest, twice as large."""
    x = d.operand(4)
    scales = d.file.constant(np.asarray([1, 1, 2, 2], np.float32))
    attributes = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    name = d.file.node("Resize", [x.name, "", scales], mode="nearest", **attributes)
    d.add(Real(name, (*x.shape[:2], *(2 * s for s in x.shape[2:])), x.spread))


def repeated(d: Drawing) -> None:
    x = d.operand()
    times = [d.choose(1, 1, 2) for _ in x.shape]
    name = d.file.node("Tile", [x.name, d.file.constant(np.asarray(times, np.int64))])
    d.add(Real(name, tuple(n * s for n, s in zip(times, x.shape, strict=True)), x.spread))


def pad(d: Drawing) -> None:
    x = d.operand()
    pads = d.file.constant(np.ones(2 * len(x.shape), np.int64))
    name = d.file.node("Pad", [x.name, pads])
    d.add(Real(name, tuple(s + 2 for s in x.shape), x.spread))


def flatten(d: Drawing) -> None:
    x = d.operand()
    target = (x.shape[0], prod(x.shape[1:]))
    shape = d.file.constant(np.asarray((target[0], -1), np.int64))
    d.add(Real(d.file.node("Reshape", [x.name, shape]), target, x.spread))


def function(d: Drawing) -> None:
    x, op = d.operand(), d.choose("Sigmoid", "Tanh", "LeakyRelu", "HardSwish", "Softmax")
    spread = x.spread if op in ("LeakyRelu", "HardSwish") else 1.0
    d.add(Real(d.file.node(op, [x.name]), x.shape, spread))


def normal(d: Drawing) -> None:
    x = d.operand()
    scale = d.file.constant(d.rng.integers(1, 8, x.shape[-1]).astype(np.float32) / 4)
    d.add(Real(d.file.node("LayerNormalization", [x.name, scale]), x.shape, 4.0))


def reduced(d: Drawing) -> None:
    x, op = d.operand(), d.choose("ReduceSum", "ReduceMax", "ReduceMin")
    axis = d.draw(st.integers(0, len(x.shape) - 1))
    axes = d.file.constant(np.asarray([axis], np.int64))
    shape = tuple(1 if i == axis else s for i, s in enumerate(x.shape))
    spread = x.spread * (sqrt(x.shape[axis]) if op == "ReduceSum" else 1)
    d.add(Real(d.file.node(op, [x.name, axes]), shape, spread))


def choice(d: Drawing) -> None:
    """One tensor where a comparison with another holds, the other elsewhere."""
    a = d.operand()
    same = [t for t in d.tensors if t.quantized and t.shape == a.shape]
    b, op = d.choose(*same), d.choose("Less", "GreaterOrEqual", "Equal")
    mask = d.file.node(op, [a.name, b.name])
    spread = max(a.spread, b.spread)
    d.add(Real(d.file.node("Where", [mask, b.name, a.name]), a.shape, spread))


_STEPS: tuple[tuple[str, Callable[[Drawing], None], tuple[int, ...]], ...] = (
    ("conv", conv, (4,)),
    ("transposed", transposed, (4,)),
    ("gemm", gemm, (2, 3)),
    ("product", product, (2, 3)),
    ("residual", residual, ()),
    ("pool", pool, (4,)),
    ("global_pool", global_pool, (4,)),
    ("concat", concat, ()),
    ("part", part, ()),
    ("picked", picked, ()),
    ("enlarged", enlarged, (4,)),
    ("repeated", repeated, ()),
    ("pad", pad, ()),
    ("flatten", flatten, ()),
    ("function", function, ()),
    ("normal", normal, ()),
    ("reduced", reduced, ()),
    ("choice", choice, ()),
)
# Operators whose result ONNX Runtime rounds in its own way: the mean's order of summation, the
# approximations of exp. Their quantized results may differ by one step.
INEXACT = frozenset(
    (
        *("AveragePool", "GlobalAveragePool", "ReduceMean", "Sigmoid", "Tanh", "Softmax"),
        *("HardSwish", "LayerNormalization"),
    )
)
MOST_ELEMENTS = 4096


@st.composite
def quantized_networks(draw: Draw, most_steps: int = 5) -> Network:
    """A QDQ file with one input, of up to `most_steps` operators, and inputs for it."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    d = Drawing(draw, rng)
    shape = draw(st.sampled_from(((1, 3, 8, 8), (2, 4, 5, 7), (3, 12), (2, 3, 6))))
    d.tensors.append(d.quantize(Real(d.file.input("x", shape), shape, 4.0)))
    steps = []
    for _ in range(draw(st.integers(1, most_steps))):
        possible = [s for s in _STEPS if not s[2] or any(map(d.has, s[2]))]
        name, step, _ = draw(st.sampled_from(possible))
        if prod(d.tensors[-1].shape) <= MOST_ELEMENTS:
            step(d)
            steps.append(name)
    d.file.output(d.tensors[-1].name)
    inputs = {"x": rng.normal(0, 2, shape).astype(np.float32)}
    return Network(d.file.model(), inputs, tuple(steps))
