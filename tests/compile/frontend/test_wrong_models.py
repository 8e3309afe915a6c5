"""Models that contradict themselves or their options: one clear line each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.compile.frontend.dialects import (
    Writer,
)
from tests.compile.frontend.messages import BYTE, message, one_node, proto_message, quantizer, valid
from tests.compile.frontend.onnx_files import OnnxFile
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.graph import FLOAT32
from zapdeploy.errors import UsageError

# Shapes and types


def test_dynamic_batch(tmp_path: Path) -> None:
    file = one_node("Relu", ("N", 4))
    path = file.save(tmp_path / "model.onnx")
    assert import_model(path).graph.values["y"].shape == (1, 4)
    assert import_model(path, batch=3).graph.values["y"].shape == (3, 4)


def test_dynamic_length(tmp_path: Path) -> None:
    file = one_node("Relu", (1, "T"))
    expected = (
        "every dimension of the inputs must have a length, and dimension 1 (T) of 'x' has none; "
        "give shape 'x=1,N' with a number for each N"
    )
    path = file.save(tmp_path / "model.onnx")
    assert message(path) == expected
    assert message(path, batch=2) == expected.replace("x=1", "x=2")
    assert import_model(path, shapes={"x": (1, 5)}).graph.values["y"].shape == (1, 5)


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
    assert import_model(path).graph.values["y"].shape == (1, 4)  # 0 is how some write "open"
    path = one_node("Relu", (1, 0)).save(tmp_path / "model.onnx")
    assert "dimension 1 of 'x' has none" in message(path)


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

    proto = valid().model()
    change(proto)
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    read = import_model(path)
    assert read.graph.values["x"].element == FLOAT32
    name = "float64" if kind == "DOUBLE" else kind.lower()
    assert read.notes == (f"{name} is computed in float32 here",)


def test_float16_scales(tmp_path: Path) -> None:
    proto = valid().model()
    for tensor in proto.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float16), tensor.name))
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    assert import_model(path).notes == ("float16 is computed in float32 here",)


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


@pytest.mark.parametrize(("op", "inputs", "wanted"), [("Add", 1, 2), ("Relu", 2, 1)])
def test_number_of_inputs(tmp_path: Path, op: str, inputs: int, wanted: int) -> None:
    file = one_node(op, (2, 4), *["x"] * (inputs - 1))
    assert message(file.save(tmp_path / "model.onnx")) == (
        f"{op} must have {wanted} inputs, not {inputs} (node 'node'); export the model again"
    )


def test_too_few_of_many_inputs(tmp_path: Path) -> None:
    file = one_node("Slice", (2, 4), np.asarray([0]))
    assert message(file.save(tmp_path / "model.onnx")) == (
        "Slice must have 3 to 5 inputs, not 2 (node 'node'); export the model again"
    )


def ints(*values: int) -> Any:
    return np.asarray(values, np.int64)


WRONG: dict[str, tuple[OnnxFile, str]] = {
    "reshape": (
        one_node("Reshape", (2, 4), ints(-1, -1)),
        "shape must have at most one -1, not [-1, -1] (node 'node')",
    ),
    "reshape to another size": (
        one_node("Reshape", (2, 4), ints(3, 3)),
        "shape must hold 8 elements, not [3, 3] (node 'node')",
    ),
    "reshape to nothing": (
        one_node("Reshape", (2, 4), ints(0, -1), allowzero=1),
        "shape must hold 8 elements, not [0, 0] (node 'node')",
    ),
    "squeeze": (
        one_node("Squeeze", (2, 4), ints(1)),
        "squeezed dimensions must have length 1, not [2, 4] along [1] (node 'node')",
    ),
    "axes": (
        one_node("Unsqueeze", (2, 4), ints(5)),
        "axes must be in [-3, 3), not [5] (node 'node')",
    ),
    "transpose": (
        one_node("Transpose", (2, 4), perm=[0, 0]),
        "perm must hold each of 0 to 1 once, not [0, 0] (node 'node')",
    ),
    "concat": (
        one_node("Concat", (2, 4), np.ones((2, 4), np.int32), axis=0),
        "inputs must have one element type (node 'node')",
    ),
    "split": (
        one_node("Split", (2, 4), ints(3, 3), axis=1, outputs=["a", "b"]),
        "split must be 2 lengths that add up to 4, not [3, 3] (node 'node')",
    ),
    "slice": (
        one_node("Slice", (2, 4), ints(0), ints(2), ints(0), ints(0)),
        "steps must not be 0 (node 'node')",
    ),
    "gather": (
        one_node("Gather", (2, 4), np.int64(2)),
        "indices must be less than 2, not 2 (node 'node')",
    ),
    "broadcasting": (
        one_node("Add", (2, 4), np.ones(3, np.float32)),
        "inputs must have shapes that broadcast, not [2, 4], [3] (node 'node')",
    ),
    "groups": (
        one_node("Conv", (1, 4, 5), np.ones((3, 2, 1), np.float32), group=2),
        "channels must be in groups of equal size, not 4 in and 3 out in 2 groups of 2 inputs "
        "(node 'node')",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong(tmp_path: Path, name: str) -> None:
    file, text = WRONG[name]
    assert message(file.save(tmp_path / "model.onnx")) == text


def test_clip_the_wrong_way_round(tmp_path: Path) -> None:
    file = OnnxFile()
    parameters = [file.constant(np.float32(1)), file.constant(np.int8(0))]
    codes = file.node("QuantizeLinear", [file.input("x", [2]), *parameters])
    bounds = [file.constant(np.int8(v)) for v in (5, -5)]
    clipped = file.node("Clip", [codes, *bounds], name="clip")
    file.output(file.node("DequantizeLinear", [clipped, *parameters]))
    assert message(file.save(tmp_path / "model.onnx")) == (
        "Clip's min must be at most its max, not 5 > -5 (node 'clip')"
    )


def test_constants_without_a_result(tmp_path: Path) -> None:
    file = one_node("Relu", (2, 4))
    pair = [file.constant(np.ones((2, 3), np.float32)), file.constant(np.ones(4, np.float32))]
    file.output(file.node("Mul", pair, name="broken"))
    text = message(file.save(tmp_path / "model.onnx"))
    assert text.startswith("constant inputs must have a result, and have none: ")
    assert text.endswith(" (node 'broken', Mul); export the model again")


# Quantizers


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
