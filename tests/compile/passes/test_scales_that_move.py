"""Quantizers and dequantizers with scales along an axis pass what keeps that axis whole."""

from __future__ import annotations

import numpy as np
import pytest

from tests.compile.passes.sketch import UINT8, Codes, Sketch, check_same_results
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.passes.hoist_quantize import HoistQuantize
from zapdeploy.compile.passes.sink_dequantize import SinkDequantize

SCALES = np.array([0.5, 0.02, 3.0])
POOL = {"kernel_shape": (2, 2), "strides": (2, 2), "pads": (0, 0, 0, 0), "dilations": (1, 1)}


def along(axis: int) -> Codes:
    return Codes(UINT8, SCALES, [3, 128, 0], axis=axis)


def joined_then_quantized(axis: int) -> Graph:
    """Two inputs side by side along the second dimension, quantized behind."""
    s = Sketch()
    parts = s.input("a", (2, 3, 3)), s.input("b", (2, 3, 3))
    y = s.node("Concat", parts, "y", shape=(2, 6, 3), axis=1)
    return s.graph(s.node("Quantize", (y,), "yq", along(axis)))


def pooled(*, quantized_before: bool) -> Graph:
    """Scales along channels, before or behind a pooling."""
    s = Sketch()
    x = s.input("x", (1, 3, 4, 4))
    if quantized_before:
        x = s.node("Dequantize", (s.node("Quantize", (x,), "xq", along(1)),), "xr")
        return s.graph(s.node("MaxPool", (x,), "y", shape=(1, 3, 2, 2), ceil_mode=0, **POOL))
    y = s.node("MaxPool", (x,), "y", shape=(1, 3, 2, 2), ceil_mode=0, **POOL)
    return s.graph(s.node("Quantize", (y,), "yq", along(1)))


def test_a_quantizer_passes_a_concat_of_another_axis() -> None:
    graph = joined_then_quantized(2)
    found = HoistQuantize()(graph)
    assert [node.op for node in found.nodes] == ["Quantize", "Quantize", "Concat"]
    check_same_results(graph, found)


@pytest.mark.parametrize(
    ("graph", "step", "ops"),
    [
        (pooled(quantized_before=False), HoistQuantize(), ["Quantize", "MaxPool"]),
        (
            pooled(quantized_before=True),
            SinkDequantize(),
            ["Quantize", "Dequantize", "MaxPool", "Dequantize"],
        ),
    ],
)
def test_scales_of_channels_pass_a_pooling(
    graph: Graph, step: HoistQuantize | SinkDequantize, ops: list[str]
) -> None:
    found = step(graph)
    assert [node.op for node in found.nodes] == ops
    check_same_results(graph, found)


def test_scales_along_the_window_stay() -> None:
    s = Sketch()
    y = s.node("MaxPool", (s.input("x", (1, 2, 3, 3)),), "y", ceil_mode=0, **{
        **POOL, "kernel_shape": (3, 3), "strides": (1, 1), "pads": (1, 1, 1, 1)})  # fmt: skip
    graph = s.graph(s.node("Quantize", (y,), "yq", along(2)))
    assert HoistQuantize()(graph) is graph
