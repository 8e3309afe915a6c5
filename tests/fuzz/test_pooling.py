"""The judge of pools beside ONNX Runtime, which counts as ONNX defines it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.fuzz.graphs import attempt
from tests.fuzz.pooling import pool
from zapdeploy.onnxruntime_sessions import Purpose, open_session


@st.composite
def _windows(draw: st.DrawFn) -> tuple[tuple[int, ...], dict[str, object]]:
    rank = draw(st.integers(1, 2))
    lengths = [draw(st.integers(3, 9)) for _ in range(rank)]
    kernel = [draw(st.integers(1, 3)) for _ in range(rank)]
    attributes: dict[str, object] = {
        "kernel_shape": kernel,
        "strides": [draw(st.integers(1, 3)) for _ in range(rank)],
        "count_include_pad": draw(st.integers(0, 1)),
    }
    automatic = draw(st.sampled_from(("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")))
    if automatic == "NOTSET":
        attributes["pads"] = [draw(st.integers(0, k - 1)) for k in kernel * 2]
        attributes["ceil_mode"] = draw(st.integers(0, 1))
    else:  # ONNX Runtime's pools fail, or begin inside, where strides leave gaps
        attributes["auto_pad"] = automatic
        attributes["strides"] = [draw(st.integers(1, k)) for k in kernel]
    return (2, 2, *lengths), attributes


@given(_windows(), st.sampled_from(("AveragePool", "MaxPool")))
@settings(max_examples=150)
def test_pools_are_onnx_runtimes(drawn: tuple[tuple[int, ...], dict[str, object]], op: str) -> None:
    shape, attributes = drawn
    if op == "MaxPool":
        del attributes["count_include_pad"]
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = pool(op, x.astype(np.float64), attributes)
    graph = helper.make_graph(
        [helper.make_node(op, ["x"], ["y"], **attributes)],
        "pool",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, found.shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    (wanted,) = open_session(model, Purpose.PLAIN, threads=1).run(None, {"x": x})
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_by_hand() -> None:
    """Five values, windows of three by two, the last of which reaches one place too far: of its two
    taps on the input and none on padding, the mean of two."""
    x = np.array([[[1.0, 2.0, 3.0, 4.0, 5.0, 7.0]]])
    same = {"kernel_shape": [3], "strides": [2], "ceil_mode": 1}
    assert pool("AveragePool", x, same).tolist() == [[[2.0, 4.0, 6.0]]]
    assert pool("MaxPool", x, same).tolist() == [[[3.0, 5.0, 7.0]]]
    dilated = {"kernel_shape": [3], "dilations": [2], "strides": [2], "auto_pad": "SAME_LOWER"}
    assert pool("MaxPool", x[..., :4], dilated).tolist() == [[[3.0, 3.0]]]
    padded = {**same, "pads": [1, 0], "count_include_pad": 1}
    assert pool("AveragePool", x, padded).tolist() == [[[1.0, 3.0, 16 / 3]]]


@pytest.mark.parametrize("seed", [500592, 603852])
def test_graphs_that_were_judged_wrongly(seed: int) -> None:
    assert attempt(seed) == "right"
