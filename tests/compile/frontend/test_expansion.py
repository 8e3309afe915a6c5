"""Operators that ONNX defines by others, in files that are quantized already."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.compile.frontend.dialects import Kind, Writer
from tests.compile.frontend.onnx_files import OnnxFile
from tests.compile.frontend.test_operators import compare
from zapdeploy.compile.frontend import import_model

BYTE = Kind(8, True, 2.0**-5)
SHAPE = (1, 2, 6, 8)


def test_rotary_embedding(tmp_path: Path) -> None:
    file = OnnxFile(opset=23)
    writer = Writer(file)
    angles = np.arange(6)[:, None] * 0.3 ** np.arange(4)
    tables = [file.constant(f(angles).astype(np.float32)[None]) for f in (np.cos, np.sin)]
    turned = file.node("RotaryEmbedding", [writer.start("x", SHAPE, BYTE).name, *tables])
    file.output(writer.activation(turned, BYTE).name)
    graph = compare(tmp_path, file, {"x": SHAPE})
    assert {"Mul", "Sub", "Add", "Concat"} <= {node.op for node in graph.nodes}


def test_attention_without_quantizers_inside(tmp_path: Path) -> None:
    """Its second product reads a softmax that no quantizer follows: real numbers, a small one."""
    file = OnnxFile(opset=23)
    writer = Writer(file)
    q, k, v = (writer.start(name, SHAPE, BYTE).name for name in "qkv")
    file.output(writer.activation(file.node("Attention", [q, k, v]), BYTE).name)
    graph = import_model(file.save(tmp_path / "model.onnx")).graph
    assert [node.op for node in graph.nodes if "MatMul" in node.op] == ["RealMatMul"] * 2
