"""The same networks in every dialect compute what ONNX Runtime computes, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.compile.frontend.dialects import (
    OperatorWriter,
    QcdqWriter,
    QonnxWriter,
    Style,
    Writer,
    depthwise_network,
    perceptron,
    residual_network,
)
from tests.compile.frontend.onnx_files import reference
from zapdeploy.compile.frontend import Imported, Outcome, import_model, supported_operators
from zapdeploy.compile.graph import FLOAT32
from zapdeploy.sim.functional import run

# Zero points of 8-bit tensors are even: an Add follows QLinearAdd, which rounds after the zero
# point is added, so that exact ties fall the other way than in QDQ when it is odd.
NETWORKS = (residual_network, perceptron, depthwise_network)
STYLES = {
    "symmetric": Style(),
    "asymmetric": Style(signed=False, zero=100),
    "signed with zero point": Style(zero=-6),
    "per channel": Style(per_channel=True),
    "int4": Style(weight_bits=4, activation_bits=4, per_channel=True),
    "int4 weights": Style(weight_bits=4, signed=False, zero=128),
    "uint4": Style(weight_bits=4, activation_bits=4, signed=False, zero=5),
    "int2": Style(weight_bits=2, activation_bits=4),
}
EIGHT_BITS = ("symmetric", "asymmetric", "signed with zero point", "per channel")
OPERATORS = {"Quantize", "Dequantize", "Conv", "MatMul", "Add"}


def writers() -> dict[str, Callable[[], Writer]]:
    return {
        "QDQ": lambda: _with_opset(Writer(), 25),
        "QCDQ quantized weights": QcdqWriter,
        "QCDQ clipped weights": lambda: QcdqWriter(weight_form="clip"),
        "QONNX": QonnxWriter,
        "operator form": OperatorWriter,
    }


def _with_opset(writer: Writer, opset: int) -> Writer:
    writer.file.opset = opset
    return writer


@pytest.mark.parametrize("network", NETWORKS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("dialect", writers())
def test_dialect_equals_onnx_runtime(
    tmp_path: Path, dialect: str, style: str, network: Any
) -> None:
    if dialect == "operator form" and style not in EIGHT_BITS:
        pytest.skip("integer operators have 8 bits")
    file, inputs = network(writers()[dialect](), STYLES[style])
    imported = import_model(file.save(tmp_path / "model.onnx"))
    (expected,) = _expected(network, style, file, dialect, inputs).values()
    (output,) = run(imported.graph, inputs).values()
    assert output.dtype == np.float32
    np.testing.assert_array_equal(output, expected)
    assert np.unique(output).size > 3
    _check_form(imported, STYLES[style], dialect)


def _expected(network: Any, style: str, file: Any, dialect: str, inputs: Any) -> Any:
    """ONNX Runtime's result: of the file, or of the same network as QCDQ where it has no kernel."""
    if dialect != "QONNX":
        return reference(file.model(), inputs)
    return reference(network(QcdqWriter(), STYLES[style])[0].model(), inputs)


def _check_form(imported: Imported, style: Style, dialect: str) -> None:
    """Only integer operators are left, at the true widths, with int32 biases."""
    graph = imported.graph
    assert {node.op for node in graph.nodes} <= OPERATORS
    for call in graph.calls():
        if call.node.op in ("Conv", "MatMul"):
            weights, bias = call.input(1), call.input(2)
            assert weights.element.bits == style.weight_bits
            assert weights.quantization is not None
            assert (weights.quantization.axis is not None) == style.per_channel
            assert call.input(0).element.bits == style.activation_bits
            assert bias.element.name == "int32"
        if call.node.op not in ("Quantize", "Dequantize"):
            assert all(v.element != FLOAT32 for v in (*call.inputs, *call.outputs) if v)
    assert dialect.removesuffix(" quantized weights").removesuffix(" clipped weights") in (
        *imported.origin.dialects,
        *(("QCDQ",) if style.weight_bits == style.activation_bits == 8 else ()),
    )


def test_quantized_tensors_keep_their_names(tmp_path: Path) -> None:
    """What feeds a DequantizeLinear can be compared with ONNX Runtime by name."""
    file, inputs = residual_network(QcdqWriter(), STYLES["uint4"])
    graph = import_model(file.save(tmp_path / "model.onnx")).graph
    constant = {tensor.name for tensor in file.initializers}
    clipped = {node.output[0] for node in file.nodes if node.op_type == "Clip"}
    made = {n.input[0] for n in file.nodes if n.op_type == "DequantizeLinear"} - constant
    weights = {n.output[0] for n in file.nodes if n.op_type == "Clip"} - graph.values.keys()
    assert not weights
    names = sorted(name for name in made & clipped if not graph.values[name].is_constant)
    assert len(names) == 4
    expected = reference(file.model(), inputs, names)
    found = run(graph, inputs, keep=names)
    for name in names:
        np.testing.assert_array_equal(found[name], expected[name])


def test_supported_operators_are_those_of_onnx_and_the_dialects() -> None:
    found = supported_operators()
    assert {domain for domain, _ in found} == {
        "", "com.microsoft", "onnx.brevitas", "qonnx.custom_op.general", "finn.custom_op.general",
    }  # fmt: skip
    for domain, op in found:
        assert domain or onnx.defs.has(op)


def test_decisions_say_what_became_of_each_node(tmp_path: Path) -> None:
    file, _ = residual_network(QcdqWriter(), STYLES["int4"])
    imported = import_model(file.save(tmp_path / "model.onnx"))
    rows = {row.node: row for row in imported.decisions}
    assert len(imported.decisions) == len(file.nodes)
    convs = [row for row in imported.decisions if row.op == "Conv"]
    assert [(r.outcome, r.weight_bits, r.activation_bits) for r in convs] == [
        (Outcome.ACCEPTED, 4, 4)
    ] * 2
    relu = next(row for row in imported.decisions if row.op == "Relu")
    assert relu.outcome is Outcome.FOLDED
    assert relu.into == convs[0].node
    first, last = file.nodes[0].name, file.nodes[-1].name
    assert rows[first].outcome is Outcome.HOST
    assert rows[first].reason == "network input"
    assert rows[last].outcome is Outcome.HOST
    assert rows[last].reason == "network output"
