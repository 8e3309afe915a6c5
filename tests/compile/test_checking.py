from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.compile.frontend.dialects import Kind, QcdqWriter, Style, Writer, residual_network
from tests.compile.frontend.onnx_files import OnnxFile
from zapdeploy.compile.checking import check_model
from zapdeploy.compile.frontend import Outcome
from zapdeploy.errors import ModelError
from zapdeploy.simplify import InputShapes

BYTE = Kind(8, True, 0.5)


def test_an_accepted_file(tmp_path: Path) -> None:
    file, _ = residual_network(QcdqWriter(), Style(weight_bits=4))
    check = check_model(file.save(tmp_path / "model.onnx"), shapes=InputShapes(2))
    assert check.imported is not None
    assert check.refusal == ""
    assert check.count(Outcome.HOST) == 2
    assert check.count(Outcome.ACCEPTED) == 3
    assert check.count(Outcome.FOLDED) == len(file.nodes) - 5
    assert [row.node for row in check.decisions] == [node.name for node in file.nodes]


def test_a_refused_file_has_a_row_for_each_node(tmp_path: Path) -> None:
    file = OnnxFile()
    writer = Writer(file)
    x = writer.start("x", (2, 4), BYTE)
    w = writer.dequantize(file.constant(np.ones((4, 4), np.int8)), BYTE)
    a = writer.activation(file.node("MatMul", [x.name, w], name="good"), BYTE)
    b = file.node("Exp", [a.name], name="function")
    c = file.node("Unique", [b], name="bad")
    file.output(file.node("MatMul", [c, w], name="after"))
    check = check_model(file.save(tmp_path / "model.onnx"))
    assert check.imported is None
    assert check.refusal == (
        "every node must be one that the chip can run, and 1 node cannot: "
        "node 'bad' (Unique): operator Unique is not supported"
    )
    rows = {row.node: row for row in check.decisions}
    assert len(rows) == len(file.nodes)
    assert [rows[n].outcome.value for n in ("good", "function", "bad", "after")] == [
        "accepted", "vector unit", "refused", "not judged",
    ]  # fmt: skip
    assert rows["after"].reason == f"reads '{c}', which a refused node makes"
    assert (rows["good"].weight_bits, rows["good"].activation_bits) == (8, 8)
    assert rows["function"].reason == "computed in floating point"
    assert (rows["function"].weight_bits, rows["function"].activation_bits) == (None, 8)


def test_what_follows_a_refused_node_of_known_shape_is_judged(tmp_path: Path) -> None:
    file = OnnxFile()
    writer = Writer(file)
    x = writer.start("x", (2, 4), BYTE)
    c = file.node("Det", [x.name], "c", name="bad")
    file.output(file.node("MatMul", [c, file.constant(np.ones((4, 4), np.float32))], name="after"))
    model = file.model()
    value = model.graph.value_info.add(name="c")
    value.CopyFrom(file.inputs[0])
    value.name = "c"
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    rows = {row.node: row for row in check_model(path).decisions}
    assert rows["after"].outcome is Outcome.VECTOR_UNIT  # a small product of real numbers
    assert rows["after"].reason == "computed in floating point"


def test_many_refusals_are_cut_short(tmp_path: Path) -> None:
    file = OnnxFile()
    x = Writer(file).start("x", (2, 4), BYTE)
    for index in range(11):
        file.output(file.node("Det", [x.name], name=f"n{index}"))
    check = check_model(file.save(tmp_path / "model.onnx"))
    assert "and 11 nodes cannot: node 'n0' (Det)" in check.refusal
    assert check.refusal.endswith("; and 3 more")
    assert "n8" not in check.refusal


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no")
    with pytest.raises(ModelError, match="file must be an ONNX model"):
        check_model(path)
