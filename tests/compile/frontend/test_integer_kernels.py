"""A sum, product or mean has the formula of an integer kernel only where ONNX Runtime uses one.

Scales are chosen so that ties are many: one step decides which formula it was.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.compile.frontend.onnx_files import Array, OnnxFile, reference
from zapdeploy.compile.frontend import import_model
from zapdeploy.sim.functional import run

OPERATORS = ("Add", "Mul", "AveragePool", "GlobalAveragePool")
# What stands between an operator and the quantizer, or the dequantizer, in the file.
BETWEEN = (
    *("nothing", "Reshape", "Flatten", "Transpose", "Unsqueeze", "Slice", "MaxPool", "Identity"),
    *("Relu", "Clip", "wide Clip", "Relu, Reshape", "Reshape, Relu", "Gather", "Concat", "Split"),
)
FEWER_DIMENSIONS = ("Reshape", "Flatten", "Unsqueeze", "Relu, Reshape", "Reshape, Relu")
TYPES = {"uint8": 0, "uint8 centred": 128, "int8": 0, "int8 odd": 3, "uint8 odd": 55}


def through(file: OnnxFile, x: str, step: str) -> str:
    for op in step.split(", "):
        x = _through_one(file, x, op)
    return x


def _through_one(file: OnnxFile, x: str, op: str) -> str:
    def numbers(*values: int) -> str:
        return file.constant(np.array(values, np.int64))

    if op == "nothing":
        return x
    if op == "Reshape":
        return file.node("Reshape", [x, numbers(0, 0, -1)])
    if op == "Transpose":
        return file.node("Transpose", [x], perm=[0, 2, 1, 3])
    if op == "Unsqueeze":
        return file.node("Unsqueeze", [x, numbers(0)])
    if op == "Slice":
        return file.node("Slice", [x, numbers(0), numbers(2), numbers(1)])
    if op == "MaxPool":
        return file.node("MaxPool", [x], kernel_shape=[1, 1])
    if op in ("Clip", "wide Clip"):
        low, high = (0, 6) if op == "Clip" else (-1000, 1000)
        return file.node("Clip", [x, *(file.constant(np.float32(b)) for b in (low, high))])
    if op == "Gather":
        return file.node("Gather", [x, numbers(1, 0)], axis=1)
    if op == "Concat":
        return file.node("Concat", [x, x], axis=1)
    if op == "Split":
        halves = [file.fresh("half"), file.fresh("other_half")]
        return file.node("Split", [x], outputs=halves, axis=1, num_outputs=2)
    return file.node(op, [x])


def network(op: str, before: str, behind: str, kind: str) -> OnnxFile:
    file, dtype = OnnxFile(opset=18), np.dtype(kind.split()[0])
    zero = file.constant(np.asarray(TYPES[kind], dtype), "zero")
    # ONNX Runtime sums a window in an order of its own; of these, every order is exact.
    exact = op in ("AveragePool", "Sum", "Mean")
    values = (2**-4, 2**-4, 2**-3) if exact else (0.05, 0.06, 0.08)
    scales = [file.constant(np.float32(s), f"scale_{i}") for i, s in enumerate(values)]

    def operand(name: str, scale: str) -> str:
        codes = file.node("QuantizeLinear", [file.input(name, (1, 4, 8, 8)), scale, zero])
        return through(file, file.node("DequantizeLinear", [codes, scale, zero]), before)

    operands = [operand("a", scales[0])]
    if op in ("Add", "Mul", "Sum", "Mean"):
        operands.append(operand("b", scales[1]))
    windows = {"kernel_shape": [2, 2], "strides": [2, 2]} if op == "AveragePool" else {}
    found = through(file, file.node(op, operands, **windows), behind)
    codes = file.node("QuantizeLinear", [found, scales[2], zero])
    file.output(file.node("DequantizeLinear", [codes, scales[2], zero]))
    return file


def optimized(model: onnx.ModelProto, inputs: dict[str, Array]) -> Array:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, inputs)[0])


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("place", ["before", "behind"])
@pytest.mark.parametrize("between", BETWEEN)
def test_formula_is_that_of_the_file(tmp_path: Path, op: str, place: str, between: str) -> None:
    """Equal to ONNX Runtime in every element: with its optimizations; of signed integers, of which
    they make unsigned ones with yet another rounding, without."""
    if op.endswith("Pool") and place == "before" and between in FEWER_DIMENSIONS:
        pytest.skip("pools want four dimensions")
    for kind in TYPES:
        steps = {"before": "nothing", "behind": "nothing", place: between}
        file = network(op, steps["before"], steps["behind"], kind)
        path = file.save(tmp_path / "model.onnx")
        inputs = drawn(file)
        (found,) = run(import_model(path).graph, inputs).values()
        (real,) = reference(path, inputs).values()
        expected = real if kind.startswith("int8") else optimized(file.model(), inputs)
        np.testing.assert_array_equal(found, expected, err_msg=kind)


@pytest.mark.parametrize("op", ["Sum", "Mean"])
@pytest.mark.parametrize("kind", TYPES)
def test_parts_of_other_operators_have_no_integer_kernels(
    tmp_path: Path, op: str, kind: str
) -> None:
    """A sum of two is an addition on the chip, but not to ONNX Runtime: where the zero point is
    odd, its quantizer rounds ties the other way."""
    file = network(op, "nothing", "nothing", kind)
    path, inputs = file.save(tmp_path / "model.onnx"), drawn(file)
    (found,) = run(import_model(path).graph, inputs).values()
    (real,) = reference(path, inputs).values()
    np.testing.assert_array_equal(found, real)
    np.testing.assert_array_equal(found, optimized(file.model(), inputs))


def drawn(file: OnnxFile) -> dict[str, Array]:
    random = np.random.default_rng(5)
    return {v.name: random.normal(0, 2, (1, 4, 8, 8)).astype(np.float32) for v in file.inputs}


@pytest.mark.parametrize("shared", [True, False])
def test_two_quantizers_of_one_sum(tmp_path: Path, shared: bool) -> None:
    """Quantizers of equal parameters are one where the file gives them the same names."""
    file = network("Add", "nothing", "nothing", "uint8")
    total = file.nodes[-3].output[0]
    scale, zero = "scale_2", "zero"
    if not shared:
        scale, zero = file.constant(np.float32(0.08)), file.constant(np.uint8(0))
    again = file.node("QuantizeLinear", [total, scale, zero])
    file.output(file.node("DequantizeLinear", [again, scale, zero]))
    path = file.save(tmp_path / "model.onnx")
    inputs = drawn(file)
    for found in run(import_model(path).graph, inputs).values():
        np.testing.assert_array_equal(found, optimized(file.model(), inputs))
