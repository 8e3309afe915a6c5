"""Products of real numbers core by core: operands of different ranks, and sums in one order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.compile.frontend.onnx_files import OnnxFile, reference
from zapdeploy.api import compile_model
from zapdeploy.sim.check import reference_inputs
from zapdeploy.sim.core_array import agreement
from zapdeploy.sim.functional import run


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("a", "b"),
    [((5, 1, 6), (6, 16)), ((7, 6), (6, 9)), ((2, 3, 4, 6), (3, 6, 5)), ((2, 3, 4, 30), (30, 7))],
)
def test_cores_compute_the_graph(
    tmp_path: Path, a: tuple[int, ...], b: tuple[int, ...], bias: bool
) -> None:
    """To the bit, although a core's tile has another shape than the whole; ONNX Runtime's numbers
    but for the last bits."""
    random = np.random.default_rng(len(a))
    file = OnnxFile()
    x = file.node("Tanh", [file.input("x", a)])
    y = file.node("MatMul", [x, file.constant(random.normal(0, 1, b).astype(np.float32))])
    if bias:
        y = file.node("Add", [y, file.constant(random.normal(0, 1, b[-1]).astype(np.float32))])
    codes = [file.constant(np.float32(0.0625)), file.constant(np.int8(0))]
    y = file.node("DequantizeLinear", [file.node("QuantizeLinear", [y, *codes]), *codes])
    file.output(y)
    path = file.save(tmp_path / "model.onnx")
    pipeline = compile_model(path)
    graph = pipeline.graph
    assert "RealMatMul" in {node.op for node in graph.nodes}
    given = reference_inputs(graph)
    found = agreement(pipeline, given)
    assert found.passed, found
    expected = reference(path, given)[y]
    assert np.mean(run(graph, given)[y] != expected) < 0.01
