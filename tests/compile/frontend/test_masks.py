"""Comparisons, logic and choice as a file has them: what ONNX Runtime computes, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.compile.frontend.dialects import Kind, Writer
from tests.compile.frontend.onnx_files import OnnxFile
from tests.compile.frontend.test_operators import compare
from zapdeploy.compile.frontend import UnsupportedModel, import_model

BYTE = Kind(8, True, 2.0**-5, 2)
POSITIONS = np.arange(5, dtype=np.float32) / 4


@pytest.mark.parametrize("op", ["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"])
def test_choice_by_comparison(tmp_path: Path, op: str) -> None:
    file = OnnxFile()
    writer = Writer(file)
    x, y = (writer.start(name, (2, 5), BYTE).name for name in "xy")
    mask = file.node(op, [x, file.constant(POSITIONS)])
    file.output(writer.activation(file.node("Where", [mask, x, y]), BYTE).name)
    graph = compare(tmp_path, file, {"x": (2, 5), "y": (2, 5)}, steps=0)
    choice = next(node for node in graph.nodes if node.op == "Where")
    assert all(graph.values[name].element.name == "int8" for name in choice.inputs[1:])


def test_logic_of_masks(tmp_path: Path) -> None:
    file = OnnxFile()
    x = Writer(file).start("x", (4, 5), BYTE).name
    bounds = [file.constant(np.float32(v)) for v in (-0.5, 0.5)]
    low, high = file.node("Less", [x, bounds[0]]), file.node("Greater", [x, bounds[1]])
    outside, both = file.node("Or", [low, high]), file.node("And", [low, high])
    mask = file.node("Xor", [file.node("Not", [outside]), both])
    file.output(file.node("Where", [mask, x, bounds[0]]))
    compare(tmp_path, file, {"x": (4, 5)}, steps=0)


def _where_of_types(file: OnnxFile, x: str) -> None:
    mask = file.node("Less", [x, file.constant(np.float32(0))])
    whole = file.constant(np.ones(5, np.int64))
    file.output(file.node("Where", [mask, x, whole]))


def _condition_of_numbers(file: OnnxFile, x: str) -> None:
    file.output(file.node("Where", [x, x, x]))


def _codes(file: OnnxFile, x: str) -> None:
    parameters = [file.constant(np.float32(0.5)), file.constant(np.int8(0))]
    codes = file.node("QuantizeLinear", [x, *parameters], "q")
    file.output(file.node("Equal", [codes, codes]))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (_where_of_types, "operands must have one element type, not float32 and int64"),
        (_condition_of_numbers, "must be bool, not float32"),
        (_codes, "input 'q' must be real numbers, not int8 codes; put a DequantizeLinear"),
    ],
)
def test_refusals(tmp_path: Path, build: Callable[[OnnxFile, str], None], message: str) -> None:
    file = OnnxFile()
    x = Writer(file).start("x", (2, 5), BYTE).name
    build(file, x)
    with pytest.raises(UnsupportedModel) as caught:
        import_model(file.save(tmp_path / "model.onnx"))
    assert message in str(caught.value)
