"""Small float networks to quantize, written node by node, with seeded random weights."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from zapdeploy.onnxruntime_sessions import Purpose, open_session

Floats = NDArray[np.float32]


def save(
    path: Path,
    nodes: list[NodeProto],
    weights: dict[str, Floats],
    shapes: tuple[list[int | str], list[int | str]],
    opset: int = 17,
) -> Path:
    """Write a network from "input" to "output" with these input and output shapes."""
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shapes[0])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shapes[1])],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def node(operator: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    """A node named after its operator and output; inputs are separated by spaces."""
    name = f"{operator}_{output}"
    return helper.make_node(operator, inputs.split(), [output], name, **attributes)


def random_weights(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, Floats]:
    """Normal weights, scaled so that activations keep their size from layer to layer."""
    random = np.random.default_rng(seed)
    weights = {}
    for name, shape in shapes.items():
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 16
        weights[name] = (random.standard_normal(shape) * (2 / fan_in) ** 0.5).astype(np.float32)
    return weights


def residual_cnn(path: Path, batch: int | str = 1, seed: int = 0) -> Path:
    """Every operator of ResNet-50 in nine nodes: float [batch, 3, 8, 8] -> [batch, 5]."""
    nodes = [
        node("Conv", "input w1 b1", "c1", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", "c1", "r1"),
        node("MaxPool", "r1", "p1", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", "p1 w2 b2", "c2", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", "c2", "r2"),
        node("Conv", "r2 w3 b3", "c3", kernel_shape=[1, 1]),
        node("Add", "p1 c3", "a1"),
        node("Relu", "a1", "r3"),
        node("GlobalAveragePool", "r3", "g1"),
        node("Flatten", "g1", "f1"),
        node("Gemm", "f1 w4 b4", "output", transB=1),
    ]
    shapes = {
        "w1": (8, 3, 3, 3), "b1": (8,), "w2": (8, 8, 3, 3), "b2": (8,),
        "w3": (8, 8, 1, 1), "b3": (8,), "w4": (5, 8), "b4": (5,),
    }  # fmt: skip
    return save(path, nodes, random_weights(shapes, seed), ([batch, 3, 8, 8], [batch, 5]))


def perceptron(path: Path) -> Path:
    """Two Gemm with untransposed weights and factors: float [2, 6] -> [2, 3]."""
    nodes = [
        node("Gemm", "input w1 b1", "g1", alpha=0.5, beta=2.0),
        node("Relu", "g1", "r1"),
        node("Gemm", "r1 w2 b2", "output"),
    ]
    weights = random_weights({"w1": (6, 16), "b1": (16,), "w2": (16, 3), "b2": (3,)})
    return save(path, nodes, weights, ([2, 6], [2, 3]))


def images(count: int, seed: int = 0) -> dict[str, Floats]:
    """Inputs of `residual_cnn`: smooth enough to resemble something."""
    random = np.random.default_rng(seed)
    noise = random.standard_normal((count, 3, 8, 8))
    return {"input": (noise + noise.mean(axis=(2, 3), keepdims=True) * 3).astype(np.float32)}


def session(path: Path, *, optimized: Path | None = None) -> onnxruntime.InferenceSession:
    """The file in ONNX Runtime as it stands, or with the default optimizations, saved."""
    purpose = Purpose.PLAIN if optimized is None else Purpose.INTEGER
    return open_session(path, purpose, optimized=optimized)


def run(path: Path, inputs: Floats, *, optimized: Path | None = None) -> Floats:
    """Outputs [count, ...] of a network with a static batch, batch after batch."""
    running = session(path, optimized=optimized)
    shape = running.get_inputs()[0].shape
    batch = shape[0] if isinstance(shape[0], int) else len(inputs)
    outputs = [
        running.run(None, {"input": inputs[start : start + batch]})[0]
        for start in range(0, len(inputs), batch)
    ]
    return np.concatenate(outputs)


def operators(path: Path) -> Counter[str]:
    """How often each operator occurs in a file."""
    return Counter(entry.op_type for entry in onnx.load(path).graph.node)


def signal_to_noise_db(reference: Floats, values: Floats) -> float:
    """Power of the reference over power of the difference, in decibel."""
    noise = float(np.mean((reference - values) ** 2, dtype=np.float64))
    return float(10 * np.log10(np.mean(reference**2, dtype=np.float64) / max(noise, 1e-30)))
