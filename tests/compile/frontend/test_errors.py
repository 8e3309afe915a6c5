"""Damaged and unsupported files: one clear line each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.compile.frontend.dialects import (
    Kind,
    OperatorWriter,
    QcdqWriter,
    QonnxWriter,
    Style,
    Writer,
    perceptron,
)
from tests.compile.frontend.onnx_files import OnnxFile
from zapdeploy.compile.frontend import UnsupportedModel, import_model
from zapdeploy.errors import ModelError, UsageError

BYTE = Kind(8, True, 0.5)


def message(path: Path, **options: Any) -> str:
    """What importing says, without the name of the folder."""
    with pytest.raises(ModelError) as caught:
        import_model(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text.replace(str(path.parent) + "/", "")


def valid() -> OnnxFile:
    return perceptron(Writer(), Style())[0]


def proto_message(tmp_path: Path, change: Callable[[onnx.ModelProto], object]) -> str:
    """The message for a small valid model after a change."""
    proto = valid().model()
    change(proto)
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return message(path)


# Files


def test_missing_file(tmp_path: Path) -> None:
    assert message(tmp_path / "no.onnx") == (
        "file must be readable: No such file or directory ('no.onnx')"
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
        model.opset_import[0].version = 11

    assert proto_message(tmp_path, change) == (
        "opset must be 13 or later, not 11 ('model.onnx'); convert the model with "
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


# Shapes and types


def one_node(op: str, x: Any, *more: Any, opset: int = 21, **attributes: Any) -> OnnxFile:
    """A file of one quantizer, dequantizer and operator on input x of a shape."""
    file = OnnxFile(opset=opset)
    writer = Writer(file)
    start = writer.start("x", x, BYTE)
    inputs = [start.name, *(m if isinstance(m, str) else file.constant(m) for m in more)]
    file.output(file.node(op, inputs, "y", name="node", **attributes))
    return file


def test_dynamic_batch(tmp_path: Path) -> None:
    file = one_node("Relu", ("N", 4))
    assert message(file.save(tmp_path / "model.onnx")) == (
        "input 'x' has a dynamic dimension 0 'N'; give --batch"
    )


def test_dynamic_length(tmp_path: Path) -> None:
    file = one_node("Relu", (1, "T"))
    expected = "input 'x' has a dynamic dimension 1 'T'; export the model with a fixed length"
    path = file.save(tmp_path / "model.onnx")
    assert message(path) == expected
    assert message(path, batch=2) == expected


def test_batch_contradicts_the_file(tmp_path: Path) -> None:
    path = one_node("Relu", (8, 4)).save(tmp_path / "model.onnx")
    assert message(path, batch=2) == (
        "input 'x' must have a first dimension of 1 or an open one for batch 2, not 8; "
        "export the model with batch 1"
    )


def test_batch_must_be_positive(tmp_path: Path) -> None:
    path = one_node("Relu", (1, 4)).save(tmp_path / "model.onnx")
    with pytest.raises(UsageError, match="batch must be at least 1, not 0"):
        import_model(path, batch=0)


def test_batch_does_not_fit_a_fixed_shape(tmp_path: Path) -> None:
    file = one_node("Reshape", (1, 4, 6), np.asarray([4, 6], np.int64))
    path = file.save(tmp_path / "model.onnx")
    assert import_model(path).graph.values["y"].shape == (4, 6)
    assert message(path, batch=2) == (
        "shape must hold 48 elements, not [4, 6] (node 'node'); its batch is fixed in the file"
    )


def test_zero_size_dimension(tmp_path: Path) -> None:
    path = one_node("Relu", (0, 4)).save(tmp_path / "model.onnx")
    assert message(path) == (
        "input 'x' must have no dimension of size zero, not [0, 4]; export the model again"
    )


def test_zero_size_result(tmp_path: Path) -> None:
    bounds = [np.asarray([v], np.int64) for v in (3, 3, 1)]
    path = one_node("Slice", (2, 4), *bounds).save(tmp_path / "model.onnx")
    assert message(path) == "tensor 'y' must have no dimension of size zero, not [2, 0]"


def test_input_without_shape(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.ClearField("shape")

    assert proto_message(tmp_path, change) == (
        "input 'x' must be a tensor with a known number of dimensions; "
        "export the model with the shape of its inputs"
    )


@pytest.mark.parametrize("kind", ["FLOAT16", "BFLOAT16", "DOUBLE"])
def test_other_floats(tmp_path: Path, kind: str) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.elem_type = getattr(TensorProto, kind)

    assert proto_message(tmp_path, change) == (
        f"input 'x' must be float32, not {kind.lower()}; "
        "export the model in float32 before it is quantized"
    )


def test_float16_weights(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        scale = numpy_helper.from_array(
            np.asarray(0.5, np.float16), model.graph.initializer[0].name
        )
        model.graph.initializer[0].CopyFrom(scale)

    assert "must be float32, not float16; export" in proto_message(tmp_path, change)


def test_strings(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING

    assert proto_message(tmp_path, change) == (
        "input 'x' must hold numbers of a supported type (float32, int2 to int16, uint2 to uint16, "
        "int32, int64, bool), not string; change it before the export"
    )


def test_declared_output_contradicts(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        name = model.graph.output[0].name
        wrong = helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, 7])
        model.graph.output[0].CopyFrom(wrong)

    name = valid().outputs[0].name
    assert proto_message(tmp_path, change) == (
        f"output '{name}' must have shape [4, 7] as the file declares, not [4, 5]; "
        "export the model again"
    )


# Quantizers


def quantizer(scale: Any, zero: Any = 0, shape: Any = (3, 4), **more: Any) -> OnnxFile:
    """A file of one QuantizeLinear and one DequantizeLinear."""
    file = OnnxFile()
    parameters = [file.constant(np.asarray(scale, np.float32), "scale")]
    parameters.append(file.constant(np.asarray(zero, np.int8), "zero"))
    x = file.input("x", shape)
    codes = file.node("QuantizeLinear", [x, *parameters], "codes", name="quantizer", **more)
    file.output(file.node("DequantizeLinear", [codes, *parameters], "y", **more))
    return file


@pytest.mark.parametrize("scale", [-0.5, 0.0, np.nan, np.inf])
def test_scale_must_be_positive(tmp_path: Path, scale: float) -> None:
    assert message(quantizer(scale).save(tmp_path / "model.onnx")) == (
        f"scale must be positive and finite, not {scale:g} (node 'quantizer', input 'scale'); "
        "export the model again"
    )


def test_scales_must_match_the_axis(tmp_path: Path) -> None:
    file = quantizer([0.5] * 5, np.zeros(5, np.int8), axis=0)
    assert message(file.save(tmp_path / "model.onnx")) == (
        "scales along axis 0 must be as many as its length, 3, not 5 (node 'quantizer'); "
        "export the model again"
    )


def test_zero_points_must_match_the_scales(tmp_path: Path) -> None:
    file = quantizer([0.5] * 3, np.zeros(2, np.int8), axis=0)
    assert message(file.save(tmp_path / "model.onnx")) == (
        "zero points must be as many as scales, 3, not 2 (node 'quantizer'); export the model again"
    )


def test_zero_point_must_have_the_codes_type(tmp_path: Path) -> None:
    file = OnnxFile()
    scale = file.constant(np.float32(1))
    codes = file.node("QuantizeLinear", [file.input("x", [2]), scale, file.constant(np.int8(0))])
    inputs = [codes, scale, file.constant(np.uint8(0))]
    file.output(file.node("DequantizeLinear", inputs, name="node"))
    assert message(file.save(tmp_path / "model.onnx")) == (
        "zero point must be int8 like the tensor, not uint8 (node 'node')"
    )


def test_zero_point_outside_the_clip(tmp_path: Path) -> None:
    file = OnnxFile()
    parameters = [file.constant(np.float32(1)), file.constant(np.int8(20))]
    codes = file.node("QuantizeLinear", [file.input("x", [2]), *parameters])
    bounds = [file.constant(np.int8(v)) for v in (-8, 7)]
    clipped = file.node("Clip", [codes, *bounds], name="clip")
    file.output(file.node("DequantizeLinear", [clipped, *parameters]))
    assert message(file.save(tmp_path / "model.onnx")) == (
        "zero point must be in the range [-8, 7] that the Clip leaves, not 20 (node 'clip')"
    )


@pytest.mark.parametrize("zero", [300.0, 0.5])
def test_qonnx_zero_point(tmp_path: Path, zero: float) -> None:
    file = OnnxFile()
    inputs = [file.input("x", [2]), *(file.constant(np.float32(v)) for v in (0.5, zero, 8))]
    domain = "qonnx.custom_op.general"
    file.output(file.node("Quant", inputs, name="quant", domain=domain, signed=1, narrow=0))
    assert message(file.save(tmp_path / "model.onnx")) == (
        f"zero point must be a whole number in [-128, 127], not {zero:g} (node 'quant')"
    )


def test_accumulator_overflow(tmp_path: Path) -> None:
    file = OnnxFile()
    writer = Writer(file)
    x = writer.start("x", (1, 140_000), BYTE)
    weights = file.constant(np.full((140_000, 2), 127, np.int8))
    w = writer.dequantize(weights, BYTE)
    y = file.node("MatMul", [x.name, w], name="long")
    file.output(writer.activation(y, BYTE).name)
    assert message(file.save(tmp_path / "model.onnx")) == (
        f"accumulators must stay within int32, at most {2**31 - 1}, and could exceed it in node "
        f"'long' ({140_000 * 127 * 128}); quantize weights or activations to fewer bits"
    )


# What the chip cannot run


def test_not_quantized_at_all(tmp_path: Path) -> None:
    file = OnnxFile()
    weights = file.constant(np.ones((4, 3), np.float32))
    file.output(file.node("MatMul", [file.input("x", [2, 4]), weights]))
    assert message(file.save(tmp_path / "mine.onnx")) == (
        "model must be quantized, not float32 throughout ('mine.onnx'); run: zapdeploy quantize "
        "mine.onnx --weights 8 --activations 8 -o mine-int8.onnx"
    )


def test_all_refusals_in_one_message(tmp_path: Path) -> None:
    file = OnnxFile()
    x = Writer(file).start("x", (2, 4), BYTE)
    weights = file.constant(np.ones((4, 4), np.float32), "w")
    a = file.node("MatMul", [x.name, weights], name="product")
    b = file.node("Det", [a], name="determinant")
    c = file.node("CumSum", [a, file.constant(np.int64(0))], name="sum")
    file.output(c)
    file.output(b)
    path = file.save(tmp_path / "model.onnx")
    assert message(path) == (
        "every node must be one that the chip can run, and 3 nodes cannot: "
        "node 'determinant' (Det): operator Det is not supported; "
        "node 'sum' (CumSum): operator CumSum is not supported; "
        "node 'product' (MatMul): operands must be quantized, not float32 ('w')"
    )
    with pytest.raises(UnsupportedModel) as caught:
        import_model(path)
    outcomes = {d.node: d.outcome.value for d in caught.value.decisions}
    assert [outcomes[name] for name in ("product", "determinant", "sum")] == ["refused"] * 3


REFUSED: dict[str, tuple[OnnxFile, str]] = {}


def refused(name: str, file: OnnxFile, reason: str) -> None:
    REFUSED[name] = (file, reason)


refused(
    "weights only",
    (lambda f: (f.output(f.node("MatMul", [f.input("x", [2, 4]), Writer(f).dequantize(
        f.constant(np.ones((4, 3), np.int8)), BYTE)], name="node")), f)[1])(OnnxFile()),
    "operands must be quantized, not float32 ('x')",
)  # fmt: skip
refused("unknown domain", one_node("Thing", (2, 4), domain="acme"), "operator acme.Thing is not")
refused("indices", one_node("MaxPool", (1, 2, 4, 4), kernel_shape=[2, 2], outputs=["y", "i"]),
        "the indices output must not be used")  # fmt: skip
refused("pad mode", one_node("Pad", (2, 4), np.ones(4, np.int64), mode="reflect"),
        "mode must be constant, not reflect")  # fmt: skip
refused("run-time shape", one_node("Gather", (2, 4), np.asarray([0, 0, 1])),
        "indices must be one number or evenly spaced")  # fmt: skip
refused("training", one_node("BatchNormalization", (1, 1, 4), *np.ones((4, 1), np.float32),
        training_mode=1), "training_mode must be 0; export the model for inference")  # fmt: skip
refused("auto_pad", one_node("MaxPool", (1, 2, 4, 4), kernel_shape=[2, 2], auto_pad="ODD"),
        "auto_pad must be NOTSET, VALID, SAME_UPPER or SAME_LOWER, not ODD")  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path: Path, name: str) -> None:
    file, reason = REFUSED[name]
    assert (
        f"node 'node' ({file.nodes[-1].op_type}" in message(file.save(tmp_path / "model.onnx"))
        or file.nodes[-1].domain
    )
    assert reason in message(file.save(tmp_path / "model.onnx"))


def test_blocked_quantization(tmp_path: Path) -> None:
    file = quantizer(np.full((3, 2), 0.5), np.zeros((3, 2), np.int8), axis=1, block_size=2)
    assert "block_size must be 0: one scale for a tensor or for each index of an axis" in message(
        file.save(tmp_path / "model.onnx")
    )


def test_qonnx_rounding_mode(tmp_path: Path) -> None:
    file = OnnxFile()
    inputs = [file.input("x", [2]), *(file.constant(np.float32(v)) for v in (0.5, 0, 8))]
    domain = "qonnx.custom_op.general"
    file.output(file.node("Quant", inputs, domain=domain, rounding_mode="FLOOR"))
    assert "rounding_mode must be ROUND, not FLOOR" in message(file.save(tmp_path / "model.onnx"))


def test_control_flow(tmp_path: Path) -> None:
    def branch(name: str) -> onnx.GraphProto:
        node = helper.make_node("Identity", ["y"], [name])
        out = helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 4])
        return helper.make_graph([node], name, [], [out])

    file = one_node("Relu", (2, 4))
    condition = file.input("c", [], TensorProto.BOOL)
    file.node("If", [condition], name="if", then_branch=branch("a"), else_branch=branch("b"))
    file.output(file.nodes[-1].output[0])
    assert "node 'if' (If): control flow must be unrolled or resolved before the export" in message(
        file.save(tmp_path / "model.onnx")
    )


def test_weights_with_scales_along_inputs(tmp_path: Path) -> None:
    file = OnnxFile()
    writer = Writer(file)
    x = writer.start("x", (2, 3), BYTE)
    kind = Kind(8, True, np.asarray([0.5, 1, 2]))
    weights = writer.dequantize(file.constant(np.ones((3, 4), np.int8), "w"), kind, axis=0)
    file.output(file.node("MatMul", [x.name, weights]))
    assert "scales of 'w' must run along its output channels, axis 1" in message(
        file.save(tmp_path / "model.onnx")
    )


def test_two_meanings_of_one_tensor(tmp_path: Path) -> None:
    file = OnnxFile()
    zero = file.constant(np.int8(0))
    codes = file.node(
        "QuantizeLinear", [file.input("x", [2]), file.constant(np.float32(1)), zero], "codes"
    )
    file.output(file.node("DequantizeLinear", [codes, file.constant(np.float32(3)), zero]))
    assert "scale and zero point of 'codes' must be the same wherever it is written and read" in (
        message(file.save(tmp_path / "model.onnx"))
    )


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
