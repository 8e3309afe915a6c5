"""Reading and preparing float files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.quantize.networks import (
    images,
    node,
    operators,
    random_weights,
    residual_cnn,
    run,
    save,
)
from zapdeploy.errors import ModelError
from zapdeploy.quantize.rewrite import hoist_activations
from zapdeploy.quantize.source import check_source, read_prepared, standard_opset


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        check_source(path)
    return str(caught.value).replace(str(path), path.name)


def test_missing_file(tmp_path: Path) -> None:
    message = "model must be a file, not missing (none.onnx); check the path"
    assert refusal(tmp_path / "none.onnx") == message


def test_a_file_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "text.onnx"
    path.write_text("this is no protobuf message")
    assert refusal(path) == (
        "model must be an ONNX file, not unreadable (text.onnx); export it again"
    )


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.onnx"
    path.write_bytes(b"")
    assert refusal(path) == (
        "model must have at least one node, not none (empty.onnx); export it again"
    )


@pytest.mark.parametrize("operator", ["QuantizeLinear", "QLinearConv", "QGemm", "Quant"])
def test_a_quantized_model(tmp_path: Path, operator: str) -> None:
    path = save(tmp_path / "q.onnx", [node(operator, "input", "output")], {}, ([1, 2], [1, 2]))
    assert refusal(path) == (
        f"model must be in float, not already quantized (node '{operator}_output', {operator}); "
        "give the float ONNX file that it was made from"
    )


def test_inputs_of_another_type(tmp_path: Path) -> None:
    path = residual_cnn(tmp_path / "net.onnx")
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.save(model, path)
    read, notes = read_prepared(path, 17)
    assert read.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert notes == ("float16 is computed in float32 here",)


def test_inputs_without_a_shape(tmp_path: Path) -> None:
    path = residual_cnn(tmp_path / "net.onnx")
    model = onnx.load(path)
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("input", TensorProto.FLOAT, None))
    onnx.save(model, path)
    with pytest.raises(ModelError, match="must be a tensor with a known number of dimensions"):
        read_prepared(path, 17)


def test_a_model_that_onnx_runtime_refuses(tmp_path: Path) -> None:
    path = save(tmp_path / "bad.onnx", [node("Swirl", "input", "output")], {}, ([1], [1]))
    with pytest.raises(ModelError, match="model must be one that ONNX Runtime loads, not refused"):
        read_prepared(path, 17)


def test_batch_normalization_is_folded(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "input w", "c"),
        node("BatchNormalization", "c scale shift mean variance", "output"),
    ]
    weights = random_weights({"w": (4, 3, 1, 1), "scale": (4,), "shift": (4,), "mean": (4,)})
    weights["variance"] = np.array([0.5, 1, 2, 4], np.float32)
    path = save(tmp_path / "bn.onnx", nodes, weights, ([1, 3, 8, 8], [1, 4, 8, 8]))
    model, _ = read_prepared(path, 17)
    assert [entry.op_type for entry in model.graph.node] == ["Conv"]
    assert len(model.graph.node[0].input) == 3
    prepared = tmp_path / "prepared.onnx"
    onnx.save(model, prepared)
    x = images(2)["input"]
    np.testing.assert_allclose(run(prepared, x), run(path, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("opset", [17, 21, 25])
def test_raising_the_opset_keeps_the_function(tmp_path: Path, opset: int) -> None:
    path = residual_cnn(tmp_path / "net.onnx")
    model, _ = read_prepared(path, opset)
    assert standard_opset(model) == opset
    raised = tmp_path / "raised.onnx"
    onnx.save(model, raised)
    x = images(2)["input"]
    np.testing.assert_array_equal(run(raised, x), run(path, x))
    assert operators(raised) == operators(path)


def test_a_newer_opset_stays(tmp_path: Path) -> None:
    path = residual_cnn(tmp_path / "net.onnx")
    model = onnx.load(path)
    model.opset_import[0].version = 19
    onnx.save(model, path)
    assert standard_opset(read_prepared(path, 17)[0]) == 19


def test_an_activation_moves_before_a_change_of_shape(tmp_path: Path) -> None:
    nodes = [
        node("Gemm", "input w b", "g"),
        node("Reshape", "g shape", "s"),
        node("Transpose", "s", "t", perm=[1, 0]),
        node("Relu", "t", "output"),
    ]
    weights = random_weights({"w": (6, 8), "b": (8,)})
    weights["shape"] = np.array([4, 4], np.int64)
    path = save(tmp_path / "net.onnx", nodes, weights, ([2, 6], [4, 4]))
    x = np.random.default_rng(0).standard_normal((2, 6)).astype(np.float32)
    before = run(path, x)
    model = onnx.load(path)
    hoist_activations(model)
    onnx.checker.check_model(model, full_check=True)
    assert [n.op_type for n in model.graph.node] == ["Gemm", "Relu", "Reshape", "Transpose"]
    onnx.save(model, path)
    np.testing.assert_array_equal(run(path, x), before)


def test_an_activation_stays_where_the_shaped_tensor_is_read_twice(tmp_path: Path) -> None:
    nodes = [
        node("Gemm", "input w b", "g"),
        node("Flatten", "g", "f"),
        node("Relu", "f", "r"),
        node("Add", "r f", "output"),
    ]
    path = save(
        tmp_path / "net.onnx", nodes, random_weights({"w": (6, 8), "b": (8,)}), ([2, 6], [2, 8])
    )
    model = onnx.load(path)
    hoist_activations(model)
    assert [n.op_type for n in model.graph.node] == ["Gemm", "Flatten", "Relu", "Add"]
