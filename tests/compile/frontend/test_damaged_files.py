"""Files that are no sound ONNX model: one clear line each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.compile.frontend.dialects import (
    OperatorWriter,
    QcdqWriter,
    QonnxWriter,
    Style,
    Writer,
    perceptron,
)
from tests.compile.frontend.messages import message, one_node, proto_message, valid
from tests.compile.frontend.onnx_files import OnnxFile
from zapdeploy.compile.frontend import import_model
from zapdeploy.errors import ModelError

# Files


def test_missing_file(tmp_path: Path) -> None:
    assert message(tmp_path / "no.onnx") == (
        "file 'no.onnx' must be readable: No such file or directory"
    )


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.onnx"
    path.touch()
    assert message(path) == "file must be an ONNX model, not an empty file ('empty.onnx')"


@pytest.mark.parametrize("content", [b"PK\x03\x04 a zip", b"hello", b"\x00" * 64, b"\xff" * 9])
def test_not_onnx(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    assert message(path) == "file must be an ONNX model, not something else ('other.onnx')"


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated(tmp_path: Path, share: float) -> None:
    path = valid().save(tmp_path / "cut.onnx")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert message(path) == (
        "file must be a whole ONNX model, not a truncated or damaged one ('cut.onnx'); "
        "export or copy it again"
    )


def test_no_nodes(tmp_path: Path) -> None:
    found = proto_message(tmp_path, lambda m: m.graph.ClearField("node"))
    assert found == "model must have at least one node, not none ('model.onnx')"


def test_old_opset(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = 6

    assert proto_message(tmp_path, change) == (
        "opset must be 7 or later, not 6; convert the model with "
        "onnx.version_converter or export it with a later opset"
    )


def test_opset_from_the_future(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = 1000

    assert "opset must be" in proto_message(tmp_path, change)
    assert "or earlier, not 1000 ('model.onnx'); " in proto_message(tmp_path, change)


def test_no_standard_operator_set(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.opset_import[0].domain = "other"

    assert proto_message(tmp_path, change) == (
        "model must import the standard operator set ('model.onnx'); export it again"
    )


# Structure


def test_undefined_input(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node[-1].input[0] = "nowhere"

    node = valid().nodes[-1].name
    assert proto_message(tmp_path, change) == (
        "input 'nowhere' must be an initializer, a graph input or some node's output, and is none "
        f"of them (node '{node}'); export the model again"
    )


def test_missing_initializer(tmp_path: Path) -> None:
    name = valid().initializers[0].name
    found = proto_message(tmp_path, lambda m: m.graph.initializer.pop(0))
    assert found.startswith(f"input '{name}' must be an initializer, ")


def test_undefined_output(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.output[0].name = "nowhere"

    assert proto_message(tmp_path, change) == (
        "graph output 'nowhere' must be computed by some node"
    )


def test_duplicate_tensor(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node[-1].output[0] = model.graph.node[0].output[0]

    file = valid()
    assert proto_message(tmp_path, change) == (
        f"tensor '{file.nodes[0].output[0]}' must be defined once, not again "
        f"(node '{file.nodes[-1].name}')"
    )


def test_duplicate_initializer(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(model.graph.initializer[0])

    name = valid().initializers[0].name
    assert proto_message(tmp_path, change) == (
        f"initializer '{name}' must be defined once, not 2 times"
    )


def test_duplicate_graph_input(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.input.append(model.graph.input[0])

    assert proto_message(tmp_path, change) == "graph input 'x' must be defined once, not 2 times"


def test_cycle(tmp_path: Path) -> None:
    file = OnnxFile()
    x = file.input("x", [2])
    file.node("Add", [x, "b"], "a", name="first")
    file.node("Relu", ["a"], "b", name="second")
    file.output("b")
    assert message(file.save(tmp_path / "model.onnx")) == (
        "graph must have no cycle, not 'first' -> 'second' -> 'first'; export it again"
    )


def test_sparse_initializer(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        values = helper.make_tensor("thin", TensorProto.FLOAT, [1], [1.0])
        index = helper.make_tensor("index", TensorProto.INT64, [1], [0])
        sparse = helper.make_sparse_tensor(values, index, [9])
        model.graph.sparse_initializer.append(sparse)

    assert proto_message(tmp_path, change) == (
        "initializer 'thin' must be dense, not sparse; export it dense"
    )


# External data


def external(tmp_path: Path, location: str, length: int = 120) -> Path:
    """A model whose first initializer above 100 bytes lies in another file."""
    proto = valid().model()
    tensor = next(t for t in proto.graph.initializer if len(t.raw_data) >= 100 or t.int32_data)
    tensor.ClearField("raw_data")
    tensor.ClearField("int32_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def test_missing_external_data(tmp_path: Path) -> None:
    assert message(external(tmp_path, "weights.bin")).startswith(
        "external data file 'weights.bin' must lie beside the model, and is missing (tensor 'const"
    )


def test_external_data_outside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(200))
    found = message(external(tmp_path, "../secret"))
    assert found.startswith(
        "external data must lie in the model's folder, not at '../secret' (tensor 'const"
    )


def test_short_external_data(tmp_path: Path) -> None:
    path = external(tmp_path, "weights.bin")
    (path.parent / "weights.bin").write_bytes(bytes(7))
    assert message(path).startswith(
        "external data file 'weights.bin' must have 120 bytes, not 7 (tensor 'const"
    )


def test_external_data_is_read(tmp_path: Path) -> None:
    path = external(tmp_path, "weights.bin")
    (path.parent / "weights.bin").write_bytes(bytes(range(120)))
    graph = import_model(path).graph
    (weights,) = (v for v in graph.values.values() if v.is_constant and v.size == 120)
    assert weights.data is not None
    assert sorted(weights.data.ravel()) == list(range(120))


# Damage anywhere


def test_attribute_of_the_wrong_type(tmp_path: Path) -> None:
    file = one_node("Softmax", (2, 4), axis=[1, 2])
    assert message(file.save(tmp_path / "model.onnx")) == (
        "attribute 'axis' must be a whole number, not '(1, 2)' (node 'node'); "
        "export the model again"
    )


def test_list_attribute_of_the_wrong_type(tmp_path: Path) -> None:
    file = one_node("Transpose", (2, 4), perm=[0.0, 1.0])
    assert message(file.save(tmp_path / "model.onnx")) == (
        "attribute 'perm' must be whole numbers, not '(0.0, 1.0)' (node 'node'); "
        "export the model again"
    )


def test_tensor_without_its_data(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].dims[:] = [7]

    name = valid().initializers[0].name
    found = proto_message(tmp_path, change)
    assert found.startswith(f"initializer '{name}' must hold the data of its shape [7]: ")
    assert found.endswith("; the file is damaged")


def test_names_of_more_than_one_line(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node[0].name = "a\nb"

    assert proto_message(tmp_path, change) == (
        "names must be printable text, not 'a\\nb'; export the model again"
    )


@pytest.mark.parametrize("writer", [Writer, QcdqWriter, QonnxWriter, OperatorWriter])
def test_any_damage_is_one_line(tmp_path: Path, writer: type[Writer]) -> None:
    """Bytes changed and bytes lost: an import works or raises ModelError, nothing else."""
    rng = np.random.default_rng(1)
    whole = perceptron(writer(), Style())[0].model().SerializeToString()
    path = tmp_path / "model.onnx"
    messages = []
    for _ in range(120):
        data = bytearray(whole)
        place = int(rng.integers(len(data)))
        if rng.integers(2):
            data[place] = int(rng.integers(256))
        else:
            del data[place : place + int(rng.integers(1, 6))]
        path.write_bytes(bytes(data))
        try:
            import_model(path)
            messages.append("")
        except ModelError as error:
            messages.append(str(error))
    assert not any("\n" in text for text in messages)
    assert "" in messages
    assert any(messages)
