"""Networks and targets built by hand, for tests that want to know every number in them.

Shapes are inferred by the operators themselves; scales and weights are of no interest here and are
all alike, but for the data that `small_cnn` and `mlp` can be given.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from zapdeploy.compile import ops  # noqa: F401  (registers the operators)
from zapdeploy.compile.graph import (
    INT32,
    Attribute,
    Call,
    ElementType,
    Graph,
    Node,
    Quantization,
    Shape,
    Value,
    verify,
)
from zapdeploy.compile.layers import Layer, group_layers
from zapdeploy.compile.ops.base import operator
from zapdeploy.compile.program.build import build_program
from zapdeploy.compile.program.layer import lower
from zapdeploy.compile.program.program import Options, Origin, Program
from zapdeploy.hardware_targets import Target, load_target, target_text
from zapdeploy.sim.memory_verifier import certify

ORIGIN = Origin("hand.onnx", "0" * 64)


def signed(bits: int) -> ElementType:
    return ElementType("int", bits)


def unsigned(bits: int) -> ElementType:
    return ElementType("uint", bits)


class NetworkBuilder:
    """Adds nodes in order; each method returns the name of the value that it makes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.values: dict[str, Value] = {}
        self.nodes: list[Node] = []
        self.inputs: list[str] = []

    def input(self, name: str, shape: Shape, bits: int = 8, zero_point: int = 0) -> str:
        self.inputs.append(name)
        return self._put(
            Value(name, shape, unsigned(bits), _per_tensor(unsigned(bits), zero_point))
        )

    def weights(self, name: str, shape: Shape, bits: int, axis: int) -> str:
        """Signed weights with a scale per index along `axis`."""
        scale = np.full(shape[axis], 0.01, np.float32)
        low, high = signed(bits).limits
        quantization = Quantization(scale, np.zeros(len(scale), np.int32), low, high, axis)
        data = np.broadcast_to(np.int8(1), shape)
        return self._put(Value(name, shape, signed(bits), quantization, data))

    def bias(self, name: str, channels: int) -> str:
        return self._put(Value(name, (channels,), INT32, None, np.zeros(channels, np.int32)))

    def node(
        self,
        op: str,
        inputs: tuple[str, ...],
        bits: int = 4,
        *,
        name: str = "",
        zero_point: int = 0,
        shape: Shape = (),
        **attributes: Attribute,
    ) -> str:
        """Any operator with a quantized output; `shape` for those that read it off the output."""
        name = name or f"{op.lower()}{len(self.nodes)}"
        node = Node(name, op, inputs, (f"{name}_out",), attributes)
        element = unsigned(bits)
        out = Value(f"{name}_out", shape, element, _per_tensor(element, zero_point))
        call = Call(node, tuple(self.values[n] if n else None for n in inputs), (out,))
        self.nodes.append(node)
        return self._put(replace(out, shape=operator(op).infer(call)[0]))

    def conv(
        self,
        x: str,
        channels: int,
        kernel: int,
        stride: int = 1,
        *,
        name: str = "",
        bits: int = 4,
        weight_bits: int = 4,
        groups: int = 1,
        pad: int | None = None,
    ) -> str:
        """A square convolution with bias that keeps the size at stride 1."""
        name = name or f"conv{len(self.nodes)}"
        pad = kernel // 2 if pad is None else pad
        shape = (channels, self.values[x].shape[1] // groups, kernel, kernel)
        inputs = (
            x,
            self.weights(f"{name}_w", shape, weight_bits, 0),
            self.bias(f"{name}_b", channels),
        )
        return self.node(
            "Conv",
            inputs,
            bits,
            name=name,
            strides=(stride, stride),
            dilations=(1, 1),
            pads=(pad, pad, pad, pad),
            group=groups,
        )

    def dense(
        self, x: str, channels: int, *, name: str = "", bits: int = 8, weight_bits: int = 8
    ) -> str:
        """A matrix product of the last dimension, with bias."""
        name = name or f"dense{len(self.nodes)}"
        shape = (self.values[x].shape[-1], channels)
        inputs = (
            x,
            self.weights(f"{name}_w", shape, weight_bits, 1),
            self.bias(f"{name}_b", channels),
        )
        return self.node("MatMul", inputs, bits, name=name)

    def max_pool(self, x: str, kernel: int, stride: int, pad: int, *, bits: int = 4) -> str:
        return self.node(
            "MaxPool",
            (x,),
            bits,
            name="maxpool",
            kernel_shape=(kernel, kernel),
            strides=(stride, stride),
            pads=(pad, pad, pad, pad),
            dilations=(1, 1),
            ceil_mode=0,
        )

    def flatten(self, x: str, *, bits: int = 8) -> str:
        shape = self.values[x].shape
        return self.node("Reshape", (x,), bits, shape=(shape[0], int(np.prod(shape[1:]))))

    def graph(self, *outputs: str) -> Graph:
        built = Graph(self.name, tuple(self.nodes), self.values, tuple(self.inputs), outputs)
        verify(built)
        return built

    def _put(self, value: Value) -> str:
        assert value.name not in self.values, value.name
        self.values[value.name] = value
        return value.name


def _per_tensor(element: ElementType, zero_point: int) -> Quantization:
    return Quantization(np.array([0.1]), np.array([zero_point]), *element.limits)


def small_cnn(batch: int = 2, bits: int = 4, size: int = 8, channels: int = 16) -> Graph:
    """A stem, a residual block with a projection, a plain residual block, a classifier."""
    net = NetworkBuilder("small_cnn")
    x = net.conv(net.input("image", (batch, 3, size, size)), channels, 3, name="stem", bits=bits)
    a = net.conv(x, channels, 3, 2, name="block0a", bits=bits)
    b = net.conv(a, 2 * channels, 1, name="block0b", bits=bits)
    skip = net.conv(x, 2 * channels, 1, 2, name="block0skip", bits=bits)
    x = net.node("Add", (b, skip), bits, name="block0add")
    a = net.conv(x, 2 * channels, 3, name="block1a", bits=bits)
    x = net.node("Add", (a, x), bits, name="block1add")
    x = net.node("GlobalAveragePool", (x,), 8, name="pool")
    return net.graph(net.dense(net.flatten(x), 10, name="classifier"))


def mlp(batch: int = 1, widths: tuple[int, ...] = (64, 96, 32), bits: int = 8) -> Graph:
    """Dense layers from widths[0] on."""
    net = NetworkBuilder("mlp")
    x = net.input("in", (batch, widths[0]), bits)
    for i, width in enumerate(widths[1:]):
        x = net.dense(x, width, name=f"dense{i}", bits=bits, weight_bits=bits)
    return net.graph(x)


def one_conv(
    x: Shape,
    channels: int,
    kernel: int,
    stride: int = 1,
    *,
    input_bits: int = 8,
    weight_bits: int = 8,
    bits: int = 8,
    groups: int = 1,
    pad: int | None = None,
) -> Layer:
    """The layer of a single convolution."""
    net = NetworkBuilder("one_conv")
    source = net.input("x", x, input_bits)
    made = net.conv(
        source,
        channels,
        kernel,
        stride,
        name="conv",
        bits=bits,
        weight_bits=weight_bits,
        groups=groups,
        pad=pad,
    )
    (layer,) = group_layers(net.graph(made))
    return layer


# Blocks, width inside the block, stride of the first block (He et al. 2015, table 1; v1.5 strides
# in the 3 x 3 convolution).
_RESNET50_STAGES = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))


@cache
def resnet50(batch: int = 32, bits: int = 4) -> Graph:
    """ResNet-50 v1.5 at 224 x 224; the first and the last layer at 8 bit, the others at `bits`."""
    net = NetworkBuilder("resnet50")
    x = net.input("image", (batch, 3, 224, 224))
    x = net.conv(x, 64, 7, 2, name="conv1", bits=bits, weight_bits=8)
    x = net.max_pool(x, 3, 2, 1, bits=bits)
    for stage, (blocks, width, stride) in enumerate(_RESNET50_STAGES):
        for block in range(blocks):
            x = _bottleneck(net, x, width, stride if block == 0 else 1, f"s{stage}b{block}", bits)
    x = net.node("GlobalAveragePool", (x,), 8, name="pool")
    return net.graph(net.dense(net.flatten(x), 1000, name="fc"))


def _bottleneck(net: NetworkBuilder, x: str, width: int, stride: int, name: str, bits: int) -> str:
    def conv(source: str, channels: int, kernel: int, stride: int, part: str) -> str:
        return net.conv(
            source, channels, kernel, stride, name=name + part, bits=bits, weight_bits=bits
        )

    inner = conv(conv(x, width, 1, 1, "c1"), width, 3, stride, "c2")
    out = conv(inner, 4 * width, 1, 1, "c3")
    if net.values[x].shape != net.values[out].shape:
        x = conv(x, 4 * width, 1, stride, "d")
    return net.node("Add", (out, x), bits, name=name + "add")


@cache
def northpole() -> Target:
    return load_target("northpole-sim")


def changed_target(figures: Mapping[str, str], name: str = "northpole-sim") -> Target:
    """A built-in target with other numbers: {"array.rows": "4"}; its totals are left out."""
    raw: dict[str, Any] = tomllib.loads(target_text(name)[1])
    raw.pop("totals")
    for key, text in figures.items():
        table: dict[str, Any] = raw
        for part in key.split("."):
            table = table[part]
        kept = {k: v for k, v in table.items() if k not in ("low", "high", "error", "kind", "why")}
        table.clear()
        table.update(kept, kind="assumed", why="a test wants it", error="50 %")
        table["is"] = text
    return Target.model_validate(raw)


@cache
def mesh(rows: int, columns: int) -> Target:
    """northpole-sim with fewer cores."""
    return changed_target({"array.rows": str(rows), "array.columns": str(columns)})


def compiled(
    graph: Graph,
    target: Target | None = None,
    *,
    batch: int = 1,
    objective: str = "throughput",
    target_name: str = "northpole-sim",
) -> Program:
    """The Program; without a target, that of the built-in file, whose text it carries.

    Whatever fits is proved to.
    """
    text = target_text(target_name)[1]
    options = Options(batch, 1, objective)
    program = build_program(graph, ORIGIN, target or load_target(target_name), text, options)
    if program.fits:
        certify(lower(program))
    return program


@cache
def resnet50_program() -> Program:
    return compiled(resnet50(32, 4), batch=32)


@cache
def small_cnn_program(target_name: str = "northpole-sim") -> Program:
    return compiled(small_cnn(2), batch=2, target_name=target_name)
