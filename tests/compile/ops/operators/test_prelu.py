"""PRelu: joins the laws of all operators, and is read from ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.compile.frontend.test_operators import Case, compare
from tests.compile.ops.build import UINT8, call, constant, plain, quantized
from zapdeploy.compile.graph import Value
from zapdeploy.errors import ModelError


def _slopes(*shape: int) -> Value:
    values = np.random.default_rng(5).uniform(-0.5, 0.5, shape).astype(np.float32)
    return constant(plain("slope", shape), values)


_X = quantized("x", (2, 4, 5, 6), UINT8, 0.0217, 120)
CALLS = {
    "prelu": call("PRelu", [_X, _slopes(4, 1, 1)], quantized("y", (), UINT8, 0.0113, 90)),
    "prelu float": call("PRelu", [plain("x", (3, 5)), _slopes(5)], plain("y", ())),
    "prelu of one slope": call("PRelu", [plain("x", (3, 5)), _slopes(1)], plain("y", ())),
}


@pytest.mark.parametrize("shape", [(5,), (1,), (2, 1)], ids=str)
def test_prelu_of_a_file(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Layer by layer what ONNX Runtime computes."""
    slopes = np.random.default_rng(0).uniform(-0.5, 0.5, shape).astype(np.float32)
    file, of_x = Case("PRelu", (2, 5), slopes).file()
    graph = compare(tmp_path, file, {"x": of_x})
    assert [node.op for node in graph.nodes if node.op == "PRelu"] == ["PRelu"]


def test_slopes_must_broadcast_to_x() -> None:
    with pytest.raises(ModelError, match=r"slopes must broadcast to \[3, 5\], not to \[2, 3, 5\]"):
        call("PRelu", [plain("x", (3, 5)), _slopes(2, 1, 5)], plain("y", ()))
