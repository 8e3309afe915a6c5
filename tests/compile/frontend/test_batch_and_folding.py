"""--batch, and what is computed from constants and shapes while importing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.compile.frontend.comparing import differences
from tests.compile.frontend.dialects import Kind, Style, Writer, residual_network
from tests.compile.frontend.onnx_files import OnnxFile, reference
from zapdeploy.compile.frontend import UnsupportedModel, import_model
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.passes import IMPORT_PASSES
from zapdeploy.sim.functional import run

BYTE = Kind(8, True, 2.0**-5)


def check(graph: Graph, model: onnx.ModelProto, shape: tuple[int, ...]) -> None:
    inputs = {"x": np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)}
    assert all(difference.largest == 0 for difference in differences(graph, model, inputs))
    for name, array in run(graph, inputs).items():
        np.testing.assert_array_equal(array, reference(model, inputs)[name])


def test_open_batch(tmp_path: Path) -> None:
    """An exporter's x.reshape(x.shape[0], -1): Shape, Gather, Concat, Reshape."""
    file = OnnxFile()
    x = Writer(file).start("x", ("N", 3, 4), BYTE).name
    batch = file.node("Gather", [file.node("Shape", [x]), file.constant(np.int64(0))])
    batch = file.node("Unsqueeze", [batch, file.constant(np.asarray([0]))])
    target = file.node("Concat", [batch, file.constant(np.asarray([-1]))], axis=0)
    file.output(file.node("Reshape", [x, target]))
    path = file.save(tmp_path / "model.onnx")
    for count in (1, 5):
        graph = import_model(path, batch=count).graph
        assert graph.values[graph.outputs[0]].shape == (count, 12)
        assert [node.op for node in graph.nodes] == ["Quantize", "Reshape", "Dequantize"]
        check(graph, file.model(), (count, 3, 4))


@pytest.mark.parametrize("target", [[1, -1], [1, 12], [1, 6, 2], [0, -1], [-1, 12]])
def test_fixed_batch_is_replaced_in_shapes(tmp_path: Path, target: list[int]) -> None:
    file = OnnxFile()
    x = Writer(file).start("x", (1, 3, 4), BYTE).name
    file.output(file.node("Reshape", [x, file.constant(np.asarray(target))]))
    graph = import_model(file.save(tmp_path / "model.onnx"), batch=3).graph
    assert graph.values[graph.outputs[0]].shape == (3, *((6, 2) if len(target) == 3 else (12,)))


def test_batch_changes_nothing_else(tmp_path: Path) -> None:
    file, inputs = residual_network(Writer(), Style())
    file.inputs[0].type.tensor_type.shape.dim[0].dim_value = 1
    path = file.save(tmp_path / "model.onnx")
    (single,) = run(import_model(path).graph, {"x": inputs["x"][:1]}).values()
    (double,) = run(import_model(path, batch=2).graph, inputs).values()
    np.testing.assert_array_equal(double[:1], single)
    np.testing.assert_array_equal(import_model(path, batch=1).graph.values["x"].shape, (1, 3, 8, 8))


def test_shape_arithmetic_is_folded(tmp_path: Path) -> None:
    """The upper half of the columns, with the middle computed from the shape."""
    file = OnnxFile()
    x = Writer(file).start("x", (2, 6), BYTE).name
    width = file.node("Shape", [x], start=1)
    half = file.node("Div", [width, file.constant(np.asarray([2]))])
    one = file.node("Constant", [], value_ints=[1])
    file.output(file.node("Slice", [x, half, width, one]))
    file.output(file.node("Reshape", [x, file.node("Concat", [half, file.node(
        "ConstantOfShape", [file.constant(np.asarray([1]))],
        value=helper.make_tensor("v", TensorProto.INT64, [1], [-1]))], axis=0)]))  # fmt: skip
    imported = import_model(file.save(tmp_path / "model.onnx"))
    assert [n.op for n in imported.graph.nodes].count("Slice") == 1
    check(imported.graph, file.model(), (2, 6))
    rows = {row.op: row for row in imported.decisions}
    assert rows["Shape"].outcome.value == "folded"
    assert rows["Shape"].reason == "constant, or without effect"


def test_size_is_folded(tmp_path: Path) -> None:
    file = OnnxFile()
    x = Writer(file).start("x", (2, 6), BYTE).name
    size = file.node("Unsqueeze", [file.node("Size", [x]), file.constant(np.asarray([0]))])
    file.output(file.node("Reshape", [x, size]))
    graph = import_model(file.save(tmp_path / "model.onnx")).graph
    assert graph.values[graph.outputs[0]].shape == (12,)


def test_initializers_that_are_inputs_too(tmp_path: Path) -> None:
    """Old exporters list every initializer among the inputs."""
    file, inputs = residual_network(Writer(), Style())
    (expected,) = reference(file.model(), inputs).values()
    for tensor in file.initializers:
        value = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        file.inputs.append(value)
    graph = import_model(file.save(tmp_path / "model.onnx")).graph
    assert graph.inputs == ("x",)
    np.testing.assert_array_equal(*run(graph, inputs).values(), expected)


def test_random_numbers_are_not_constants(tmp_path: Path) -> None:
    file = OnnxFile()
    x = Writer(file).start("x", (2, 6), BYTE).name
    noise = file.node("RandomNormal", [], name="noise", shape=[2, 6])
    file.output(file.node("Add", [x, noise]))
    with pytest.raises(UnsupportedModel, match="operator RandomNormal is not supported"):
        import_model(file.save(tmp_path / "model.onnx"))


def test_identities_of_initializers(tmp_path: Path) -> None:
    """torch's legacy exporter shares initializers through Identity nodes."""
    file = OnnxFile()
    writer = Writer(file)
    x = writer.start("x", (2, 4), BYTE)
    codes = file.constant(np.ones((4, 4), np.int8))
    shared = file.constant(np.float32([1, 2, 3, 4]) / 4)
    for _ in range(2):
        weights = writer.dequantize(file.node("Identity", [codes]), BYTE)
        real = file.node("MatMul", [x.name, weights])
        x = writer.activation(file.node("Add", [real, file.node("Identity", [shared])]), BYTE)
    file.output(x.name)
    graph = import_model(file.save(tmp_path / "model.onnx")).graph
    assert [n.op for n in graph.nodes] == ["Quantize", "MatMul", "MatMul", "Dequantize"]
    check(graph, file.model(), (2, 4))


def test_weights_of_two_nodes(tmp_path: Path) -> None:
    """The same codes with one scale, and with another."""
    file = OnnxFile()
    writer = Writer(file)
    x = writer.start("x", (2, 4), BYTE)
    codes = file.constant(np.arange(16, dtype=np.int8).reshape(4, 4), "w")
    for scale in (0.25, 0.25, 0.5):
        weights = writer.dequantize(codes, Kind(8, True, scale))
        file.output(writer.activation(file.node("MatMul", [x.name, weights]), BYTE).name)
    graph = import_model(file.save(tmp_path / "model.onnx")).graph
    names = [node.inputs[1] for node in graph.nodes if node.op == "MatMul"]
    assert names == ["w", "w", "w_1"]
    assert graph.values["w"].data is graph.values["w_1"].data
    check(graph, file.model(), (2, 4))


def test_transposed_and_reshaped_weights_keep_their_scales(tmp_path: Path) -> None:
    """Scales along a negative axis, then Transpose and Reshape of the dequantized weights."""
    file = OnnxFile()
    writer = Writer(file)
    x = writer.start("x", (2, 4), BYTE)
    codes = np.random.default_rng(0).integers(-99, 99, (1, 4, 3)).astype(np.int8)
    kind = Kind(8, True, np.asarray([0.25, 0.5, 1.0]))
    weights = writer.dequantize(file.constant(codes), kind, axis=-1)
    weights = file.node("Transpose", [weights], perm=[2, 0, 1])
    weights = file.node("Reshape", [weights, file.constant(np.asarray([3, 4]))])
    bias = file.constant(np.zeros(3, np.float32))
    real = file.node("Gemm", [x.name, weights, bias], transB=1)
    file.output(writer.activation(real, BYTE).name)
    graph = import_model(file.save(tmp_path / "model.onnx")).graph
    (product,) = (graph.call(n) for n in graph.nodes if n.op == "MatMul")
    meaning = product.input(1).quantization
    assert meaning is not None
    assert meaning.axis == 1
    check(graph, file.model(), (2, 4))


def test_functions_of_the_file_are_inlined(tmp_path: Path) -> None:
    file = OnnxFile()
    x = Writer(file).start("x", (2, 4), BYTE).name
    file.output(file.node("Twice", [x], domain="mine"))
    model = file.model()
    body = [helper.make_node("Add", ["a", "a"], ["b"])]
    imports = [helper.make_opsetid("", 21)]
    model.functions.append(helper.make_function("mine", "Twice", ["a"], ["b"], body, imports))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    graph = import_model(path).graph
    assert [node.op for node in graph.nodes] == ["Quantize", "Add"]
    check(graph, model, (2, 4))


def test_unsorted_nodes_are_sorted(tmp_path: Path) -> None:
    file, inputs = residual_network(Writer(), Style())
    expected = reference(file.model(), inputs)
    file.nodes.reverse()
    graph = import_model(file.save(tmp_path / "model.onnx")).graph
    for name, array in run(graph, inputs).items():
        np.testing.assert_array_equal(array, expected[name])


def test_nodes_without_names_and_with_equal_names(tmp_path: Path) -> None:
    for name in ("", "same"):
        file, inputs = residual_network(Writer(), Style())
        (expected,) = reference(file.model(), inputs).values()
        for node in file.nodes:
            node.name = name
        imported = import_model(file.save(tmp_path / "model.onnx"))
        names = [row.node for row in imported.decisions]
        assert len(set(names)) == len(names)
        assert names[3] == (f"{file.nodes[3].op_type}_3" if not name else "same_3")
        (output,) = run(imported.graph, inputs).values()
        np.testing.assert_array_equal(output, expected)


def test_observer_sees_every_pass(tmp_path: Path) -> None:
    file, _ = residual_network(Writer(), Style())
    seen: list[str] = []

    def observe(name: str, _: Any) -> None:
        seen.append(name)

    import_model(file.save(tmp_path / "model.onnx"), observe=observe)
    assert seen[:3] == ["imported", "remove_identity", "recognize_functions"]
    assert seen[-1] == "remove_dead"
    assert len(seen) == 1 + len(IMPORT_PASSES)
