"""Which of ONNX Runtime's computations judges a tensor, and that faults are found by each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.compile.frontend.onnx_files import OnnxFile
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.graph import Graph
from zapdeploy.sim import check as checking
from zapdeploy.sim.check import check, reference_inputs
from zapdeploy.sim.reference import FLOAT, INTEGER, kernels_of, one_layer


def pooled(path: Path) -> Path:
    """ceil_mode and count_include_pad: the last window reaches beyond the padding, which ONNX
    leaves out of the mean and QLinearAveragePool counts."""
    file = OnnxFile(opset=19)
    x = file.input("x", [1, 3, 9, 7])
    scale, zero = file.constant(np.float32(0.02)), file.constant(np.uint8(128))
    d = quantized(file, x, scale, zero)
    p = file.node("AveragePool", [d], kernel_shape=[7, 3], strides=[3, 2], pads=[3, 1, 3, 0],
                  ceil_mode=1, count_include_pad=1)  # fmt: skip
    file.output(quantized(file, p, file.constant(np.float32(0.01)), zero))
    return file.save(path)


def quantized(file: OnnxFile, x: str, scale: str, zero: str) -> str:
    q = file.node("QuantizeLinear", [x, scale, zero])
    return file.node("DequantizeLinear", [q, scale, zero])


def samples(graph: Graph) -> dict[str, np.ndarray]:
    return reference_inputs(graph, seed=3)


def test_a_kernel_that_strays_from_onnx_judges_nothing(tmp_path: Path) -> None:
    path = pooled(tmp_path / "pool.onnx")
    graph = import_model(path).graph
    found = check(graph, path, samples(graph))
    assert found.passed, found.failures
    assert found.reference == INTEGER
    (note,) = found.notes
    assert "is judged by ONNX's definition (optimizations off): ONNX Runtime's" in note
    assert "QLinearAveragePool strays from it in" in note
    assert found.as_json()["notes"] == [note]


def test_our_own_faults_are_found_where_the_definition_judges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pooled(tmp_path / "pool.onnx")
    graph = import_model(path).graph
    right = checking.run_node

    def wrong(graph: Graph, node, values):
        found = right(graph, node, values)
        if node.op != "AveragePool":
            return found
        return {name: np.where(a > 100, a - 3, a).astype(a.dtype) for name, a in found.items()}

    monkeypatch.setattr(checking, "run_node", wrong)
    assert not check(graph, path, samples(graph)).passed


def test_a_kernel_that_does_not_stray_stays_the_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One element in a thousand, one step off: the definition could not tell, the kernel does."""
    file = OnnxFile(opset=19)
    x, zero = file.input("x", [64, 32]), file.constant(np.uint8(128))
    d = quantized(file, x, file.constant(np.float32(0.02)), zero)
    w = file.constant(np.random.default_rng(0).integers(-99, 99, (32, 32)).astype(np.int8))
    dw = file.node("DequantizeLinear", [w, file.constant(np.float32(0.01))])
    y = file.node("MatMul", [d, dw])
    file.output(quantized(file, y, file.constant(np.float32(0.3)), zero))
    path = file.save(tmp_path / "matmul.onnx")
    graph = import_model(path).graph
    assert check(graph, path, samples(graph)).passed
    right = checking.run_node

    def one_step_off(graph: Graph, node, values):
        found = right(graph, node, values)
        if node.op == "MatMul":
            (array,) = found.values()
            array.flat[0] += 1
        return found

    monkeypatch.setattr(checking, "run_node", one_step_off)
    found = check(graph, path, samples(graph))
    assert not found.passed
    assert not found.notes


def test_what_integer_kernels_refuse_is_judged_without_optimizations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zapdeploy.errors import ModelError
    from zapdeploy.sim import reference

    path = pooled(tmp_path / "pool.onnx")
    graph, opened = import_model(path).graph, reference.open_session

    def refusing(model, purpose, **more):
        if purpose is reference.Purpose.INTEGER:
            raise ModelError("no such kernel")
        return opened(model, purpose, **more)

    monkeypatch.setattr(reference, "open_session", refusing)
    found = check(graph, path, samples(graph))
    assert (found.passed, found.reference) == (True, FLOAT)
    assert found.notes == ("its integer kernels do not run: no such kernel",)


def test_numbers_in_half_precision_are_compared_in_half_precision() -> None:
    ours = np.float32([0.1, 1000.3, -2.5])
    same = checking._steps
    graph = Graph.__new__(Graph)
    theirs = ours.astype(np.float16).astype(np.float32)
    node = replace_node()
    assert not same(graph, node, ours, theirs).any()
    assert same(graph, node, ours, theirs + np.float32([0, 1, 0])).any()


@pytest.mark.filterwarnings("error")
def test_numbers_beyond_half_precision_are_compared_without_a_warning() -> None:
    theirs = np.float32([1e6, 2.0])
    assert not checking._steps(Graph.__new__(Graph), replace_node(), theirs, theirs).any()


def replace_node():
    from zapdeploy.compile.graph import Node

    return Node("n", "Add", ("",), ("y",))


def test_one_layer_is_the_piece_between_known_tensors() -> None:
    nodes = [
        helper.make_node("Add", ["x", "one"], ["a"]),
        helper.make_node("Mul", ["a", "two"], ["b"]),
        helper.make_node("Sub", ["b", "a"], ["c"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "three",
        [value("x", TensorProto.FLOAT, [2])],
        [value("c", TensorProto.FLOAT, [2])],
        [numpy_helper.from_array(np.float32(n), k) for k, n in (("one", 1), ("two", 2))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = np.float32([1, 2])
    found = one_layer(model, Path(), "c", {"x": x})
    np.testing.assert_array_equal(found, (x + 1) * 2 - (x + 1))
    known = {"x": x, "b": np.float32([7, 7]), "a": np.float32([1, 1])}
    np.testing.assert_array_equal(one_layer(model, Path(), "c", known), [6, 6])
    broken = onnx.ModelProto()
    broken.CopyFrom(model)
    broken.graph.node[2].op_type = "NoSuch"
    assert one_layer(broken, Path(), "c", {"x": x}) is None


def test_random_integers_reach_every_place_that_can_be_gathered(tmp_path: Path) -> None:
    file = OnnxFile(opset=17)
    x = file.input("x", [40, 8])
    indices = file.input("i", [500], TensorProto.INT64)
    d = quantized(file, x, file.constant(np.float32(0.02)), file.constant(np.uint8(128)))
    file.output(file.node("Gather", [d, indices], axis=0))
    graph = import_model(file.save(tmp_path / "gather.onnx")).graph
    drawn = reference_inputs(graph)["i"]
    assert drawn.min() < -30
    assert drawn.max() > 30
    assert set(drawn) <= set(range(-40, 40))


def test_a_tensor_joined_of_several_products_is_made_by_their_kernel() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("QuantizeLinear", ["c", "s", "z"], ["q"]),
        helper.make_node("QLinearConcat", ["s", "z", "q", "s", "z", "q", "s", "z"], ["t"], axis=1),
        helper.make_node("Reshape", ["t", "shape"], ["r"]),
        helper.make_node("Gather", ["r", "order"], ["y"], axis=1),
    ]
    graph = helper.make_graph(nodes, "parts", [], [])
    assert kernels_of(graph, ["y"]) == {"y": "Gather"}
    assert kernels_of(graph, ["y"], ["y"]) == {"y": "Conv, QuantizeLinear"}
