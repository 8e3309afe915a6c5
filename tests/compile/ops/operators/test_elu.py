"""Elu: joins the laws of all operators, and is read from ONNX."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compile.frontend.test_operators import Case, compare
from tests.compile.ops.build import UINT8, call, plain, quantized

_X = quantized("x", (2, 4, 5, 6), UINT8, 0.0217, 120)
CALLS = {
    "elu": call("Elu", [_X], quantized("y", (), UINT8, 0.0113, 90), alpha=0.7),
    "elu float": call("Elu", [plain("x", (3, 5))], plain("y", ()), alpha=1.0),
}


@pytest.mark.parametrize("attributes", [{}, {"alpha": 0.25}], ids=str)
def test_elu_of_a_file(tmp_path: Path, attributes: dict[str, float]) -> None:
    """Layer by layer what ONNX Runtime computes, ONNX's default alpha included."""
    file, shape = Case("Elu", (2, 5), **attributes).file()
    graph = compare(tmp_path, file, {"x": shape})
    assert [node.op for node in graph.nodes if node.op == "Elu"] == ["Elu"]
