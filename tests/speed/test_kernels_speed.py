"""How fast the integer kernels are on ResNet-50, next to ONNX Runtime on the same machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import helper, numpy_helper
from pytest_benchmark.fixture import BenchmarkFixture

from tests.speed.beside_onnxruntime import compare, exact_sessions
from zapdeploy.compile import kernels
from zapdeploy.compile.kernels import Quantization, Requantization

Array = npt.NDArray[Any]

SCALE = np.float32(0.05)
STAGES = [(64, 3), (128, 4), (256, 6), (512, 3)]  # bottleneck width, blocks


@dataclass(frozen=True)
class Shape:
    """One convolution of ResNet-50; `size` is the height and width of its input."""

    inputs: int
    outputs: int
    kernel: int
    stride: int
    size: int

    @property
    def pads(self) -> list[int]:
        return [self.kernel // 2] * 4

    @property
    def macs(self) -> int:
        return self.inputs * self.outputs * self.kernel**2 * (self.size // self.stride) ** 2


class ResNet50:
    """ResNet-50 as integer operators, written as ONNX and as calls of the kernels.

    Random weights; scales that keep the activations spread over all 8 bits.
    """

    def __init__(self, backend: str | None = None) -> None:
        self._rng = np.random.default_rng(0)
        self._backend = backend
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.calls: list[tuple[str, Callable[[dict[str, Array]], Array]]] = []
        self.shapes: list[Shape] = []
        self.quantization = [self.constant(SCALE), self.constant(np.uint8(0))]
        self._write()

    def _write(self) -> None:
        last, width = self.conv("x", Shape(3, 64, 7, 2, 224)), 64
        last, size = self.max_pool(last), 56
        for stage, (middle, blocks) in enumerate(STAGES):
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                last = self.bottleneck(last, width, middle, stride, size, project=not block)
                width, size = 4 * middle, size // stride
        self.classify(last)

    def bottleneck(
        self, x: str, width: int, middle: int, stride: int, size: int, project: bool
    ) -> str:
        small = size // stride
        inner = self.conv(x, Shape(width, middle, 1, 1, size))
        inner = self.conv(inner, Shape(middle, middle, 3, stride, size))
        inner = self.conv(inner, Shape(middle, 4 * middle, 1, 1, small))
        skip = self.conv(x, Shape(width, 4 * middle, 1, stride, size)) if project else x
        how = Quantization(float(SCALE))
        inputs = [inner, *self.quantization, skip, *self.quantization, *self.quantization]
        return self.node(
            "QLinearAdd", inputs, lambda v: kernels.add(v[inner], v[skip], how, how, how)
        )

    def conv(self, x: str, shape: Shape) -> str:
        self.shapes.append(shape)
        w = self._rng.normal(0, 30, (shape.outputs, shape.inputs, shape.kernel, shape.kernel))
        weights = np.clip(w, -127, 127).astype(np.int8)
        bias = self._rng.integers(-500, 500, shape.outputs).astype(np.int32)
        w_scale = np.full(shape.outputs, 1 / (30 * np.sqrt(weights[0].size)), np.float32)
        layer = prepare(shape, weights, bias, SCALE * w_scale / SCALE, self._backend)
        w_parts = [weights, w_scale, np.zeros(shape.outputs, np.int8)]
        inputs = [x, *self.quantization, *map(self.constant, w_parts), *self.quantization]
        return self.node(
            "QLinearConv",
            [*inputs, self.constant(bias)],
            lambda v: layer(v[x]),
            strides=[shape.stride] * 2,
            pads=shape.pads,
        )

    def max_pool(self, x: str) -> str:
        attributes = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
        return self.node(
            "MaxPool",
            [x],
            lambda v: kernels.max_pool(v[x], (3, 3), dilations=(1, 1), **attributes),
            kernel_shape=[3, 3],
            **attributes,
        )

    def classify(self, x: str) -> None:
        how, w_scale = Quantization(float(SCALE)), np.float32(0.0005)
        pooled = self.node(
            "QLinearGlobalAveragePool",
            [x, *self.quantization, *self.quantization],
            lambda v: kernels.global_average_pool(v[x], how, how),
        )
        flat = self.node("Flatten", [pooled], lambda v: v[pooled].reshape(len(v[pooled]), -1))
        w = self._rng.integers(-127, 128, (2048, 1000)).astype(np.int8)
        requantization = Requantization(SCALE * w_scale / SCALE)
        layer = kernels.prepare_matmul(
            w, x_dtype=np.uint8, requantization=requantization, backend=self._backend
        )
        w_parts = [self.constant(w), self.constant(w_scale), self.constant(np.int8(0))]
        inputs = [flat, *self.quantization, *w_parts, *self.quantization]
        self.node("QLinearMatMul", inputs, lambda v: layer(v[flat]))

    def constant(self, value: npt.ArrayLike) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(
        self,
        operator: str,
        inputs: list[str],
        call: Callable[[dict[str, Array]], Array],
        **more: Any,
    ) -> str:
        own = operator in ("QLinearAdd", "QLinearGlobalAveragePool")
        out = f"value{len(self.nodes)}"
        domain = "com.microsoft" if own else ""
        self.nodes.append(helper.make_node(operator, inputs, [out], domain=domain, **more))
        self.calls.append((out, call))
        return out

    def run(self, x: Array) -> Array:
        values = {"x": x}
        for name, call in self.calls:
            values[name] = call(values)
        return values[self.calls[-1][0]]

    def model(self) -> bytes:
        """The network as an ONNX file."""
        image = helper.make_tensor_value_info("x", onnx.TensorProto.UINT8, [1, 3, 224, 224])
        out = helper.make_tensor_value_info(self.calls[-1][0], onnx.TensorProto.UINT8, [1, 1000])
        model = helper.make_model(
            helper.make_graph(self.nodes, "resnet50", [image], [out], self.constants),
            opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)],
            ir_version=9,
        )
        return bytes(model.SerializeToString())


def prepare(
    shape: Shape, weights: Array, bias: Array, multiplier: Array, backend: str | None
) -> kernels.Convolution:
    return kernels.prepare_conv(
        weights,
        x_dtype=np.uint8,
        bias=bias,
        strides=(shape.stride,) * 2,
        pads=shape.pads,
        requantization=Requantization(multiplier),
        backend=backend,
    )


# The same list as ResNet50().shapes without repetitions; a test below holds them together.
SHAPES = [
    Shape(3, 64, 7, 2, 224),
    Shape(64, 64, 1, 1, 56), Shape(64, 64, 3, 1, 56), Shape(64, 256, 1, 1, 56),
    Shape(256, 64, 1, 1, 56), Shape(256, 128, 1, 1, 56), Shape(128, 128, 3, 2, 56),
    Shape(128, 512, 1, 1, 28), Shape(256, 512, 1, 2, 56), Shape(512, 128, 1, 1, 28),
    Shape(128, 128, 3, 1, 28), Shape(512, 256, 1, 1, 28), Shape(256, 256, 3, 2, 28),
    Shape(256, 1024, 1, 1, 14), Shape(512, 1024, 1, 2, 28), Shape(1024, 256, 1, 1, 14),
    Shape(256, 256, 3, 1, 14), Shape(1024, 512, 1, 1, 14), Shape(512, 512, 3, 2, 14),
    Shape(512, 2048, 1, 1, 7), Shape(1024, 2048, 1, 2, 14), Shape(2048, 512, 1, 1, 7),
    Shape(512, 512, 3, 1, 7),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_convolution(benchmark: BenchmarkFixture, shape: Shape) -> None:
    """One layer, again and again: its weights stay in the cache."""
    rng = np.random.default_rng(0)
    size = (shape.outputs, shape.inputs, shape.kernel, shape.kernel)
    weights = rng.integers(-127, 128, size).astype(np.int8)
    bias, multiplier = np.zeros(shape.outputs, np.int32), np.full(shape.outputs, 1e-4)
    layer = prepare(shape, weights, bias, multiplier, None)
    image = rng.integers(0, 256, (1, shape.inputs, shape.size, shape.size)).astype(np.uint8)
    x = kernels.channels_last(image)
    layer(x)
    benchmark.extra_info["macs"] = shape.macs
    out = benchmark.pedantic(layer, args=(x,), rounds=30, warmup_rounds=3)
    assert out.shape == (1, shape.outputs, *[shape.size // shape.stride] * 2)


@pytest.mark.slow
@pytest.mark.parametrize("backend", kernels.available_backends())
def test_resnet50(benchmark: BenchmarkFixture, backend: str) -> None:
    """A frame equals ONNX Runtime's in every bit; both times are printed, not judged."""
    network = ResNet50(backend)
    assert list(dict.fromkeys(network.shapes)) == SHAPES
    inputs = {"x": np.random.default_rng(1).integers(0, 256, (1, 3, 224, 224)).astype(np.uint8)}
    out = benchmark.pedantic(network.run, args=(inputs["x"],), rounds=10, warmup_rounds=2)
    assert len(np.unique(out)) > 50  # the comparison means something
    model = network.model()
    assert exact_sessions(model, inputs, [out])
    if not benchmark.disabled:
        print(f"\n{backend}: {compare(lambda: [network.run(inputs['x'])], model, inputs)}")
