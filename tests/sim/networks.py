"""Small networks as graphs by hand and as ONNX files, for the simulator's tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from tests.compile.ops.build import (
    INT4,
    INT8,
    UINT8,
    call,
    constant,
    convolution,
    graph,
    plain,
    pool,
    quantized,
)
from tests.compile.ops.cases import UINT4
from tests.compile.ops.onnx_reference import OnnxReference
from zapdeploy.compile.graph import INT32, ElementType, Graph, Quantization, Value


def residual_network(
    activations: ElementType = UINT8,
    weights: ElementType = INT8,
    *,
    batch: int = 1,
    classes: int = 10,
    power_of_two: bool = False,
    seed: int = 0,
) -> Graph:
    """Quantize, Conv, Conv, Add, MaxPool, GlobalAveragePool, Reshape, MatMul, Dequantize."""
    make = Maker(activations, weights, power_of_two, np.random.default_rng(seed))
    image = plain("image", (batch, 3, 12, 12))
    x = call("Quantize", [image], make.activation("x", 1 / 64))
    a = make.conv("a", x.output, 8, 1 / 8)
    b = make.conv("b", a.output, 8, 1 / 4)
    s = call("Add", [a.output, b.output], make.activation("s", 1 / 4))
    p = pool("MaxPool", s.output, make.like("p", s.output, ()), (2, 2), strides=(2, 2))
    g = call("GlobalAveragePool", [p.output], make.activation("g", 1 / 16))
    f = call("Reshape", [g.output], make.like("f", g.output, (batch, 8)))
    w = make.weight("wy", (8, classes), 1)
    bias = make.bias("by", f.output, w)
    y = call("MatMul", [f.output, w, bias], make.activation("y", 1 / 8))
    out = call("Dequantize", [y.output], plain("out", ()))
    return renamed(graph(x, a, b, s, p, g, f, y, out))


class Maker:
    """Values whose scales and data come from one seed."""

    def __init__(
        self,
        activations: ElementType,
        weights: ElementType,
        power_of_two: bool,
        random: np.random.Generator,
    ) -> None:
        self.activations, self.weights = activations, weights
        self.power_of_two, self.random = power_of_two, random

    def scale(self, near: float, bits: int) -> float:
        factor = 1.0 if self.power_of_two else float(self.random.uniform(0.8, 1.2))
        return near * 2 ** (8 - bits) * factor

    def activation(self, name: str, near: float) -> Value:
        low, high = self.activations.limits
        zero_point = (low + high + 1) // 2 if self.power_of_two else (low + high) // 2 - 1
        scale = self.scale(near, self.activations.bits)
        return quantized(name, (), self.activations, scale, zero_point)

    def like(self, name: str, value: Value, shape: tuple[int, ...]) -> Value:
        q = value.quantization
        assert q is not None
        zero_point = int(q.zero_point[0])
        return quantized(name, shape, value.element, float(q.scale[0]), zero_point)

    def weight(self, name: str, shape: tuple[int, ...], axis: int) -> Value:
        count = shape[axis]
        scales = [self.scale(1 / 256, self.weights.bits) for _ in range(count)]
        value = quantized(name, shape, self.weights, scales, [0] * count, axis)
        low, high = self.weights.limits
        return constant(value, self.random.integers(low, high + 1, shape))

    def bias(self, name: str, x: Value, w: Value) -> Value:
        assert x.quantization is not None
        assert w.quantization is not None
        scale = x.quantization.scale * w.quantization.scale
        data = self.random.integers(-100, 100, scale.size).astype(np.int32)
        q = Quantization(scale, np.zeros(scale.size, np.int32), *INT32.limits, 0)
        return Value(name, (scale.size,), INT32, q, data)

    def conv(self, name: str, x: Value, outputs: int, near: float):  # type: ignore[no-untyped-def]
        w = self.weight(f"w{name}", (outputs, x.shape[1], 3, 3), 0)
        y = self.activation(name, near)
        return convolution(x, w, y, self.bias(f"b{name}", x, w), pads=(1, 1, 1, 1))


def renamed(made: Graph) -> Graph:
    """Nodes named after what they make, so that no two share a name."""
    nodes = tuple(replace(node, name=f"node_{node.outputs[0]}") for node in made.nodes)
    return replace(made, nodes=nodes)


def save(made: Graph, folder: Path, *, packed: bool = False, opset: int = 21) -> Path:
    path = folder / "model.onnx"
    onnx.save(OnnxReference(made, packed).model(opset), path)
    return path


FOUR_BITS = (UINT4, INT4)
EIGHT_BITS = (UINT8, INT8)
