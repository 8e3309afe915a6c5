"""QONNX files against the executor of the qonnx package, which somebody else wrote."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.external_data_helper import convert_model_to_external_data

from tests.compile.frontend.dialects import (
    QONNX,
    Kind,
    QonnxWriter,
    Style,
    depthwise_network,
    perceptron,
    residual_network,
)
from tests.compile.frontend.onnx_files import Array, OnnxFile
from zapdeploy.compile.frontend import import_model, qonnx
from zapdeploy.compile.graph import FLOAT32, Value
from zapdeploy.errors import ModelError, UsageError
from zapdeploy.sim import qonnx_executor
from zapdeploy.sim.check import CheckResult, check, reference_inputs
from zapdeploy.sim.qonnx_executor import KIND, QonnxExecutor

Build = Callable[[QonnxWriter, Style], tuple[OnnxFile, dict[str, Array]]]
pytest.importorskip("qonnx")
STYLES = {
    "int8": Style(),
    "asymmetric": Style(signed=False, zero=100),
    "int4 weights per channel": Style(weight_bits=4, per_channel=True),
    "int4": Style(weight_bits=4, activation_bits=4),
    "3 and 6 bits": Style(weight_bits=3, activation_bits=6),
}


def checked(path: Path, **shape: Any) -> CheckResult:
    graph = import_model(path, **shape).graph
    return check(graph, path, reference_inputs(graph))


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
@pytest.mark.parametrize("build", [residual_network, perceptron, depthwise_network])
def test_every_tensor_equals_the_executor(tmp_path: Path, build: Build, style: Style) -> None:
    """Scales are powers of two: the executor's float32 is exact."""
    file, inputs = build(QonnxWriter(), style)
    path = file.save(tmp_path / "model.onnx")
    graph = import_model(path).graph
    result = check(graph, path, inputs)
    assert result.passed, result.failures
    assert result.reference == KIND
    assert [c.different for c in (*result.nodes, *result.free_running)] == [0] * 2 * len(
        result.nodes
    )
    compared = {c.name for c in result.nodes}
    assert {name for node in graph.nodes for name in node.outputs} == compared


def test_a_wrong_scale_is_found(tmp_path: Path) -> None:
    file, inputs = perceptron(QonnxWriter(), Style())
    path = file.save(tmp_path / "model.onnx")
    graph = import_model(path).graph
    node = next(node for node in graph.nodes if node.op == "Gemm" or node.op == "MatMul")
    value = graph.values[node.outputs[0]]
    assert value.quantization is not None
    wrong = replace(value.quantization, scale=value.quantization.scale * np.float32(1.25))
    values = {**graph.values, value.name: replace(value, quantization=wrong)}
    result = check(replace(graph, values=values), path, inputs)
    assert not result.passed
    assert f"'{value.name}' must" in result.failures[0]


def product(folder: Path, scales: tuple[float, float, float]) -> Path:
    """512 sums of 10 products, quantized to 8 bits."""
    rng = np.random.default_rng(7)
    writer = QonnxWriter()
    x = writer.start("x", (64, 10), Kind(8, True, scales[0]))
    w = writer.file.constant(rng.normal(0, 2 * scales[1], (10, 8)).astype(np.float32))
    w = writer.quant(w, Kind(3, True, scales[1]))
    y = writer.activation(writer.file.node("MatMul", [x.name, w]), Kind(8, True, scales[2]))
    return writer.finish(y).save(folder / "model.onnx")


def test_sums_between_two_codes_are_counted_apart(tmp_path: Path) -> None:
    """0.05 x 0.125 / 0.1 is 1/16: one sum in 16 is a tie, and float32 decides by its last bits."""
    result = checked(product(tmp_path, (0.05, 0.125, 0.1)))
    assert result.passed, result.failures
    (found,) = [c for c in result.nodes if c.different]
    assert found.ties == found.different > 1
    assert result.notes == (
        f"{found.ties} of 512 elements of '{found.name}' lie exactly between two codes, where the "
        "reference rounds the other way (float32 sums; in QONNX odd zero points)",
    )


def test_nothing_is_excused_that_is_no_tie(tmp_path: Path) -> None:
    """A bias of a quarter of a step moves every fourth sum to another code."""
    path = product(tmp_path, (0.05, 0.125, 0.1))
    graph = import_model(path).graph
    (node,) = [node for node in graph.nodes if node.op == "MatMul"]
    bias = Value("bias", (8,), FLOAT32, data=np.full(8, 0.025, np.float32))
    nodes = tuple(
        replace(n, inputs=(*n.inputs[:2], "bias")) if n is node else n for n in graph.nodes
    )
    wrong = replace(graph, nodes=nodes, values={**graph.values, "bias": bias})
    result = check(wrong, path, reference_inputs(graph))
    assert not result.passed
    (found,) = [c for c in result.nodes if c.name == node.outputs[0]]
    assert found.different - found.ties > 50


def test_powers_of_two_have_no_excuse(tmp_path: Path) -> None:
    """There float32 is exact, ties included."""
    result = checked(product(tmp_path, (0.0625, 0.125, 0.125)))
    assert result.passed
    assert sum(c.different + c.ties for c in result.nodes) == 0


def binary_network(opset: int) -> OnnxFile:
    """As Brevitas wrote it once: -1 and +1, in a domain that the file does not import."""
    rng = np.random.default_rng(0)
    file = OnnxFile(opset=opset)
    writer = QonnxWriter(file)
    ternary = Kind(2, True, 1.0)
    x = writer.activation(file.input("x", (1, 20)), ternary)
    weights = file.constant(rng.choice(np.float32([-1, 1]), (8, 20)))
    one = file.constant(np.float32(1))
    w = file.node("BipolarQuant", [weights, one], domain=QONNX)
    turned = file.node("Transpose", [w], perm=[1, 0])
    y = file.node("MatMul", [x.name, turned])
    ones = [file.constant(rng.uniform(0.5, 2, 8).astype(np.float32)) for _ in range(4)]
    y = file.node("BatchNormalization", [y, *ones])
    file.output(writer.activation(y, ternary).name)
    for node in file.nodes:
        node.domain = "onnx.brevitas" if node.domain else ""
    return file


@pytest.mark.parametrize("batch", [1, 6])
def test_binary_weights_in_an_old_file(tmp_path: Path, batch: int) -> None:
    """Also with another batch than the file's: then the executor runs frame by frame."""
    model = binary_network(opset=9).model()
    del model.opset_import[1:]
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    result = checked(path, batch=batch)
    assert result.passed, result.failures
    assert max(c.elements for c in result.nodes) == batch * 20
    assert sum(c.different for c in result.nodes) == 0


def test_weights_in_a_file_of_their_own(tmp_path: Path) -> None:
    file, _ = perceptron(QonnxWriter(), Style())
    model, path = file.model(), tmp_path / "model.onnx"
    convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    onnx.save(model, path)
    assert checked(path).passed


@pytest.mark.parametrize("mode", ["FLOOR", "ROUND"])
@pytest.mark.parametrize(("signed", "bits", "scale"), [(1, 8, 1), (1, 4, 4), (0, 6, 2), (1, 3, 8)])
def test_truncation(tmp_path: Path, mode: str, signed: int, bits: int, scale: float) -> None:
    """Its second version: the upper bits of a whole number of steps, with a scale of their own."""
    file = OnnxFile()
    writer = QonnxWriter(file)
    x = writer.start("x", (1, 300), Kind(8, True, 0.25))
    inputs = [file.constant(np.float32(v)) for v in (0.25, 0, 8, 0.25 * scale, bits)]
    attributes = {"rounding_mode": mode, "signed": signed, "narrow": 0}
    file.output(file.node("Trunc", [x.name, *inputs], domain=QONNX, **attributes))
    result = checked(file.save(tmp_path / "model.onnx"))
    assert result.passed, result.failures
    assert sum(c.different for c in (*result.nodes, *result.outputs)) == 0


def test_the_first_truncation(tmp_path: Path) -> None:
    """It keeps the scale: the executor does not clip, so the upper bits are kept of few."""
    file = OnnxFile()
    writer = QonnxWriter(file)
    x = writer.start("x", (1, 300), Kind(6, True, 0.25))
    inputs = [file.constant(np.float32(v)) for v in (0.25, 0, 6, 4)]
    file.output(file.node("Trunc", [x.name, *inputs], domain=QONNX, rounding_mode="FLOOR"))
    result = checked(file.save(tmp_path / "model.onnx"))
    assert result.passed, result.failures
    assert sum(c.different for c in (*result.nodes, *result.outputs)) == 0


@pytest.mark.parametrize("form", ["BipolarQuant", "one bit", "one bit, unsigned"])
def test_binary_activations(tmp_path: Path, form: str) -> None:
    """Between two products, as a network of one bit has them; zero is +1."""
    rng = np.random.default_rng(3)
    file = OnnxFile()
    writer = QonnxWriter(file)
    scale = file.constant(np.float32(0.5))

    def quantized(real: str) -> str:
        if form == "BipolarQuant":
            return file.node("BipolarQuant", [real, scale], domain=QONNX)
        return writer.quant(real, Kind(1, "unsigned" not in form, 0.5))

    hidden = quantized(file.input("x", (4, 12)))
    for count in ((12, 9), (9, 5)):
        weights = file.constant(rng.choice(np.float32([-1, 1]), count))
        one = file.constant(np.float32(1))
        w = file.node("BipolarQuant", [weights, one], domain=QONNX)
        hidden = quantized(file.node("MatMul", [hidden, w]))
    file.output(hidden)
    path = file.save(tmp_path / "model.onnx")
    graph = import_model(path).graph
    given = rng.normal(size=(4, 12)).astype(np.float32)
    given[0, :3] = (0, -0.0, 0.25)
    result = check(graph, path, {"x": given})
    assert result.passed, result.failures
    assert sum(c.different for c in (*result.nodes, *result.outputs)) == 0
    assert [node.op for node in graph.nodes].count("MatMul") == 2


def test_the_domains_are_those_that_are_imported() -> None:
    """Written twice, so that --check of other files loads no part of the importer."""
    assert qonnx_executor.QONNX == qonnx.QONNX


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, _ = perceptron(QonnxWriter(), Style())
    path = file.save(tmp_path / "model.onnx")
    monkeypatch.setitem(sys.modules, "qonnx.core.onnx_exec", None)
    with pytest.raises(UsageError, match=r"pip install 'zapdeploy\[qonnx\]'"):
        checked(path)


@pytest.mark.parametrize(
    ("domain", "op"), [("antigravity", "Quant"), (QONNX, "GenericPartition"), ("qonnx", "Quant")]
)
def test_no_module_is_loaded_because_a_file_names_it(tmp_path: Path, domain: str, op: str) -> None:
    file, _ = perceptron(QonnxWriter(), Style())
    file.nodes[-1].domain, file.nodes[-1].op_type = domain, op
    with pytest.raises(ModelError, match=f"must be of QONNX .*, not {op} of '{domain}'"):
        QonnxExecutor(file.model(), tmp_path)
    assert "antigravity" not in sys.modules


def test_what_the_executor_cannot_run(tmp_path: Path) -> None:
    file, inputs = perceptron(QonnxWriter(), Style())
    session = QonnxExecutor(file.model(), tmp_path)
    with pytest.raises(ModelError, match="must be one that the qonnx package's executor runs: "):
        session.run([file.outputs[0].name], {"x": inputs["x"][:, :-1]})
