"""A random ONNX file under construction, and what each of its tensors is in exact arithmetic.

Every node is evaluated when it is added: by ONNX's reference implementation in float64, its
quantizers by the formula. A step that ONNX does not allow is taken back. What float32 makes of the
same node says how far an implementation may stray.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, log2
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from tests.compile.frontend.dialects import MICROSOFT, QONNX, Kind
from tests.compile.frontend.onnx_files import Array, OnnxFile
from tests.fuzz.pooling import pool

DIALECTS = ("QDQ", "QCDQ", "QONNX", "operator form")
MOST_ELEMENTS = 1500
_LARGEST = 2.0**100  # magnitudes: beyond, float32 overflows in some sum or square
# What a quantizer reads may miss the exact number by so much of a step.
_SLACK_STEPS = 1e-3


class NotDrawnError(Exception):
    """This step does not fit what is there."""


@dataclass(frozen=True, eq=False)
class Real:
    """A float tensor of the file and what it holds; `codes` where it is dequantized from some."""

    name: str
    array: Array
    stray: float = 0.0  # how far float32 may be from `array`
    kind: Kind | None = None
    codes: str = ""
    axis: int = 0  # of a kind with a scale per index
    origin: tuple[str, tuple[Any, ...], dict[str, Any]] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(size) for size in self.array.shape)


@dataclass(frozen=True, eq=False)
class Expected:
    """A tensor in exact arithmetic: real numbers, or codes before they are rounded (`kind`).

    `codes`: these, rounded; `real`: what they stand for, which QONNX has under the same name.
    """

    exact: Array
    slack: float
    kind: Kind | None = None
    codes: Array | None = None
    real: Array | None = None


Operand = Real | Array | None


@dataclass
class Drawing:
    """`powers`: all scales are powers of two, and float32 hardly rounds."""

    chance: random.Random
    rng: np.random.Generator
    dialect: str
    powers: bool
    bits: tuple[int, ...]
    signed: bool | None  # of all activations; None: drawn for each
    file: OnnxFile
    tensors: list[Real] = field(default_factory=list)
    expected: dict[str, Expected] = field(default_factory=dict)
    inputs: dict[str, Array] = field(default_factory=dict)
    exactly: bool = True  # False: an operator jumps where float32 may round across

    def choose(self, *options: Any) -> Any:
        return self.chance.choice(options)

    def rarely(self, share: float = 0.15) -> bool:
        return self.chance.random() < share

    def operand(self, *ranks: int, quantized: bool | None = None) -> Real:
        """A tensor of one of the ranks, most often one that is quantized."""
        fitting = [t for t in self.tensors if not ranks or len(t.shape) in ranks]
        if quantized or (quantized is None and not self.rarely()):
            fitting = [t for t in fitting if t.kind is not None] or fitting
        if not fitting:
            raise NotDrawnError
        return self.choose(*fitting)

    def call(self, op: str, inputs: Sequence[Operand], **attributes: Any) -> Real:
        """Add a node; NotDrawnError where ONNX does not allow it or the numbers leave float32."""
        arrays = [x.array if isinstance(x, Real) else x for x in inputs]
        exact = evaluate(*_as_evaluated(op, arrays), self.file.opset, np.float64, attributes)
        if not 0 < exact.size <= MOST_ELEMENTS:
            raise NotDrawnError
        stray = 0.0
        if exact.dtype == np.float64:
            single = evaluate(*_as_evaluated(op, arrays), self.file.opset, np.float32, attributes)
            largest = np.abs(exact).max()
            if not (np.isfinite(single).all() and largest < _LARGEST):
                raise NotDrawnError
            other = evaluate(
                *_as_evaluated(op, list(map(self._beside, arrays))),
                self.file.opset,
                np.float64,
                attributes,
            )
            stray = 8 * float(max(np.abs(single - exact).max(), np.abs(other - exact).max()))
            stray += 2e-7 * float(largest)
            stray += _inherited(op, inputs, exact)
        name = self.file.node(op, [self._name(x) for x in inputs], **attributes)
        self.expected[name] = Expected(exact, stray)
        return Real(name, exact, stray, origin=(op, tuple(inputs), attributes))

    def _beside(self, array: Array | None) -> Array | None:
        """Numbers that float32 hardly tells from these."""
        if array is None or array.dtype.kind != "f":
            return array
        return array * (1 + 6e-8 * np.sign(self.rng.normal(size=array.shape)))

    def _name(self, operand: Operand) -> str:
        if operand is None:
            return ""
        if isinstance(operand, Real):
            return operand.name
        narrow = operand.astype(np.float32) if operand.dtype == np.float64 else operand
        return self.file.constant(narrow)

    # Quantizers

    def scale_for(self, spread: float, bits: int) -> float:
        """Most of the range is used; now and then far too much of it, or hardly any."""
        scale = max(spread, 2.0**-60) / (1 << (bits - 1))
        scale *= self.choose(1, 1, 1, 1, 0.25, 0.01, 16, 1000)
        if self.powers:
            return float(2.0 ** ceil(log2(scale)))
        return float(np.float32(scale * self.chance.uniform(0.7, 1.4)))

    def kind_for(self, real: Real) -> tuple[Kind, int]:
        bits = self.choose(*self.bits)
        signed = self.choose(True, False) if self.signed is None else self.signed
        spread = float(np.abs(real.array).max())
        middle = 0 if signed else 1 << (bits - 1)
        low, high = Kind(bits, signed, 1.0).limits
        drawn = self.choose(middle, middle, 0, low, high, self.chance.randint(low, high))
        axis = self.chance.randrange(len(real.shape)) if real.shape else 0
        if self.dialect == "QDQ" and real.shape and self.rarely(0.1):
            scales = [self.scale_for(spread, bits) for _ in range(real.shape[axis])]
            return Kind(bits, signed, np.array(scales), drawn), axis
        return Kind(bits, signed, self.scale_for(spread, bits), drawn), axis

    def quantize(self, real: Real, given: Kind | None = None) -> Real:
        """The tensor behind a quantizer and a dequantizer of this file's dialect."""
        kind, axis = (given, 0) if given is not None else self.kind_for(real)
        if np.min(np.float32(kind.scale)) < 2.0**-126 or np.max(kind.scale) > 2.0**100:
            raise NotDrawnError
        scale = along(kind.scale, real.array.ndim, axis)
        exact = real.array / scale + kind.zero
        low, high = kind.limits
        codes = np.clip(np.rint(real.array / scale) + kind.zero, low, high)
        slack = float(np.max(real.stray / np.asarray(kind.scale, np.float64))) + _SLACK_STEPS
        slack += self._by_zero_points(real, kind)
        slack += 4e-7 * float(np.minimum(np.abs(exact), 2 * high + 1).max())
        exact = np.clip(exact, low - 1, high + 1)
        name, made = self._write(real, kind, axis)
        array = (codes - kind.zero) * scale
        for written in (name, made, f"{name}_codes"):  # the last: as QONNX files are read
            self.expected[written] = Expected(exact, slack, kind, codes, array)
        if self.dialect == "QONNX":
            return Real(name, array, 0.0, kind, name, axis)
        out = self._dequantize(made, kind, axis)
        self.expected[out] = Expected(array, 2e-7 * float(np.abs(array).max()))
        return Real(out, array, 0.0, kind, made, axis)

    def _by_zero_points(self, real: Real, kind: Kind) -> float:
        """Integer kernels add up products with zero points in float32: what these lose, in
        steps."""
        op, operands, _ = real.origin or ("", (), {})
        if op not in ("Add", "Mul") or kind.bits != 8:
            return 0.0
        kinds = [x.kind for x in operands if isinstance(x, Real) and x.kind is not None]
        if op == "Add" and max(float(np.max(k.scale)) for k in kinds) > 2**12 * np.min(kind.scale):
            return 0.0  # of such steps none is taken
        largest = sum(float(np.max(k.scale)) * 256 for k in kinds)
        lost = 4e-7 * largest / float(np.min(kind.scale))
        if lost > 1:
            raise NotDrawnError  # whatever comes out is chance
        return lost

    def _write(self, real: Real, kind: Kind, axis: int) -> tuple[str, str]:
        """The names of the quantizer's result, and of it behind a Clip."""
        if self.dialect == "QONNX":
            name = self._quant(real.name, kind, real.array.ndim, axis)
            return name, name
        integer = self._integer_node(real, kind) if self.dialect == "operator form" else ""
        wide = self.dialect == "QCDQ"
        attributes = {"axis": axis} if np.ndim(kind.scale) else {}
        name = integer or self.file.node(
            "QuantizeLinear", [real.name, *self.parameters(kind, wide)], **attributes
        )
        return name, self._clip(name, kind) if wide else name

    def _clip(self, codes: str, kind: Kind) -> str:
        if kind.bits in (8, 16):
            return codes
        bounds = [self.file.constant(np.asarray(v, kind.storage)) for v in kind.limits]
        return self.file.node("Clip", [codes, *bounds])

    def parameters(self, kind: Kind, wide: bool = False) -> list[str]:
        scale = self.file.constant(np.asarray(kind.scale, np.float32))
        storage = np.dtype(f"{'int' if kind.signed else 'uint'}{max(kind.bits, 8)}")
        zero = np.full(np.shape(kind.scale), kind.zero, storage)
        return [scale, self.file.constant(zero, element="" if wide else kind.element)]

    def _dequantize(self, codes: str, kind: Kind, axis: int) -> str:
        inputs = [codes, *self.parameters(kind, self.dialect == "QCDQ")]
        attributes = {"axis": axis} if np.ndim(kind.scale) else {}
        return self.file.node("DequantizeLinear", inputs, **attributes)

    def _quant(self, real: str, kind: Kind, rank: int, axis: int) -> str:
        scale = along(kind.scale, rank, axis).astype(np.float32)
        inputs = [real, *map(self.file.constant, (scale, np.float32(kind.zero)))]
        inputs.append(self.file.constant(np.float32(kind.bits)))
        attributes = {"signed": int(kind.signed), "narrow": 0, "rounding_mode": "ROUND"}
        return self.file.node("Quant", inputs, domain=QONNX, **attributes)

    def _integer_node(self, real: Real, kind: Kind) -> str:
        """The last node as an integer operator that writes these codes; empty: there is none."""
        if real.origin is None or self.file.nodes[-1].output[0] != real.name:
            return ""
        op, operands, attributes = real.origin
        quantized = [x for x in operands if isinstance(x, Real)]
        if len(quantized) < len(operands) or any(
            x.kind is None or x.kind.bits not in (8, 32) or np.ndim(x.kind.zero) for x in quantized
        ):
            return ""
        if op == "Conv" and len(quantized) == 3 and not _is_product(*quantized):
            return ""
        several = any(np.ndim(x.kind.scale) for x in quantized)
        if np.ndim(kind.scale) or (several and op not in _BOTH):
            return ""
        pairs = [[x.codes, *self.parameters(x.kind)] for x in quantized]
        return _integer(self, op, pairs, kind, attributes)

    def weights(self, shape: tuple[int, ...], axis: int) -> Real:
        """Constant codes behind a dequantizer, with one scale or one along `axis`."""
        bits, several = self.choose(*(b for b in self.bits if b <= 8)), self.rarely(0.5)
        signed = not self.rarely(0.15) or self.signed is True
        exponents = self.rng.uniform(-bits - 1, -bits + 2, shape[axis] if several else 1)
        exponents += self.choose(0, 0, 0, 0, -20, 20)
        scales = 2.0 ** (np.round(exponents) if self.powers else exponents)
        scale = np.float32(scales).astype(np.float64) if several else float(np.float32(scales[0]))
        middle = 0 if signed else 1 << (bits - 1)
        zero = middle if not self.rarely(0.1) or several else middle + 1
        kind = Kind(bits, signed, scale, zero)
        low, high = kind.limits
        data = self.rng.integers(low, high + 1, shape)
        if self.rarely(0.1):
            data[...] = self.choose(low, high, zero)
        array = (data - zero) * along(scale, len(shape), axis)
        if self.dialect == "QONNX":
            real = self.file.constant(array.astype(np.float32))
            return Real(self._quant(real, kind, len(shape), axis), array, 0.0, kind, "", axis)
        wide = self.dialect == "QCDQ"
        storage = np.int8 if signed else np.uint8
        codes = self.file.constant(data.astype(storage), element="" if wide else kind.element)
        clipped = self._clip(codes, kind) if wide and self.rarely(0.7) else codes
        return Real(self._dequantize(clipped, kind, axis), array, 0.0, kind, codes, axis)

    def bias(self, x: Real, weights: Real, count: int) -> Real | Array | None:
        """None, real numbers, or int32 in units of the product or of its own."""
        form = self.choose("none", "real", "product", "product", "own")
        spread = float(np.abs(x.array).max() * np.abs(weights.array).max()) or 1.0
        if form == "none":
            return None
        if form == "real" or x.kind is None or weights.kind is None or self.dialect == "QONNX":
            return np.float32(self.rng.normal(0, spread, count)).astype(np.float64)
        if form == "own" or np.ndim(x.kind.scale):
            scale: Any = float(np.float32(spread / 2 ** self.chance.randint(6, 20)))
        else:
            scale = np.float32(x.kind.scale) * np.asarray(weights.kind.scale, np.float32)
        unit = np.float32(scale)
        if not (np.min(unit) >= 2.0**-126 and np.max(unit) < 2.0**90):
            raise NotDrawnError
        codes = np.rint(self.rng.normal(0, 1, count) * np.minimum(spread / unit, 2.0**20))
        names = [
            self.file.constant(codes.astype(np.int32)),
            self.file.constant(unit),
            self.file.constant(np.zeros(unit.shape, np.int32)),
        ]
        name = self.file.node("DequantizeLinear", names, axis=0)
        kind = Kind(32, True, np.asarray(unit, np.float64))
        return Real(name, codes * unit.astype(np.float64), 0.0, kind, names[0])


_BOTH = ("Conv", "MatMul")  # weights of integer operators may have a scale per channel
_QLINEAR = {
    "Add": "QLinearAdd",
    "Mul": "QLinearMul",
    "Sigmoid": "QLinearSigmoid",
    "LeakyRelu": "QLinearLeakyRelu",
    "GlobalAveragePool": "QLinearGlobalAveragePool",
    "AveragePool": "QLinearAveragePool",
}


def _integer(
    d: Drawing, op: str, pairs: list[list[str]], kind: Kind, attributes: dict[str, Any]
) -> str:
    """The integer operator in place of the file's last node."""
    if op == "Concat":
        inputs = [*d.parameters(kind), *(name for pair in pairs for name in pair)]
        made = ("QLinearConcat", inputs, {"domain": MICROSOFT, **attributes})
    elif op in _QLINEAR:
        inputs = [name for pair in pairs for name in pair]
        more = {"channels_last": 0} if "Pool" in op else {}
        inputs += d.parameters(kind)
        made = (_QLINEAR[op], inputs, {"domain": MICROSOFT, **more, **attributes})
    elif op == "MatMul":
        made = ("QLinearMatMul", [*pairs[0], *pairs[1], *d.parameters(kind)], attributes)
    elif op == "Conv":
        bias = [pairs[2][0]] if len(pairs) > 2 else []
        made = ("QLinearConv", [*pairs[0], *pairs[1], *d.parameters(kind), *bias], attributes)
    else:
        return ""
    d.file.nodes.pop()
    return d.file.node(made[0], made[1], **made[2])


def _is_product(x: Real, weights: Real, bias: Real) -> bool:
    """Whether the bias is in units of the product, as QLinearConv takes it."""
    assert x.kind is not None
    assert weights.kind is not None
    assert bias.kind is not None
    unit = np.float32(x.kind.scale) * np.asarray(weights.kind.scale, np.float32)
    return np.array_equal(unit, np.asarray(bias.kind.scale, np.float32))


def along(scale: Any, rank: int, axis: int) -> Array:
    """A scale, or one per index along an axis, shaped to broadcast."""
    array = np.float32(scale).astype(np.float64)
    if array.ndim == 0:
        return array
    return array.reshape(tuple(-1 if d == axis else 1 for d in range(rank)))


def _inherited(op: str, inputs: Sequence[Operand], exact: Array) -> float:
    """What the inputs' own straying may come to: of one operator after another in float32."""
    strays = [x.stray for x in inputs if isinstance(x, Real)]
    if not any(strays):
        return 0.0
    spreads = [float(np.abs(x.array).max()) or 1.0 for x in inputs if isinstance(x, Real)]
    relative = max(s / m for s, m in zip(strays, spreads, strict=True))
    return 2 * relative * float(np.abs(exact).max()) + max(strays)


def _as_evaluated(op: str, arrays: Sequence[Array | None]) -> tuple[str, list[Array | None]]:
    """ONNX's reference implementation of GlobalMaxPool is right for images alone."""
    x = arrays[0]
    if op == "GlobalMaxPool" and x is not None:
        return "ReduceMax", [x, np.arange(2, x.ndim)]
    return op, list(arrays)


def evaluate(
    op: str, arrays: Sequence[Array | None], opset: int, real: Any, attributes: dict[str, Any]
) -> Array:
    """One node by ONNX's reference implementation, its real numbers in this type."""
    if op in ("AveragePool", "MaxPool") and arrays[0] is not None:
        try:
            return pool(op, arrays[0].astype(real), attributes)
        except ValueError:  # a window that lies on nothing
            raise NotDrawnError from None
    names = [f"i{index}" if array is not None else "" for index, array in enumerate(arrays)]
    feeds = {
        name: array.astype(real) if array.dtype.kind == "f" else array
        for name, array in zip(names, arrays, strict=True)
        if array is not None
    }
    plain = {k: v for k, v in attributes.items() if k not in ("outputs", "name")}
    outputs = [f"o{i}" for i in range(len(attributes.get("outputs", ("",))))]
    node = helper.make_node(op, names, outputs, **plain)
    graph = helper.make_graph(
        [node],
        "one",
        [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for n, a in feeds.items()
        ],
        [onnx.ValueInfoProto(name=name) for name in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return np.asarray(ReferenceEvaluator(model).run(None, feeds)[0])
        except Exception:
            raise NotDrawnError from None
