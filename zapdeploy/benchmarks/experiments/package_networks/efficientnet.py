"""EfficientNet-Lite0 (Tan and Le, ICML 2019; without squeeze and excitation, with ReLU6) as ONNX.

Architecture by the paper's table of stages; weights from a checkpoint with the names of the common
PyTorch port.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from zapdeploy.extras import load

SIZE = 224
EPSILON = 1e-3  # of batch normalization
# Blocks, kernel, stride of the first block, expansion.
STAGES = (
    (1, 3, 1, 1), (2, 3, 2, 6), (2, 5, 2, 6), (3, 3, 2, 6), (3, 5, 1, 6), (4, 5, 2, 6),
    (1, 3, 1, 6),
)  # fmt: skip

Weights = Mapping[str, NDArray[np.float32]]


def write_efficientnet(checkpoint: Path, output: Path) -> Path:
    """The network of a checkpoint as ONNX: float [1, 3, 224, 224] to logits [1, 1000]."""
    torch = load("torch", "models", "read a checkpoint")
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    graph = _Graph({name: value.numpy() for name, value in state.items()})
    graph.layer("_conv_stem", "_bn0", 3, 2, clipped=True)
    index = 0
    for count, kernel, stride, expansion in STAGES:
        for first in (True, *(False,) * (count - 1)):
            graph.block(f"_blocks.{index}", kernel, stride if first else 1, expansion)
            index += 1
    graph.layer("_conv_head", "_bn1", 1, 1, clipped=True)
    graph.head()
    onnx.save(graph.model(), output)
    return output


class _Graph:
    """Nodes one after the other; `at` is the tensor that the next one reads, `size` its height."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[NodeProto] = []
        self.constants = [
            numpy_helper.from_array(np.array(value, np.float32), name)
            for name, value in (("zero", 0), ("six", 6))
        ]
        self.at, self.size = "image", SIZE

    def block(self, name: str, kernel: int, stride: int, expansion: int) -> None:
        """Widen, convolve each channel alone, narrow; added to what came in where that fits."""
        before, size = self.at, self.size
        if expansion > 1:
            self.layer(f"{name}._expand_conv", f"{name}._bn0", 1, 1, clipped=True)
        self.layer(f"{name}._depthwise_conv", f"{name}._bn1", kernel, stride, clipped=True)
        self.layer(f"{name}._project_conv", f"{name}._bn2", 1, 1, clipped=False)
        channels = len(self.weights[f"{name}._bn2.bias"])
        inner = self.weights[f"{name}._depthwise_conv.weight"].shape[0] // expansion
        if size == self.size and channels == inner:
            self._node("Add", [self.at, before], f"{name}_sum")

    def layer(self, name: str, norm: str, kernel: int, stride: int, *, clipped: bool) -> None:
        """A convolution with its batch normalization folded in, padded as TensorFlow's SAME is."""
        w = {key: self.weights[f"{norm}.{key}"] for key in ("weight", "bias")}
        mean, variance = (self.weights[f"{norm}.running_{key}"] for key in ("mean", "var"))
        weight = self.weights[f"{name}.weight"]
        factor = w["weight"] / np.sqrt(variance + EPSILON)
        groups = weight.shape[0] if weight.shape[1] == 1 and kernel > 1 else 1
        self._constant(f"{name}.w", weight * factor[:, None, None, None])
        self._constant(f"{name}.b", w["bias"] - mean * factor)
        self.size = -(-self.size // stride)
        missing = kernel - stride if kernel > 1 else 0
        low, high = missing // 2, missing - missing // 2
        self._node(
            "Conv", [self.at, f"{name}.w", f"{name}.b"], name, group=groups,
            kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[low, low, high, high],
        )  # fmt: skip
        if clipped:
            self._node("Clip", [self.at, "zero", "six"], f"{name}_clipped")

    def head(self) -> None:
        """Mean over places, then classes."""
        self._node("GlobalAveragePool", [self.at], "mean")
        self._node("Flatten", [self.at], "features", axis=1)
        self._constant("classes.w", self.weights["_fc.weight"])
        self._constant("classes.b", self.weights["_fc.bias"])
        self._node("Gemm", [self.at, "classes.w", "classes.b"], "logits", transB=1)

    def model(self) -> onnx.ModelProto:
        """The whole."""
        values = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)
            for name, dims in (("image", [1, 3, SIZE, SIZE]), ("logits", [1, 1000]))
        ]
        graph = helper.make_graph(
            self.nodes, "efficientnet-lite0", values[:1], values[1:], self.constants
        )
        opsets = [helper.make_opsetid("", 17)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def _constant(self, name: str, value: NDArray[np.float32]) -> None:
        self.constants.append(numpy_helper.from_array(value.astype(np.float32), name))

    def _node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        self.at = output
