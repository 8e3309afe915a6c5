"""zapdeploy as a backend of ONNX, and all of ONNX's node tests."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from zapdeploy.benchmarks.experiments.conformance import (
    Backend,
    NodeTest,
    Outcome,
    node_tests,
    table,
)
from zapdeploy.compile.frontend import UnsupportedModel


def model(op: str, **attributes: object) -> object:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node(op, ["x"], ["y"], **attributes)
    graph = helper.make_graph([node], "one", [value], [result])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])


def test_backend_runs_by_order_and_by_name() -> None:
    prepared = Backend.prepare(model("Relu"))
    x = np.array([-1, 0, 2], np.float32)
    for given in ([x], {"x": x}):
        (found,) = prepared.run(given)
        np.testing.assert_array_equal(found, [0, 0, 2])
    assert Backend.supports_device("CPU")
    assert not Backend.supports_device("CUDA:0")


def test_backend_refuses_by_name() -> None:
    with pytest.raises(UnsupportedModel, match="Bernoulli"):
        Backend.prepare(model("Bernoulli"))


def test_table_names_what_is_wrong() -> None:
    found = (
        NodeTest("a", "Add", Outcome.PASSED),
        NodeTest("b", "Add", Outcome.REFUSED, "must be x | y"),
        NodeTest("c", "Mul", Outcome.FAILED, "1 of 2 elements differ"),
    )
    text = table(found)
    assert "3 node tests of onnx" in text
    assert "passed 1, refused 1, failed 1, crashed 0" in text
    assert "| Add | 1 | 1 | must be x \\| y |" in text
    assert "- c: failed: 1 of 2 elements differ" in text


@pytest.mark.slow
def test_no_node_test_fails_or_crashes() -> None:
    """Everything is right or refused by name."""
    found = tuple(node_tests())
    wrong = [t for t in found if t.outcome in (Outcome.FAILED, Outcome.CRASHED)]
    assert not wrong
    assert sum(t.outcome is Outcome.PASSED for t in found) >= 740
    assert all(t.why for t in found if t.outcome is Outcome.REFUSED)
