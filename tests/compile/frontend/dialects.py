"""The same small quantized networks in every dialect.

Scales are powers of two: ONNX Runtime's floating point is exact, and all agree to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from tests.compile.frontend.onnx_files import Array, OnnxFile

MICROSOFT = "com.microsoft"
QONNX = "qonnx.custom_op.general"


@dataclass(frozen=True)
class Kind:
    """How a tensor is quantized. `scale` has one entry per channel for weights per channel."""

    bits: int
    signed: bool
    scale: Any
    zero: int = 0

    @property
    def storage(self) -> Any:
        return np.int8 if self.signed else np.uint8

    @property
    def limits(self) -> tuple[int, int]:
        if self.signed:
            return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
        return 0, (1 << self.bits) - 1

    @property
    def element(self) -> str:
        return f"{'int' if self.signed else 'uint'}{self.bits}"


@dataclass(frozen=True)
class Tensor:
    """An activation: the name that the next operator reads, and how it is quantized."""

    name: str
    kind: Kind


@dataclass(frozen=True)
class Weights:
    """Integer codes, quantized per tensor or along axis 0."""

    codes: Array
    kind: Kind


@dataclass
class Writer:
    """Writes one dialect. The base class is QDQ with ONNX's own types."""

    dialect: ClassVar[str] = "QDQ"
    file: OnnxFile = field(default_factory=OnnxFile)

    def start(self, name: str, shape: tuple[int, ...], kind: Kind) -> Tensor:
        return self.activation(self.file.input(name, shape), kind)

    def activation(self, real: str, kind: Kind) -> Tensor:
        codes = self.file.node("QuantizeLinear", [real, *self.parameters(kind)])
        return Tensor(self.dequantize(codes, kind), kind)

    def parameters(self, kind: Kind) -> list[str]:
        """Names of scale and zero point."""
        scale = self.file.constant(np.asarray(kind.scale, np.float32))
        zero = np.full(np.shape(kind.scale), kind.zero, kind.storage)
        return [scale, self.file.constant(zero, element=kind.element)]

    def dequantize(self, codes: str, kind: Kind, axis: int = 0) -> str:
        return self.file.node("DequantizeLinear", [codes, *self.parameters(kind)], axis=axis)

    def weights(self, weights: Weights) -> str:
        codes = self.file.constant(weights.codes, element=weights.kind.element)
        return self.dequantize(codes, weights.kind)

    def bias(self, x: Tensor, weights: Weights, codes: Array) -> str:
        scale = np.float32(x.kind.scale) * np.asarray(weights.kind.scale, np.float32)
        scales = self.file.constant(scale)
        zero = self.file.constant(np.zeros(np.shape(scale), np.int32))
        return self.file.node("DequantizeLinear", [self.file.constant(codes), scales, zero], axis=0)

    def conv(
        self,
        x: Tensor,
        weights: Weights,
        bias: Array,
        kind: Kind,
        relu: bool = False,
        **window: Any,
    ) -> Tensor:
        inputs = [x.name, self.weights(weights), self.bias(x, weights, bias)]
        return self._finish(self.file.node("Conv", inputs, **window), kind, relu)

    def gemm(
        self, x: Tensor, weights: Weights, bias: Array, kind: Kind, relu: bool = False
    ) -> Tensor:
        inputs = [x.name, self.weights(weights), self.bias(x, weights, bias)]
        return self._finish(self.file.node("Gemm", inputs, transB=1), kind, relu)

    def add(self, a: Tensor, b: Tensor, kind: Kind, relu: bool = False) -> Tensor:
        return self._finish(self.file.node("Add", [a.name, b.name]), kind, relu)

    def _finish(self, real: str, kind: Kind, relu: bool) -> Tensor:
        return self.activation(self.file.node("Relu", [real]) if relu else real, kind)

    def finish(self, x: Tensor) -> OnnxFile:
        self.file.output(x.name)
        return self.file


@dataclass
class QcdqWriter(Writer):
    """As Brevitas writes it: bytes, with a Clip for fewer bits; weights "quantize"d or as codes."""

    dialect: ClassVar[str] = "QCDQ"
    weight_form: str = "quantize"

    def activation(self, real: str, kind: Kind) -> Tensor:
        codes = self.file.node("QuantizeLinear", [real, *self.parameters(kind)])
        return Tensor(self.dequantize(self.clip(codes, kind), kind), kind)

    def parameters(self, kind: Kind) -> list[str]:
        scale = self.file.constant(np.asarray(kind.scale, np.float32))
        return [scale, self.file.constant(np.full(np.shape(kind.scale), kind.zero, kind.storage))]

    def clip(self, codes: str, kind: Kind) -> str:
        if kind.bits == 8:
            return codes
        bounds = [self.file.constant(np.asarray(v, kind.storage)) for v in kind.limits]
        return self.file.node("Clip", [codes, *bounds])

    def weights(self, weights: Weights) -> str:
        kind = weights.kind
        if self.weight_form == "clip":
            codes = self.file.constant(weights.codes.astype(kind.storage))
        else:
            shape = (-1, *(1 for _ in weights.codes.shape[1:]))
            scale = np.asarray(kind.scale, np.float32)
            scale = scale.reshape(shape) if scale.ndim else scale
            real = self.file.constant((weights.codes * scale).astype(np.float32))
            codes = self.file.node("QuantizeLinear", [real, *self.parameters(kind)], axis=0)
        return self.dequantize(self.clip(codes, kind), kind)


@dataclass
class QonnxWriter(Writer):
    """Quant nodes between real numbers, weights and biases included."""

    dialect: ClassVar[str] = "QONNX"

    def quant(self, real: str, kind: Kind, rank: int = 0) -> str:
        scale = np.asarray(kind.scale, np.float32)
        scale = scale.reshape(-1, *(1 for _ in range(rank - 1))) if scale.ndim else scale
        inputs = [
            real,
            self.file.constant(scale),
            self.file.constant(np.float32(kind.zero)),
            self.file.constant(np.float32(kind.bits)),
        ]
        attributes = {"signed": int(kind.signed), "narrow": 0, "rounding_mode": "ROUND"}
        return self.file.node("Quant", inputs, domain=QONNX, **attributes)

    def activation(self, real: str, kind: Kind) -> Tensor:
        return Tensor(self.quant(real, kind), kind)

    def weights(self, weights: Weights) -> str:
        shape = (-1, *(1 for _ in weights.codes.shape[1:]))
        scale = np.asarray(weights.kind.scale, np.float32)
        scale = scale.reshape(shape) if scale.ndim else scale
        real = self.file.constant((weights.codes * scale).astype(np.float32))
        return self.quant(real, weights.kind, weights.codes.ndim)

    def bias(self, x: Tensor, weights: Weights, codes: Array) -> str:
        scale = np.float32(x.kind.scale) * np.asarray(weights.kind.scale, np.float32)
        real = self.file.constant((codes * scale).astype(np.float32))
        return self.quant(real, Kind(32, True, scale), 1)


@dataclass
class OperatorWriter(Writer):
    """Integer operators with their parameters as inputs (8 bits only)."""

    dialect: ClassVar[str] = "operator form"

    def activation(self, real: str, kind: Kind) -> Tensor:
        return Tensor(self.file.node("QuantizeLinear", [real, *self.parameters(kind)]), kind)

    def conv(
        self,
        x: Tensor,
        weights: Weights,
        bias: Array,
        kind: Kind,
        relu: bool = False,
        **window: Any,
    ) -> Tensor:
        inputs = [*self._operand(x), *self._weights(weights), *self.parameters(kind)]
        codes = self.file.node("QLinearConv", [*inputs, self.file.constant(bias)], **window)
        return self._clamped(codes, kind, relu)

    def gemm(
        self, x: Tensor, weights: Weights, bias: Array, kind: Kind, relu: bool = False
    ) -> Tensor:
        inputs = [*self._operand(x), *self._weights(weights), self.file.constant(bias)]
        inputs += self.parameters(kind)
        codes = self.file.node("QGemm", inputs, domain=MICROSOFT, transB=1)
        return self._clamped(codes, kind, relu)

    def add(self, a: Tensor, b: Tensor, kind: Kind, relu: bool = False) -> Tensor:
        inputs = [*self._operand(a), *self._operand(b), *self.parameters(kind)]
        return self._clamped(self.file.node("QLinearAdd", inputs, domain=MICROSOFT), kind, relu)

    def _operand(self, x: Tensor) -> list[str]:
        return [x.name, *self.parameters(x.kind)]

    def _weights(self, weights: Weights) -> list[str]:
        return [self.file.constant(weights.codes), *self.parameters(weights.kind)]

    def _clamped(self, codes: str, kind: Kind, relu: bool) -> Tensor:
        if not relu:
            return Tensor(codes, kind)
        low = self.file.constant(np.asarray(kind.zero, kind.storage))
        return Tensor(self.file.node("Clip", [codes, low]), kind)

    def finish(self, x: Tensor) -> OnnxFile:
        self.file.output(self.dequantize(x.name, x.kind))
        return self.file


@dataclass(frozen=True)
class Style:
    """What the networks below leave open: widths, signs, zero points, scales per channel."""

    weight_bits: int = 8
    activation_bits: int = 8
    signed: bool = True
    zero: int = 0
    per_channel: bool = False

    def activation(self, exponent: int) -> Kind:
        scale = 2.0 ** (exponent + 8 - self.activation_bits)
        return Kind(self.activation_bits, self.signed, scale, self.zero)

    def bias(self, rng: np.random.Generator, count: int) -> Array:
        limit = 1 << max(self.weight_bits + self.activation_bits - 7, 1)
        return rng.integers(-limit, limit, count).astype(np.int32)

    def weights(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Weights:
        unit = 2.0 ** (2 - self.weight_bits)
        scale = unit * 2.0 ** rng.integers(-1, 2, shape[0]) if self.per_channel else unit
        kind = Kind(self.weight_bits, True, scale)
        low, high = kind.limits
        codes = rng.integers(low, high + 1, shape).astype(np.int8)
        return Weights(codes, kind)


def residual_network(writer: Writer, style: Style) -> tuple[OnnxFile, dict[str, Array]]:
    """Conv-Relu-Conv-Add-Relu on [2, 3, 8, 8]."""
    rng = np.random.default_rng(1)
    x = writer.start("x", (2, 3, 8, 8), style.activation(-4))
    shape, pads = (3, 3, 3, 3), {"pads": [1, 1, 1, 1]}
    bias = style.bias(rng, 3)
    inner = writer.conv(x, style.weights(rng, shape), bias, style.activation(-2), True, **pads)
    outer = writer.conv(inner, style.weights(rng, shape), bias, style.activation(-1), **pads)
    y = writer.add(x, outer, style.activation(-1), relu=True)
    return writer.finish(y), {"x": rng.normal(0, 3, (2, 3, 8, 8)).astype(np.float32)}


def perceptron(writer: Writer, style: Style) -> tuple[OnnxFile, dict[str, Array]]:
    """Gemm-Relu-Gemm on [4, 12]."""
    rng = np.random.default_rng(2)
    x = writer.start("x", (4, 12), style.activation(-4))
    bias = style.bias(rng, 10)
    hidden = writer.gemm(x, style.weights(rng, (10, 12)), bias, style.activation(-2), True)
    y = writer.gemm(hidden, style.weights(rng, (5, 10)), bias[:5], style.activation(-1))
    return writer.finish(y), {"x": rng.normal(0, 3, (4, 12)).astype(np.float32)}


def depthwise_network(writer: Writer, style: Style) -> tuple[OnnxFile, dict[str, Array]]:
    """A depthwise convolution with stride 2 and dilation, then a pointwise one, on [1, 6, 9, 9]."""
    rng = np.random.default_rng(3)
    x = writer.start("x", (1, 6, 9, 9), style.activation(-4))
    bias = style.bias(rng, 6)
    window = {"group": 6, "strides": [2, 1], "dilations": [1, 2], "auto_pad": "NOTSET"}
    inner = writer.conv(
        x, style.weights(rng, (6, 1, 3, 3)), bias, style.activation(-3), True, **window
    )
    y = writer.conv(inner, style.weights(rng, (4, 6, 1, 1)), bias[:4], style.activation(-1))
    return writer.finish(y), {"x": rng.normal(0, 3, (1, 6, 9, 9)).astype(np.float32)}
