"""LSTM, GRU and RNN written out, against ONNX Runtime's own kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from zapdeploy.errors import ModelError
from zapdeploy.simplify import simplify

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
Floats = NDArray[np.float32]


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def recurrent(
    op: str, steps: int, batch: int, inputs: int, hidden: int, present: str, **attributes: Any
) -> tuple[onnx.ModelProto, dict[str, Floats]]:
    """One node with random weights. `present`: letters of the optional inputs: b(ias), l(engths),
    h and c (first states), p(eepholes)."""
    rng = np.random.default_rng(steps * 100 + hidden)
    count = 2 if attributes.get("direction") == "bidirectional" else 1
    size = GATES[op] * hidden
    shapes = {
        "w": (count, size, inputs), "r": (count, size, hidden), "b": (count, 2 * size),
        "h": (count, batch, hidden), "c": (count, batch, hidden), "p": (count, 3 * hidden),
    }  # fmt: skip
    arrays = {k: rng.normal(size=v).astype(np.float32) * 0.5 for k, v in shapes.items()}
    names = ["x", "w", "r", *(n if n in present else "" for n in "blhcp")]
    if op != "LSTM":
        names = names[:6]
    held = {n: arrays[n] for n in names if n in arrays and n not in "hc"}
    tensors = [numpy_helper.from_array(a, n) for n, a in held.items()]
    if "l" in names:
        tensors.append(numpy_helper.from_array(np.full(batch, steps, np.int32), "l"))
    feeds = {"x": rng.normal(size=(steps, batch, inputs)).astype(np.float32)}
    feeds |= {n: arrays[n] for n in names if n in ("h", "c")}
    outputs = ["y", "y_h", *(["y_c"] if op == "LSTM" else [])]
    node = helper.make_node(op, names, outputs, "cell", hidden_size=hidden, **attributes)
    graph = helper.make_graph(
        [node], "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in feeds.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs], tensors,
    )  # fmt: skip
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ), feeds


@settings(max_examples=60, deadline=None)
@given(
    op=st.sampled_from(sorted(GATES)),
    direction=st.sampled_from(["forward", "reverse", "bidirectional"]),
    sizes=st.tuples(*(st.integers(1, 5) for _ in range(4))),
    present=st.sets(st.sampled_from("blhcp")),
    linear=st.booleans(),
    clip=st.sampled_from([None, 0.4]),
)
def test_any_recurrent_node(
    op: str, direction: str, sizes: tuple[int, ...], present: set[str], linear: bool, clip: Any
) -> None:
    attributes: dict[str, Any] = {"direction": direction}
    if op == "GRU":
        attributes["linear_before_reset"] = int(linear)
    if clip is not None:
        attributes["clip"] = clip
    model, feeds = recurrent(op, *sizes, "".join(sorted(present)), **attributes)
    expected = session(model).run(None, feeds)
    plain = simplify(model).model
    assert not {node.op_type for node in plain.graph.node} & set(GATES)
    for ours, theirs in zip(session(plain).run(None, feeds), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["HardSigmoid", "Softsign", "Tanh"],
         {"activation_alpha": [0.3], "activation_beta": [0.4]}),
        (["Sigmoid", "LeakyRelu", "Relu"], {"activation_alpha": [0.2]}),
        (["Sigmoid", "ScaledTanh", "Affine"],
         {"activation_alpha": [0.9, 1.5], "activation_beta": [0.7, 0.1]}),
    ],
)  # fmt: skip
def test_other_activations(names: list[str], numbers: dict[str, list[float]]) -> None:
    model, feeds = recurrent("LSTM", 4, 2, 3, 5, "b", activations=names, **numbers)
    expected = session(model).run(None, feeds)
    for ours, theirs in zip(session(simplify(model).model).run(None, feeds), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_sequences_of_different_lengths_are_refused() -> None:
    model, _ = recurrent("GRU", 4, 2, 3, 5, "bl")
    held = next(t for t in model.graph.initializer if t.name == "l")
    held.CopyFrom(numpy_helper.from_array(np.asarray([4, 3], np.int32), "l"))
    with pytest.raises(ModelError, match="sequence_lens must be 4, the whole sequence"):
        simplify(model)
