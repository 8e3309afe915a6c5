"""Sessions whose integer products are right on every processor, and say why where they are not."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from zapdeploy.errors import ModelError, UsageError
from zapdeploy.onnxruntime_sessions import (
    Purpose,
    open_session,
    saturates,
    with_unsigned_weights,
)

ELEMENT = {"uint8": TensorProto.UINT8, "int8": TensorProto.INT8}
KINDS = st.sampled_from(["uint8", "int8"])


def model(nodes: list[onnx.NodeProto], inputs: dict[str, np.ndarray],
          constants: dict[str, np.ndarray], outputs: list[str]) -> onnx.ModelProto:  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "sums",
        [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for n, a in inputs.items()
        ],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def codes(kind: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    limits = np.iinfo(kind)
    rng = np.random.default_rng(seed)
    edges = rng.choice([limits.min, limits.max], shape)
    mixed = rng.integers(limits.min, limits.max + 1, shape)
    return np.where(rng.random(shape) < 0.5, edges, mixed).astype(kind)


@settings(max_examples=30, deadline=None)
@given(KINDS, KINDS, st.booleans(), st.integers(0, 99), st.booleans())
def test_products_of_extreme_codes_are_exact(
    left: str, right: str, constant: bool, seed: int, zeros: bool
) -> None:
    a, b = codes(left, (5, 64), seed), codes(right, (64, 7), seed + 1)
    za, zb = codes(left, (), seed + 2), codes(right, (), seed + 3)
    held = {"za": za, "zb": zb} if zeros else {}
    inputs = {"a": a} if constant else {"a": a, "b": b}
    node = helper.make_node("MatMulInteger", ["a", "b", *held], ["y"])
    made = model([node], inputs, held | ({"b": b} if constant else {}), ["y"])
    wide = [x.astype(np.int64) for x in (a, b, za, zb)]
    wanted = (wide[0] - zeros * wide[2]) @ (wide[1] - zeros * wide[3])
    for changed in (made, with_unsigned_weights(made)):
        for purpose in (Purpose.PLAIN, Purpose.INTEGER):
            (found,) = open_session(changed, purpose).run(None, inputs)
            np.testing.assert_array_equal(found, wanted)


def quantized_convolutions(weight: np.ndarray, zero: np.ndarray | None) -> onnx.ModelProto:
    """Two convolutions over one uint8 tensor that read one weight and one zero point."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "sx", "zx"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "sx", "zx"], ["d"]),
        helper.make_node(
            "DequantizeLinear", ["w", "sw", "zw"][: 2 if zero is None else 3], ["dw"], axis=0
        ),
        helper.make_node("Conv", ["d", "dw"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("QuantizeLinear", ["c", "sy", "zx"], ["qc"]),
        helper.make_node("DequantizeLinear", ["qc", "sy", "zx"], ["dc"]),
        helper.make_node("Conv", ["dc", "dw"], ["e"], pads=[1, 1, 1, 1]),
        helper.make_node("QuantizeLinear", ["e", "sy", "zx"], ["qe"]),
        helper.make_node("DequantizeLinear", ["qe", "sy", "zx"], ["y"]),
    ]
    constants = {
        "w": weight, "sx": np.float32(0.02), "zx": np.uint8(3), "sy": np.float32(0.5),
        "sw": np.linspace(0.001, 0.004, len(weight)).astype(np.float32),
    }  # fmt: skip
    if zero is not None:
        constants["zw"] = zero
    return model(nodes, {"x": np.zeros((1, 4, 9, 9), np.float32)}, constants, ["y", "qc", "qe"])


@pytest.mark.parametrize("zero", [None, np.zeros(4, np.int8)])
def test_weights_with_two_readers(zero: np.ndarray | None, tmp_path: Path) -> None:
    """Which the option of ONNX Runtime 1.32 refuses: "Attempt to replace the existing tensor"."""
    made = quantized_convolutions(codes("int8", (4, 4, 3, 3), 5), zero)
    x = np.random.default_rng(1).uniform(-0.1, 5, (1, 4, 9, 9)).astype(np.float32)
    for changed in (made, with_unsigned_weights(made)):
        path = tmp_path / "optimized.onnx"
        found = open_session(changed, Purpose.INTEGER, optimized=path).run(None, {"x": x})
        kernels = [node.op_type for node in onnx.load(path).graph.node]
        assert kernels.count("QLinearConv") == 2
        wanted = ReferenceEvaluator(made).run(None, {"x": x})
        assert np.abs(found[1].astype(int) - wanted[1]).max() <= 1
        assert np.mean(found[1] != wanted[1]) < 0.01


def test_what_changes_and_what_does_not() -> None:
    made = quantized_convolutions(codes("int8", (4, 4, 3, 3), 5), None)
    changed = with_unsigned_weights(made)
    assert changed is not made
    raised = [t for t in changed.graph.initializer if ".__unsigned" in t.name and len(t.dims) == 4]
    assert [t.data_type for t in raised] == [TensorProto.UINT8] * 2
    original = numpy_helper.to_array(made.graph.initializer[0]).astype(int)
    for tensor in raised:
        np.testing.assert_array_equal(numpy_helper.to_array(tensor).astype(int) - 128, original)
    unsigned = quantized_convolutions(codes("uint8", (4, 4, 3, 3), 5), None)
    assert with_unsigned_weights(unsigned) is unsigned


@pytest.mark.parametrize("operator", ["QLinearMatMul", "QGemm", "QLinearConv"])
def test_operator_form(operator: str) -> None:
    """Against the sum in 64 bits, requantized by hand."""
    a, b = codes("uint8", (6, 64), 1), codes("int8", (64, 8), 2)
    sx, sw, sy = np.float32(0.03), np.float32(0.004), np.float32(2.5)
    if operator == "QLinearConv":
        given, w = a.T.reshape(1, 64, 6, 1), np.ascontiguousarray(b.T)[:, :, None, None]
    else:
        given, w = a, b
    constants = {
        "sx": sx, "zx": np.uint8(7), "w": w, "sw": sw, "zw": np.int8(0), "sy": sy,
        "zy": np.uint8(100),
    }  # fmt: skip
    names = ["x", "sx", "zx", "w", "sw", "zw"]
    domain = "com.microsoft" if operator == "QGemm" else ""
    names += ["", "sy", "zy"] if operator == "QGemm" else ["sy", "zy"]
    made = model(
        [helper.make_node(operator, names, ["y"], domain=domain)], {"x": given}, constants, ["y"]
    )
    sums = (a.astype(np.int64) - 7) @ b.astype(np.int64)
    wanted = np.rint(sums.astype(np.float32) * ((sx * sw) / sy)) + 100
    wanted = np.clip(wanted, 0, 255).astype(np.uint8)
    for changed in (made, with_unsigned_weights(made)):
        for purpose in (Purpose.PLAIN, Purpose.INTEGER):
            (found,) = open_session(changed, purpose).run(None, {"x": given})
            if operator == "QLinearConv":
                found = found[0, :, :, 0].T
            np.testing.assert_array_equal(found, wanted)


def test_external_weights_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from zapdeploy.onnxruntime_sessions import sessions

    made = quantized_convolutions(codes("int8", (64, 4, 3, 3), 5)[:4], None)
    x = np.random.default_rng(1).uniform(-0.1, 5, (1, 4, 9, 9)).astype(np.float32)
    wanted = open_session(made, Purpose.INTEGER).run(None, {"x": x})
    onnx.save(made, tmp_path / "m.onnx", save_as_external_data=True, size_threshold=16)
    for wrong in {True, saturates()}:
        monkeypatch.setattr(sessions, "saturates", lambda wrong=wrong: wrong)
        found = open_session(tmp_path / "m.onnx", Purpose.INTEGER).run(None, {"x": x})
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_probe_says_what_this_processor_does() -> None:
    flags = Path("/proc/cpuinfo")
    if platform.machine() != "x86_64" or not flags.is_file():
        pytest.skip("the processor's instructions are not known")
    if "vnni" in flags.read_text() and platform.processor() != "qemu":
        a, b = codes("uint8", (4, 64), 1), codes("int8", (64, 4), 2)
        node = helper.make_node("MatMulInteger", ["a", "b"], ["y"])
        made = model([node], {"a": a}, {"b": b}, ["y"])
        (found,) = open_session(made, Purpose.BASELINE).run(None, {"a": a})
        right = np.array_equal(found, a.astype(int) @ b.astype(int))
        assert saturates() is not right


def test_refusals(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"must be one that ONNX Runtime loads.*bad\.onnx"):
        open_session(tmp_path / "bad.onnx", Purpose.PLAIN)
    made = quantized_convolutions(codes("int8", (4, 4, 3, 3), 5), None)
    with pytest.raises(UsageError, match="provider must be CUDAExecutionProvider, not CPU"):
        open_session(made, Purpose.BASELINE, provider="CUDAExecutionProvider")
