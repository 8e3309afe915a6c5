"""Ours against ONNX Runtime's: what passes, what fails, and what is said about it."""

from __future__ import annotations

import collections
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.compile.ops.build import (
    INT4,
    INT8,
    UINT8,
    call,
    convolution,
    graph,
    plain,
    quantized,
    weights,
)
from tests.sim.networks import EIGHT_BITS, FOUR_BITS, renamed, residual_network, save
from zapdeploy.compile.graph import Array, ElementType, Graph, Value
from zapdeploy.errors import DataError, ModelError
from zapdeploy.onnxruntime_sessions import Purpose, open_session
from zapdeploy.sim.check import CheckResult, check, reference_inputs
from zapdeploy.sim.reference import FLOAT, INTEGER, expose, reference


def checked(made: Graph, folder: Path, *, packed: bool = False, seed: int = 0) -> CheckResult:
    return check(made, save(made, folder, packed=packed), reference_inputs(made, seed))


@pytest.mark.parametrize("seed", range(3))
def test_eight_bits_equal_the_integer_kernels(tmp_path: Path, seed: int) -> None:
    """Layer by layer and from end to end, in every bit."""
    result = checked(residual_network(*EIGHT_BITS, seed=seed), tmp_path, seed=seed)
    assert result.passed
    assert result.failures == ()
    assert result.reference == INTEGER == "onnxruntime integer kernels"
    assert [c.different for c in result.nodes] == [0] * 9
    assert [c.different for c in result.free_running] == [0] * 9
    kernels = {c.name: c.kernel for c in result.nodes}
    assert kernels["a"] == "QLinearConv"
    assert kernels["s"] == "QLinearAdd"
    assert kernels["g"] == "QLinearGlobalAveragePool"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_four_bits_follow_the_float_reference(tmp_path: Path, packed: bool, seed: int) -> None:
    result = checked(residual_network(*FOUR_BITS, seed=seed), tmp_path, packed=packed, seed=seed)
    assert result.passed
    assert result.reference == FLOAT == "onnxruntime float, optimizations off"
    assert all(c.max_lsb <= 1 for c in result.nodes)


@pytest.mark.parametrize("packed", [False, True])
def test_powers_of_two_leave_no_difference(tmp_path: Path, packed: bool) -> None:
    made = residual_network(*FOUR_BITS, power_of_two=True)
    result = checked(made, tmp_path, packed=packed)
    assert result.passed
    assert sum(c.different for c in (*result.nodes, *result.free_running)) == 0


def test_four_bit_weights_with_eight_bit_activations(tmp_path: Path) -> None:
    """ONNX Runtime adds and pools in integers, multiplies in float32: each by its own rule."""
    result = checked(residual_network(UINT8, INT4), tmp_path, packed=True)
    assert result.passed
    assert result.reference == INTEGER
    kernels = {c.name: c.kernel for c in result.nodes}
    assert kernels["s"] == "QLinearAdd"
    assert kernels["a"] == "Conv, QuantizeLinear"


def test_json(tmp_path: Path) -> None:
    found = checked(residual_network(), tmp_path).as_json()
    assert found["elements"] == found["equal"] == 10
    assert found["max_lsb"] == 0
    assert found["reference"] == INTEGER
    assert found["passed"] is True
    assert found["nodes"][1] == {
        "name": "a", "elements": 1152, "equal": 1152, "max_lsb": 0.0, "op": "Conv",
        "kernel": "QLinearConv",
    }  # fmt: skip


def test_outputs_only(tmp_path: Path) -> None:
    made = residual_network()
    result = check(made, save(made, tmp_path), reference_inputs(made), level="outputs")
    assert result.passed
    assert [c.name for c in result.outputs] == ["out"]
    assert result.nodes == result.free_running == ()


def with_a_wrong_weight(made: Graph) -> Graph:
    """Another code for the centre of the first kernel of layer a."""
    value = made.values["wa"]
    assert value.data is not None
    data = value.data.copy()
    data[0, 0, 1, 1] = 3 if data[0, 0, 1, 1] < 0 else -4
    return replace(made, values=dict(made.values) | {"wa": replace(value, data=data)})


def test_a_wrong_layer_is_found_and_named(tmp_path: Path) -> None:
    made = residual_network()
    path = save(made, tmp_path)
    result = check(with_a_wrong_weight(made), path, reference_inputs(made))
    assert not result.passed
    (wrong,) = [c for c in result.nodes if c.different]
    assert wrong.name == "a"
    assert result.failures[-1] == (
        f"'a' must equal the reference's QLinearConv, not differ in {wrong.different:,} of 1,152 "
        f"elements by up to {wrong.max_lsb:g} steps (operator Conv)"
    )
    out = result.outputs[0]
    assert result.failures[:-1] == (
        f"output 'out' must equal the reference, not differ in {out.different:,} of 10 elements "
        f"by up to {out.max_lsb:g} steps",
    )
    assert {c.name for c in result.free_running if c.different} >= {"a", "b", "s", "out"}
    assert result.as_json()["passed"] is False


def test_a_wrong_layer_of_a_float_reference(tmp_path: Path) -> None:
    made = residual_network(*FOUR_BITS)
    path = save(made, tmp_path)
    result = check(with_a_wrong_weight(made), path, reference_inputs(made))
    assert not result.passed
    (failure,) = result.failures
    assert failure.startswith(
        "'a' must differ in at most 2 elements by one step from the reference's "
        "Conv, QuantizeLinear, not differ in "
    )


def kernels_after_optimization(model: onnx.ModelProto, folder: Path) -> collections.Counter[str]:
    open_session(model, Purpose.INTEGER, optimized=folder / "optimized.onnx")
    optimized = onnx.load(folder / "optimized.onnx")
    return collections.Counter(node.op_type for node in optimized.graph.node)


def without_layout(kernels: collections.Counter[str]) -> collections.Counter[str]:
    """An exposed tensor is transposed back, or pooled in its own layout."""
    found: collections.Counter[str] = collections.Counter()
    for name, count in kernels.items():
        found[name.removeprefix("Nhwc")] += count
    del found["Transpose"]
    return found


def test_exposing_tensors_leaves_the_integer_kernels(tmp_path: Path) -> None:
    made = residual_network()
    path = save(made, tmp_path)
    before = kernels_after_optimization(onnx.load(path), tmp_path)
    model = onnx.load(path)
    names = [n for node in made.nodes for n in node.outputs]
    assert expose(model, names, cast=False) == {n: n for n in names}
    after = kernels_after_optimization(model, tmp_path)
    assert without_layout(before) == without_layout(after)
    assert before["QLinearConv"] == 2


def test_narrow_types_come_out_as_bytes(tmp_path: Path) -> None:
    made = residual_network(*FOUR_BITS)
    judge = reference(made, save(made, tmp_path, packed=True), reference_inputs(made))
    assert judge.values["a"].dtype == np.uint8
    assert judge.values["a"].max() <= 15


def function(op: str, y: Value, x: Value | None = None) -> Graph:
    x = x or quantized("x", (4, 50, 30), UINT8, 0.05, 128)
    attributes = {"axis": -1} if op == "Softmax" else {}
    return renamed(graph(call(op, [x], y, **attributes)))


def test_an_approximate_kernel_may_be_one_step_away(tmp_path: Path) -> None:
    """ONNX Runtime's 8-bit softmax works with a whole 1 / scale."""
    result = checked(function("Softmax", quantized("y", (), UINT8, 1 / 255)), tmp_path)
    assert result.passed
    (found,) = result.nodes
    assert found.kernel == "QLinearSoftmax"
    assert found.max_lsb <= 1


def test_float_outputs_count_in_steps(tmp_path: Path) -> None:
    """Without a quantizer, a step is a 127th of the largest value."""
    result = checked(function("Tanh", plain("y", ())), tmp_path)
    assert result.passed
    assert result.outputs[0].equal == result.outputs[0].elements == 6000


def test_ties_of_an_integer_formula_in_a_float_reference(tmp_path: Path) -> None:
    """An 8-bit Add beside 4-bit values: every second element is a tie, and odd zero points."""
    a = quantized("a", (1, 40, 50), UINT8, 0.5, 3)
    total = call("Add", [a, a], quantized("s", (), UINT8, 2.0, 7))
    narrow = call("Requantize", [total.output], quantized("y", (), INT4, 32.0, 1))
    result = checked(renamed(graph(total, narrow)), tmp_path)
    assert result.reference == FLOAT
    assert result.nodes[0].different > 100
    assert result.nodes[0].max_lsb == 1
    assert result.passed


def test_a_file_of_one_frame_checks_a_batch(tmp_path: Path) -> None:
    path = save(residual_network(batch=1), tmp_path)
    made = residual_network(batch=3)
    result = check(made, path, reference_inputs(made))
    assert result.passed
    assert result.outputs[0].elements == 30


def test_a_batch_that_the_file_cannot_be_cut_into(tmp_path: Path) -> None:
    path = save(residual_network(batch=2), tmp_path)
    made = residual_network(batch=3)
    with pytest.raises(DataError) as caught:
        check(made, path, reference_inputs(made))
    assert str(caught.value) == (
        "batch must be a multiple of the file's 2, not 3; compile for another batch"
    )


def test_another_shape_than_the_files(tmp_path: Path) -> None:
    """A file with the same names, with 6 in the place of 10 outputs."""
    made = residual_network()
    path = save(residual_network(classes=6), tmp_path)
    with pytest.raises(ModelError) as caught:
        check(made, path, reference_inputs(made))
    assert str(caught.value) == (
        "'y' must have the same shape in the file and in the compiled graph, not [1, 6] and "
        "[1, 10]; compile this file again"
    )


def test_progress(tmp_path: Path) -> None:
    made, seen = residual_network(), []
    path = save(made, tmp_path)
    check(made, path, reference_inputs(made), progress=lambda *step: seen.append(step))
    assert seen == [(n, 9) for n in range(1, 10)]


def test_weights_in_a_second_file(tmp_path: Path) -> None:
    made = residual_network()
    path = save(made, tmp_path)
    onnx.save(
        onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    assert (tmp_path / "weights.bin").exists()
    assert check(made, path, reference_inputs(made)).passed


def test_tensors_that_the_file_does_not_have(tmp_path: Path) -> None:
    """A value of our own making is fed onwards as we computed it."""
    made = residual_network()
    path = save(made, tmp_path)
    values = dict(made.values)
    values["ours"] = replace(values.pop("a"), name="ours")
    nodes = tuple(
        replace(
            node,
            inputs=tuple("ours" if n == "a" else n for n in node.inputs),
            outputs=tuple("ours" if n == "a" else n for n in node.outputs),
        )
        for node in made.nodes
    )
    result = check(replace(made, nodes=nodes, values=values), path, reference_inputs(made))
    assert result.passed
    assert "ours" not in {c.name for c in result.nodes}
    assert len(result.nodes) == 8


def test_unfit_inputs(tmp_path: Path) -> None:
    made = residual_network()
    with pytest.raises(DataError, match="input 'image' must be given"):
        check(made, save(made, tmp_path), {})


def test_unfit_files(tmp_path: Path) -> None:
    made, inputs = residual_network(), reference_inputs(residual_network())
    with pytest.raises(ModelError, match=r"model must be readable as ONNX \('.*none.onnx'\): "):
        check(made, tmp_path / "none.onnx", inputs)
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"model must be readable as ONNX \('.*bad.onnx'\): "):
        check(made, tmp_path / "bad.onnx", inputs)
    other = save(
        renamed(graph(call("Neg", [plain("image", (1, 3, 12, 12))], plain("o", ())))), tmp_path
    )
    with pytest.raises(ModelError) as caught:
        check(made, other, inputs)
    assert str(caught.value) == (
        f"file must be the one that the graph was made from, and has no output 'out' ('{other}')"
    )
    model = onnx.load(save(made, tmp_path))
    model.graph.node.append(helper.make_node("NoSuchOperator", ["out"], ["more"]))
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(ModelError, match="model must be one that ONNX Runtime loads, not refused"):
        check(made, tmp_path / "odd.onnx", inputs)


@pytest.mark.parametrize("element", [UINT8, INT8, INT4, ElementType("uint", 4)])
def test_reference_inputs_use_the_quantizers_range(element: ElementType) -> None:
    image = plain("image", (1, 3, 40, 40))
    made = graph(call("Quantize", [image], quantized("q", (), element, 0.1, 2)))
    low, high = ((limit - 2) * 0.1 for limit in element.limits)
    array = reference_inputs(made)["image"]
    assert array.dtype == np.float32
    assert abs(array.mean() - (low + high) / 2) < 0.02 * (high - low)
    assert abs(array.std() - (high - low) / 6) < 0.02 * (high - low)
    np.testing.assert_array_equal(array, reference_inputs(made)["image"])
    assert not np.array_equal(array, reference_inputs(made, seed=1)["image"])


def test_reference_inputs_of_other_kinds() -> None:
    x, w = quantized("x", (1, 3, 6, 6), INT4, 0.5), weights((2, 3, 3, 3), 0)
    c = convolution(x, w, plain("y", ()))
    f = call("Exp", [plain("free", (100,))], plain("e", ()))
    i = call("Cast", [plain("whole", (7,), ElementType("int", 64))], plain("c", ()))
    found: dict[str, Array] = reference_inputs(graph(c, f, i))
    assert found["x"].dtype == np.int8
    assert -8 <= found["x"].min() < found["x"].max() <= 7
    assert 0.5 < found["free"].std() < 2
    assert set(found["whole"].tolist()) <= set(range(128))
