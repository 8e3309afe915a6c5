"""Each ONNX operator between quantizers: layer by layer what ONNX Runtime computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compile.frontend.comparing import differences
from tests.compile.frontend.dialects import MICROSOFT, Kind, Writer
from tests.compile.frontend.onnx_files import OnnxFile, reference
from zapdeploy.compile.frontend import Outcome, import_model
from zapdeploy.compile.graph import Graph
from zapdeploy.sim.functional import run

BYTE = Kind(8, True, 2.0**-5, 2)
OUT = Kind(8, True, 2.0**-4, -2)
RNG = np.random.default_rng(9)


def ints(*values: int) -> Any:
    return np.asarray(values, np.int64)


def reals(*shape: int) -> Any:
    return RNG.integers(-16, 17, shape).astype(np.float32) / 8


class Case:
    """x (quantized) -> operator -> quantizer; more inputs are constants, or "x" again."""

    def __init__(self, op: str, shape: tuple[int, ...], *more: Any, **attributes: Any) -> None:
        self.op, self.shape, self.more, self.attributes = op, shape, more, attributes

    def file(self) -> tuple[OnnxFile, tuple[int, ...]]:
        file = OnnxFile(opset=self.attributes.pop("opset", 21))
        writer = Writer(file)
        x = writer.start("x", self.shape, BYTE).name
        more = [x if m is X else "" if m is None else file.constant(m) for m in self.more]
        outputs = self.attributes.get("outputs", ["real"])
        file.node(self.op, [x, *more], name="node", **{**self.attributes, "outputs": outputs})
        for output in filter(None, outputs):
            file.output(writer.activation(output, OUT).name)
        return file, self.shape


X = object()
CASES: dict[str, Callable[[], Case]] = {
    "Abs": lambda: Case("Abs", (2, 5)),
    "Add constant": lambda: Case("Add", (2, 5), reals(5)),
    "AveragePool counts padding": lambda: Case("AveragePool", (1, 2, 6, 6), kernel_shape=[2, 2],
        pads=[1, 1, 0, 0], count_include_pad=1),
    "AveragePool with ceil_mode": lambda: Case("AveragePool", (1, 2, 7, 7), kernel_shape=[2, 2],
        strides=[2, 2], ceil_mode=1),
    "BatchNormalization": lambda: Case("BatchNormalization", (2, 3, 4), reals(3), reals(3),
        reals(3), np.abs(reals(3)) + 1),
    "Clip without bounds": lambda: Case("Clip", (2, 5)),
    "Clip with max": lambda: Case("Clip", (2, 5), None, np.float32(0.7)),
    "Cos": lambda: Case("Cos", (2, 5)),
    "Div": lambda: Case("Div", (2, 5), np.float32([0.5, 2, 4, 0.25, 1])),
    "Dropout": lambda: Case("Dropout", (2, 5), np.float32(0.5)),
    "Erf": lambda: Case("Erf", (2, 5)),
    "Exp": lambda: Case("Exp", (2, 5)),
    "Flatten": lambda: Case("Flatten", (2, 3, 4), axis=-1),
    "Gather one": lambda: Case("Gather", (3, 4, 5), np.int64(-1), axis=1),
    "Gather some": lambda: Case("Gather", (3, 4, 5), ints(0, 2, 4), axis=2),
    "Gelu": lambda: Case("Gelu", (2, 5)),
    "Gelu by tanh": lambda: Case("Gelu", (2, 5), approximate="tanh"),
    "GlobalMaxPool": lambda: Case("GlobalMaxPool", (1, 3, 4, 4)),
    "HardSigmoid": lambda: Case("HardSigmoid", (2, 5), alpha=0.25),
    "HardSwish": lambda: Case("HardSwish", (2, 5)),
    "Identity": lambda: Case("Identity", (2, 5)),
    "LayerNormalization": lambda: Case("LayerNormalization", (2, 3, 8), reals(8), reals(8)),
    "LeakyRelu": lambda: Case("LeakyRelu", (2, 5), alpha=0.25),
    "LogSoftmax": lambda: Case("LogSoftmax", (2, 5, 3), axis=1),
    "Max of three": lambda: Case("Max", (2, 5), reals(5), reals(2, 1)),
    "MaxPool with dilation": lambda: Case("MaxPool", (1, 2, 9, 9), kernel_shape=[2, 3],
        dilations=[2, 1], strides=[2, 1], pads=[0, 1, 1, 1]),
    "MaxPool with ceil_mode": lambda: Case("MaxPool", (1, 2, 7), kernel_shape=[2], strides=[2],
        ceil_mode=1),
    "MaxPool same": lambda: Case("MaxPool", (1, 2, 7, 8), kernel_shape=[3, 3], strides=[2, 2],
        auto_pad="SAME_LOWER"),
    "Min": lambda: Case("Min", (2, 5), reals(5)),
    "Mul itself": lambda: Case("Mul", (2, 5), X),
    "Neg": lambda: Case("Neg", (2, 5)),
    "Pad": lambda: Case("Pad", (2, 5), ints(0, 1, 2, 0)),
    "Pad axes": lambda: Case("Pad", (2, 5, 3), ints(1, 2), np.float32(0.5), ints(-2)),
    "Pow": lambda: Case("Pow", (2, 5), np.float32(2)),
    "ReduceMean old": lambda: Case("ReduceMean", (2, 3, 4, 8), axes=[2, 3], opset=17),
    "ReduceMean": lambda: Case("ReduceMean", (2, 3, 8), ints(-1), keepdims=0),
    "ReduceMean of all": lambda: Case("ReduceMean", (2, 4), keepdims=1),
    "ReduceMax": lambda: Case("ReduceMax", (2, 3, 8), ints(-1)),
    "ReduceMin old": lambda: Case("ReduceMin", (2, 3, 8), axes=[0, 2], keepdims=0, opset=17),
    "ReduceSum": lambda: Case("ReduceSum", (2, 3, 8), ints(1, 2)),
    "Relu": lambda: Case("Relu", (2, 5)),
    "Reshape with 0": lambda: Case("Reshape", (2, 3, 4), ints(0, -1)),
    "RMSNormalization": lambda: Case("RMSNormalization", (2, 3, 8), reals(8), opset=23),
    "Sigmoid": lambda: Case("Sigmoid", (2, 5)),
    "Sin": lambda: Case("Sin", (2, 5)),
    "Slice": lambda: Case("Slice", (4, 9), ints(1, -1), ints(4, -9), ints(0, 1), ints(1, -2)),
    "Slice to the front": lambda: Case("Slice", (4, 9), ints(8), ints(-100), ints(1), ints(-1)),
    "Softmax": lambda: Case("Softmax", (2, 5, 3), axis=1),
    "Softplus": lambda: Case("Softplus", (2, 5)),
    "Split": lambda: Case("Split", (2, 7), ints(3, 4), axis=1, outputs=["a", "b"]),
    "Split evenly": lambda: Case("Split", (2, 7), axis=-1, num_outputs=3, outputs=["a", "b", "c"]),
    "Squeeze": lambda: Case("Squeeze", (2, 1, 3, 1), ints(-1)),
    "Squeeze all": lambda: Case("Squeeze", (2, 1, 3, 1)),
    "Sub": lambda: Case("Sub", (2, 5), reals(2, 5)),
    "Swish": lambda: Case("Swish", (2, 5), alpha=1.5, opset=24),
    "Tanh": lambda: Case("Tanh", (2, 5)),
    "Transpose": lambda: Case("Transpose", (2, 3, 4)),
    "Unsqueeze": lambda: Case("Unsqueeze", (2, 3), ints(0, -1)),
}  # fmt: skip


def compare(tmp_path: Path, file: OnnxFile, shapes: dict[str, Any], steps: int = 1) -> Graph:
    """Import, run layer by layer and as a whole; at most `steps` of difference anywhere."""
    path = file.save(tmp_path / "model.onnx")
    graph = import_model(path).graph
    rng = np.random.default_rng(0)
    inputs = {n: rng.normal(0, 2, shape).astype(np.float32) for n, shape in shapes.items()}
    for difference in differences(graph, file.model(), inputs):
        limit = steps if difference.integer else 2e-5
        assert difference.largest <= limit, difference
    outputs, expected = run(graph, inputs), reference(file.model(), inputs)
    for name, array in outputs.items():
        assert array.size == expected[name].size
    return graph


@pytest.mark.parametrize("name", CASES)
def test_operator(tmp_path: Path, name: str) -> None:
    file, shape = CASES[name]().file()
    graph = compare(tmp_path, file, {"x": shape})
    decisions = import_model(tmp_path / "model.onnx").decisions
    assert not any(d.outcome is Outcome.REFUSED for d in decisions)
    floats = [v.name for v in graph.values.values() if v.element.kind == "float"]
    made = {*graph.inputs, *graph.outputs, "real_scaled"}
    assert all(n in made or graph.values[n].is_constant for n in floats)


def product(op: str, shape: Any, weights: Any, *more: Any, **attributes: Any) -> OnnxFile:
    """x (quantized), a product with quantized weights, a quantizer."""
    file = OnnxFile()
    writer = Writer(file)
    x = writer.start("x", shape, BYTE).name
    codes = np.random.default_rng(3).integers(-128, 128, weights).astype(np.int8)
    w = writer.dequantize(file.constant(codes), Kind(8, True, 2.0**-7))
    inputs = [w, x] if attributes.pop("reverse", False) else [x, w]
    real = file.node(op, [*inputs, *(file.constant(m) for m in more)], name="node", **attributes)
    file.output(writer.activation(real, Kind(8, True, 0.25)).name)
    return file


PRODUCTS: dict[str, Callable[[], tuple[OnnxFile, Any]]] = {
    "Conv 1-D": lambda: (product("Conv", (2, 3, 9), (4, 3, 3)), (2, 3, 9)),
    "Conv 3-D": lambda: (product("Conv", (1, 2, 4, 5, 4), (3, 2, 2, 3, 1)), (1, 2, 4, 5, 4)),
    "Conv same upper": lambda: (
        product("Conv", (1, 2, 7, 8), (3, 2, 3, 2), auto_pad="SAME_UPPER", strides=[2, 3]),
        (1, 2, 7, 8),
    ),
    "Conv same lower": lambda: (
        product("Conv", (1, 2, 7, 8), (3, 2, 2, 2), auto_pad="SAME_LOWER"),
        (1, 2, 7, 8),
    ),
    "Conv valid": lambda: (
        product("Conv", (1, 2, 7, 8), (3, 2, 2, 2), auto_pad="VALID"),
        (1, 2, 7, 8),
    ),
    "Gemm": lambda: (product("Gemm", (3, 4), (4, 5), reals(5)), (3, 4)),
    "Gemm transposed": lambda: (
        product("Gemm", (4, 3), (5, 4), reals(1, 5), transA=1, transB=1),
        (4, 3),
    ),
    "Gemm scaled": lambda: (
        product("Gemm", (3, 4), (4, 5), reals(5), alpha=0.5, beta=2.0),
        (3, 4),
    ),
    "Gemm with a scalar": lambda: (
        product("Gemm", (3, 4), (4, 5), np.float32(0.5)),
        (3, 4),
    ),
    "Gemm with a matrix": lambda: (product("Gemm", (3, 4), (4, 5), reals(3, 5)), (3, 4)),
    "Gemm without C": lambda: (product("Gemm", (3, 4), (4, 5), reals(5), beta=0.0), (3, 4)),
    "MatMul": lambda: (product("MatMul", (2, 3, 4), (4, 5)), (2, 3, 4)),
    "MatMul of matrices": lambda: (product("MatMul", (2, 3, 4), (2, 4, 5)), (2, 3, 4)),
    "MatMul with weights first": lambda: (
        product("MatMul", (2, 3, 4), (5, 3), reverse=True),
        (2, 3, 4),
    ),
    "vector times matrix": lambda: (product("MatMul", (4,), (4, 5)), (4,)),
    "matrix times vector": lambda: (product("MatMul", (3, 4), (4,)), (3, 4)),
    "vector times vector": lambda: (product("MatMul", (4,), (4,)), (4,)),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_product(tmp_path: Path, name: str) -> None:
    file, shape = PRODUCTS[name]()
    graph = compare(tmp_path, file, {"x": shape}, steps=0)
    ops = [node.op for node in graph.nodes]
    assert ops.count("Conv") + ops.count("MatMul") == 1


def test_product_of_two_activations(tmp_path: Path) -> None:
    """Attention: both operands are computed."""
    file = OnnxFile()
    writer = Writer(file)
    a, b = writer.start("a", (2, 3, 4), BYTE), writer.start("b", (2, 5, 4), BYTE)
    turned = file.node("Transpose", [b.name], perm=[0, 2, 1])
    real = file.node("MatMul", [a.name, turned])
    scores = writer.activation(real, Kind(8, True, 0.5))
    soft = writer.activation(file.node("Softmax", [scores.name]), Kind(8, False, 2.0**-8))
    mixed = file.node("MatMul", [soft.name, b.name])
    file.output(writer.activation(mixed, OUT).name)
    graph = compare(tmp_path, file, {"a": (2, 3, 4), "b": (2, 5, 4)})
    assert [n.op for n in graph.nodes].count("MatMul") == 2


def test_operators_on_codes(tmp_path: Path) -> None:
    """MaxPool, Concat, Transpose, Slice, Pad, Relu and Clip between quantizer and dequantizer."""
    file, kind = OnnxFile(), Kind(8, True, 2.0**-5)
    parameters = Writer(file).parameters(kind)
    x = file.node("QuantizeLinear", [file.input("x", (1, 2, 6, 6)), *parameters])
    a = file.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    b = file.node("Transpose", [a], perm=[0, 1, 3, 2])
    c = file.node("Concat", [a, b], axis=1)
    d = file.node("Relu", [c])
    e = file.node(
        "Pad", [d, file.constant(ints(0, 0, 1, 1, 0, 0, 0, 0)), file.constant(np.int8(3))]
    )
    f = file.node("Clip", [e, file.constant(np.int8(-8)), file.constant(np.int8(7))])
    g = file.node("Reshape", [f, file.constant(ints(1, -1))])
    file.output(file.node("DequantizeLinear", [g, *parameters]))
    graph = compare(tmp_path, file, {"x": (1, 2, 6, 6)}, steps=0)
    assert graph.values[g].element.name == "int4"


def test_operators_of_onnx_runtime(tmp_path: Path) -> None:
    file = OnnxFile()
    writer = Writer(file)
    x = writer.start("x", (2, 5), BYTE)
    bias = file.constant(reals(5))
    for op, inputs in (("Gelu", [x.name]), ("FastGelu", [x.name]), ("FastGelu", [x.name, bias])):
        file.output(writer.activation(file.node(op, inputs, domain=MICROSOFT), OUT).name)
    graph = compare(tmp_path, file, {"x": (2, 5)})
    assert [n.op for n in graph.nodes].count("Gelu") == 3


def test_gemm_with_c_computed_at_run_time(tmp_path: Path) -> None:
    file = OnnxFile()
    writer = Writer(file)
    x, c = writer.start("x", (3, 4), BYTE), writer.start("c", (3, 5), BYTE)
    weights = writer.dequantize(file.constant(np.ones((4, 5), np.int8)), BYTE)
    real = file.node("Gemm", [x.name, weights, c.name], beta=2.0)
    file.output(writer.activation(real, Kind(8, True, 0.25)).name)
    graph = compare(tmp_path, file, {"x": (3, 4), "c": (3, 5)}, steps=0)
    assert [n.op for n in graph.nodes if n.op not in ("Quantize", "Dequantize")] == [
        "Mul", "MatMul", "Add",
    ]  # fmt: skip


def test_quantizer_without_a_zero_point(tmp_path: Path) -> None:
    """uint8 unless output_dtype says otherwise."""
    for attributes, name in (({}, "uint8"), ({"output_dtype": 3}, "int8")):
        file = OnnxFile()
        scale = file.constant(np.float32(0.5))
        q = file.node("QuantizeLinear", [file.input("x", (9,)), scale], "q", **attributes)
        file.output(file.node("DequantizeLinear", [q, scale]))
        graph = compare(tmp_path, file, {"x": (9,)}, steps=0)
        assert graph.values["q"].element.name == name


def test_runtime_cast(tmp_path: Path) -> None:
    file = OnnxFile()
    x = Writer(file).start("x", (2, 3), BYTE)
    whole = file.node("Cast", [x.name], to=7)
    file.output(file.node("Cast", [whole], to=1))
    graph = compare(tmp_path, file, {"x": (2, 3)}, steps=0)
    assert [n.op for n in graph.nodes] == ["Quantize", "Dequantize", "Cast", "Cast"]


def test_split_with_an_unused_output(tmp_path: Path) -> None:
    """Checked by hand: ONNX Runtime ends the process on an unnamed output."""
    file = OnnxFile()
    x = Writer(file).start("x", (1, 4), Kind(8, True, 1.0))
    file.node("Split", [x.name], axis=1, num_outputs=2, outputs=["", "b"])
    file.output("b")
    graph = import_model(file.save(tmp_path / "model.onnx")).graph
    assert [node.op for node in graph.nodes] == ["Quantize", "Slice", "Dequantize"]
    (output,) = run(graph, {"x": np.float32([[1, 2, 3, 4]])}).values()
    assert output.tolist() == [[3, 4]]
