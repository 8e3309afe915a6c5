"""Sound models that the chip cannot run: every node and the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.compile.frontend.dialects import (
    Kind,
    Writer,
)
from tests.compile.frontend.messages import BYTE, message, one_node, quantizer
from tests.compile.frontend.onnx_files import OnnxFile
from zapdeploy.compile.frontend import UnsupportedModel, import_model

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
    x = Writer(file).start("x", (1024, 1024), BYTE)
    weights = file.constant(np.ones((1024, 1024), np.float32), "w")
    a = file.node("MatMul", [x.name, weights], name="product")
    b = file.node("Det", [a], name="determinant")
    c = file.node("NonZero", [a], name="places")
    file.output(c)
    file.output(b)
    path = file.save(tmp_path / "model.onnx")
    assert message(path) == (
        "every node must be one that the chip can run, and 3 nodes cannot: "
        "node 'determinant' (Det): operator Det is not supported; "
        "node 'places' (NonZero): operator NonZero is not supported; "
        "node 'product' (MatMul): operands must be quantized, not float32 ('w')"
    )
    with pytest.raises(UnsupportedModel) as caught:
        import_model(path)
    outcomes = {d.node: d.outcome.value for d in caught.value.decisions}
    assert [outcomes[name] for name in ("product", "determinant", "places")] == ["refused"] * 3


def on_codes(op: str, shape: Any, *more: Any, zero: int = 0, **attributes: Any) -> OnnxFile:
    """An operator on int8 codes, between quantizer and dequantizer."""
    file = OnnxFile()
    parameters = [file.constant(np.float32(0.5)), file.constant(np.int8(zero))]
    codes = file.node("QuantizeLinear", [file.input("x", shape), *parameters])
    inputs = [codes, *(m if isinstance(m, str) else file.constant(m) for m in more)]
    result = file.node(op, inputs, "y", name="node", **attributes)
    file.output(file.node("DequantizeLinear", [result, *parameters]))
    return file


def plain_codes(op: str, *more: Any, **attributes: Any) -> OnnxFile:
    """An operator on int8 that no quantizer wrote: a network input, which is dequantized too."""
    file = OnnxFile()
    x = file.input("x", (2, 4), TensorProto.INT8)
    parameters = [file.constant(np.float32(0.5)), file.constant(np.int8(0))]
    inputs = [x, *(file.constant(m) for m in more)]
    file.output(file.node(op, inputs, "y", name="node", **attributes), TensorProto.INT8)
    file.output(file.node("DequantizeLinear", [x, *parameters]))
    return file


def dequantizer(codes: Any, zero: Any, kind: int, **attributes: Any) -> OnnxFile:
    """A dequantizer of a network input of a type."""
    file = OnnxFile(opset=23)
    inputs = [file.input("x", (3, 4), kind), file.constant(codes), file.constant(zero)]
    file.output(file.node("DequantizeLinear", inputs, name="node", **attributes))
    return file


def weights_only() -> OnnxFile:
    file = OnnxFile()
    weights = Writer(file).dequantize(file.constant(np.ones((1024, 1024), np.int8)), BYTE)
    file.output(file.node("MatMul", [file.input("x", [1025, 1024]), weights], name="node"))
    return file


def product(*bias: str, x: Any = BYTE, axis: int = 0, op: str = "Gemm") -> OnnxFile:
    """A product whose bias is a network input, or whose activations have many scales."""
    file = OnnxFile()
    writer = Writer(file)
    parameters = writer.parameters(x)
    codes = file.node("QuantizeLinear", [file.input("x", (2, 4)), *parameters], axis=axis)
    start = file.node("DequantizeLinear", [codes, *parameters], "real", axis=axis)
    weights = writer.dequantize(file.constant(np.ones((4, 3), np.int8)), BYTE)
    for name in bias:
        file.input(name, (3,))
    file.output(file.node(op, [start, weights, *bias], name="node"))
    return file


IMAGE = (1, 2, 4, 4)
ONES = np.ones(2, np.float32)
PER_COLUMN = Kind(8, True, np.asarray([0.5, 1.0, 0.25, 2.0]))
REFUSED: dict[str, tuple[OnnxFile, str]] = {
    "weights only": (weights_only(), "operands must be quantized, not float32 ('x')"),
    "unknown operator": (one_node("Det", (2, 2)), "operator Det is not supported"),
    "unknown domain": (
        one_node("Thing", (2, 4), domain="acme"),
        "operator acme.Thing is not supported",
    ),
    "run-time bias": (product("bias"), "bias 'bias' must be constant"),
    "activations with many scales": (
        product(x=PER_COLUMN, op="MatMul", axis=1),
        "'quantizelinear_2' must have one scale or one along a dimension that is not summed over, "
        "not one along axis 1; quantize it per tensor",
    ),
    "indices": (
        one_node("MaxPool", IMAGE, kernel_shape=[2, 2], outputs=["y", "i"]),
        "the indices output must not be used",
    ),
    "mask": (one_node("Dropout", (2, 4), outputs=["y", "m"]), "the mask output must not be used"),
    "dropout in training": (
        one_node("Dropout", (2, 4), np.float32(0.5), np.asarray(True)),
        "training_mode must be false; export the model for inference",
    ),
    "normalization in training": (
        one_node("BatchNormalization", (1, 2, 4), ONES, ONES, ONES, ONES, training_mode=1),
        "training_mode must be 0; export the model for inference",
    ),
    "normalization of other channels": (
        one_node("BatchNormalization", (1, 3, 4), ONES, ONES, ONES, ONES),
        "parameters must have one entry per channel of [1, 3, 4]",
    ),
    "statistics": (
        one_node("LayerNormalization", (2, 4), np.ones(4, np.float32), outputs=["y", "", "d"]),
        "mean and inverse deviation must not be used as outputs",
    ),
    "pad mode": (
        one_node("Pad", (2, 4), np.ones(4, np.int64), mode="mirror"),
        "mode must be one of constant, reflect, edge, wrap, not mirror",
    ),
    "run-time clip": (one_node("Clip", (2, 4), "x"), "min must be constant, not computed at run"),
    "run-time shape": (one_node("Expand", (2, 4), "x"), "shape must be constant, not computed"),
    "auto_pad": (
        one_node("MaxPool", IMAGE, kernel_shape=[2, 2], auto_pad="ODD"),
        "auto_pad must be NOTSET, VALID, SAME_UPPER or SAME_LOWER, not ODD",
    ),
    "automatic padding of other dimensions": (
        one_node("MaxPool", IMAGE, kernel_shape=[2], auto_pad="SAME_UPPER"),
        "kernel_shape, strides and dilations must have 2 numbers",
    ),
    "negative pads": (
        one_node("MaxPool", IMAGE, kernel_shape=[2, 2], pads=[-1, 0, 0, 0]),
        "pads must not be negative, not [-1, 0, 0, 0]",
    ),
    "pooling of a matrix": (
        one_node("MaxPool", (2, 4), kernel_shape=[2]),
        "input must have at least 3 dimensions, not [2, 4]",
    ),
    "convolution of a matrix": (
        one_node("Conv", (2, 4), np.ones((3, 4), np.float32)),
        "input and weights must have the same 3 to 5 dimensions, not [2, 4] and [3, 4]",
    ),
    "kernel_shape": (
        one_node("Conv", IMAGE, np.ones((3, 2, 2, 2), np.float32), kernel_shape=[3, 3]),
        "kernel_shape must be that of the weights, [2, 2], not [3, 3]",
    ),
    "Gemm of three dimensions": (
        one_node("Gemm", (2, 3, 4), np.ones((4, 5), np.float32)),
        "inputs must be matrices, not [2, 3, 4] and [4, 5]",
    ),
    "missing input": (one_node("Add", (2, 4), ""), "an input that is not optional must be given"),
    "cast to codes": (
        on_codes("Cast", (2, 4), to=TensorProto.INT8),
        "input must not be quantized codes; put a DequantizeLinear before it",
    ),
    "sum of codes": (on_codes("Add", (2, 4), np.int8(1)), "must be float32, not int8"),
    "Relu of shifted codes": (
        on_codes("Relu", (2, 4), zero=3),
        "input must have zero point 0 for a Relu on integers",
    ),
    "pad of codes of unknown scale": (
        plain_codes("Pad", np.ones(4, np.int64)),
        "integers must come from a quantizer with one scale for the tensor",
    ),
    "run-time scale": (
        quantizer("scale"),
        "scale must be constant, not computed at run time ('scale')",
    ),
    "zero point": (
        quantizer(zero=np.float32(0)),
        "zero point must be integers, not float32 ('zero')",
    ),
    "wide codes": (quantizer(zero=np.int32(0)), "zero point must have at most 16 bits"),
    "blocks": (
        quantizer(np.full((3, 2), 0.5), np.zeros((3, 2)), axis=1, block_size=2),
        "block_size must be 0: one scale for a tensor or for each index of an axis",
    ),
    "dequantized to integers": (
        dequantizer(np.float32(1), np.int8(0), TensorProto.INT8, output_dtype=TensorProto.INT8),
        "output_dtype must be float32, not int8",
    ),
    "dequantized numbers": (
        dequantizer(np.float32(1), np.float32(0), TensorProto.FLOAT),
        "zero point must be integers, not float32",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path: Path, name: str) -> None:
    file, reason = REFUSED[name]
    node = next(n for n in file.nodes if n.name in ("node", "quantizer"))
    operator = f"{node.domain}{'.' * bool(node.domain)}{node.op_type}"
    text = message(file.save(tmp_path / "model.onnx"))
    assert f"node '{node.name}' ({operator}): " in text
    assert reason in text


def test_dynamic_quantizer_with_a_missing_output(tmp_path: Path) -> None:
    file = OnnxFile()
    file.node("DynamicQuantizeLinear", [file.input("x", (2,))], outputs=["y"], name="node")
    file.output("y", TensorProto.UINT8)
    assert "node 'node' (DynamicQuantizeLinear): all three outputs must be used" in message(
        file.save(tmp_path / "model.onnx")
    )


def test_codes_computed_at_run_time(tmp_path: Path) -> None:
    """Integers that no quantizer wrote have no scale."""
    file = OnnxFile()
    x = Writer(file).start("x", (2, 3), BYTE)
    parameters = [file.constant(np.float32(1)), file.constant(np.int8(0))]
    whole = file.node("Cast", [x.name], "whole", to=TensorProto.INT8)
    file.output(file.node("DequantizeLinear", [whole, *parameters], name="node"))
    assert "integers 'whole' must come from a quantizer, not Cast" in message(
        file.save(tmp_path / "model.onnx")
    )


def test_control_flow(tmp_path: Path) -> None:
    def branch(name: str) -> onnx.GraphProto:
        node = helper.make_node("Identity", ["y"], [name])
        out = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        return helper.make_graph([node], name, [], [out])

    file = one_node("Relu", (2, 4))
    condition = file.input("c", [], TensorProto.BOOL)
    file.node("If", [condition], name="if", then_branch=branch("a"), else_branch=branch("b"))
    file.output(file.nodes[-1].output[0])
    assert "node 'if' (If): what decides must be known when the network is read" in message(
        file.save(tmp_path / "model.onnx")
    )


def test_weights_with_scales_along_inputs(tmp_path: Path) -> None:
    file = OnnxFile()
    writer = Writer(file)
    x = writer.start("x", (2, 3), BYTE)
    kind = Kind(8, True, np.asarray([0.5, 1, 2]))
    weights = writer.dequantize(file.constant(np.ones((3, 4), np.int8), "w"), kind, axis=0)
    file.output(file.node("MatMul", [x.name, weights]))
    assert "'w' must have one scale or one per output channel, not one along axis 0" in message(
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
