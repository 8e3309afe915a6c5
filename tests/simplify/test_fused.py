"""What ONNX Runtime fuses, and loops of known length: written out they compute what ONNX Runtime
computes of the originals."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from zapdeploy.onnxruntime_sessions import Purpose, open_session
from zapdeploy.simplify import InputShapes, simplify

MICROSOFT = "com.microsoft"
Shapes = dict[str, tuple[int, ...]]
# Operator, opset, inputs and constants by shape, attributes.
FUSED: dict[str, tuple[str, int, Shapes, Shapes, dict[str, Any]]] = {
    "skip, with bias": (
        "SkipLayerNormalization", 17, {"x": (2, 3, 8), "s": (2, 3, 8)},
        {"g": (8,), "b": (8,), "c": (8,)}, {"epsilon": 1e-5},
    ),
    "skip, older opset": (
        "SkipLayerNormalization", 14, {"x": (2, 3, 8), "s": (2, 3, 8)}, {"g": (8,), "b": (8,)}, {},
    ),
    "skip, root mean square": (
        "SkipSimplifiedLayerNormalization", 18, {"x": (2, 3, 8), "s": (2, 3, 8)}, {"g": (8,)}, {},
    ),
    "product, both turned": (
        "FusedMatMul", 17, {"x": (2, 5, 4)}, {"w": (6, 5)},
        {"transA": 1, "transB": 1, "alpha": 0.25},
    ),
    "product": ("FusedMatMul", 17, {"x": (2, 3, 4), "y": (2, 4, 5)}, {}, {}),
    "gemm, leaky": (
        "FusedGemm", 17, {"x": (3, 4)}, {"w": (5, 4), "b": (5,)},
        {"transB": 1, "activation": "LeakyRelu", "activation_alpha": 0.2},
    ),
    "convolution, relu": (
        "FusedConv", 17, {"x": (1, 3, 6, 6)}, {"w": (4, 3, 3, 3), "b": (4,)},
        {"kernel_shape": [3, 3], "activation": "Relu"},
    ),
    "convolution, clip": (
        "FusedConv", 17, {"x": (1, 3, 6, 6)}, {"w": (4, 3, 3, 3), "b": (4,)},
        {"kernel_shape": [3, 3], "activation": "Clip", "activation_params": [-0.5, 0.5]},
    ),
    "bias and gelu": ("BiasGelu", 17, {"x": (2, 8)}, {"b": (8,)}, {}),
    "quick gelu": ("QuickGelu", 17, {"x": (2, 8)}, {}, {"alpha": 1.3}),
}  # fmt: skip


def _model(
    nodes: list[onnx.NodeProto], opset: int, inputs: Shapes, weights: dict[str, np.ndarray],
    outputs: tuple[str, ...] = ("out",),
) -> onnx.ModelProto:  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        [numpy_helper.from_array(v, n) for n, v in weights.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _agree(model: onnx.ModelProto, inputs: Shapes, gone: str) -> None:
    made = simplify(model, InputShapes()).model
    assert gone not in {entry.op_type for entry in made.graph.node}
    random = np.random.default_rng(1)
    feeds = {n: random.standard_normal(s).astype(np.float32) for n, s in inputs.items()}
    before, after = (open_session(m, Purpose.PLAIN).run(None, feeds) for m in (model, made))
    for expected, found in zip(before, after, strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("case", FUSED)
def test_what_onnxruntime_fuses_is_written_out(case: str) -> None:
    operator, opset, inputs, shapes, attributes = FUSED[case]
    random = np.random.default_rng(0)
    weights = {n: random.standard_normal(s).astype(np.float32) for n, s in shapes.items()}
    node = helper.make_node(
        operator, [*inputs, *weights], ["out"], "fused", domain=MICROSOFT, **attributes
    )
    _agree(_model([node], opset, inputs, weights), inputs, operator)


def _value(name: str, shape: tuple[int, ...] | None, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def _loop(rounds: int) -> onnx.ModelProto:
    """h = tanh(h W + x) in every round, whose number is added to what is collected."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["h", "w"], ["p"]),
            helper.make_node("Add", ["p", "x"], ["q"]),
            helper.make_node("Tanh", ["q"], ["r"]),
            helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["r", "f"], ["seen"]),
            helper.make_node("Identity", ["go"], ["on"]),
        ],
        "body",
        [_value("i", (), TensorProto.INT64), _value("go", (), TensorProto.BOOL), _value("h", None)],
        [_value("on", (), TensorProto.BOOL), _value("r", None), _value("seen", None)],
    )
    node = helper.make_node("Loop", ["count", "", "start"], ["out", "all"], "loop", body=body)
    weights = {
        "w": np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32),
        "count": np.asarray(rounds, np.int64),
        "start": np.zeros((2, 4), np.float32),
    }
    return _model([node], 17, {"x": (2, 4)}, weights, ("out", "all"))


@pytest.mark.parametrize("rounds", [1, 3])
def test_a_loop_of_known_length_is_written_out(rounds: int) -> None:
    _agree(_loop(rounds), {"x": (2, 4)}, "Loop")


@pytest.mark.parametrize("backwards", [0, 1])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_scan_is_written_out(backwards: int, axis: int) -> None:
    body = helper.make_graph(
        [
            helper.make_node("Add", ["s", "part"], ["t"]),
            helper.make_node("Tanh", ["t"], ["next"]),
            helper.make_node("Mul", ["next", "part"], ["seen"]),
        ],
        "body",
        [_value("s", (3,)), _value("part", (3,))],
        [_value("next", (3,)), _value("seen", (3,))],
    )
    node = helper.make_node(
        "Scan", ["start", "x"], ["out", "all"], "scan", body=body, num_scan_inputs=1,
        scan_input_axes=[axis], scan_input_directions=[backwards], scan_output_axes=[axis],
    )  # fmt: skip
    shape = (5, 3) if axis == 0 else (3, 5)
    model = _model([node], 17, {"x": shape}, {"start": np.ones(3, np.float32)}, ("out", "all"))
    _agree(model, {"x": shape}, "Scan")
