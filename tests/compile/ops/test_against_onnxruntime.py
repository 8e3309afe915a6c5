"""Every operator against ONNX Runtime: in float between quantizers, and in its integer kernels."""

import numpy as np
import pytest

from tests.compile.ops import onnx_reference
from tests.compile.ops.build import graph
from tests.compile.ops.cases import CASES, inputs_of
from zapdeploy.compile.graph import Array, Call
from zapdeploy.compile.ops.base import operator
from zapdeploy.compile.ops.codes import bytes_alike

# Operators for which ONNX Runtime has integer kernels that must be met in every bit.
INTEGER = ("Conv", "MatMul", "Add", "Mul", "MaxPool", "AveragePool", "GlobalAveragePool")
INTEGER += ("Sigmoid", "LeakyRelu", "Concat", "Transpose", "Reshape", "Requantize")


OURS = ("Resize", "Assemble", "SumOfCodes", "MeanOfSum", "DeviationOfSums")  # ONNX has none


def has_onnx_reference(c: Call) -> bool:
    """Whether the test model can say it: one output, quantized operands of the matrix unit."""
    plain_matrix = c.node.op in ("Conv", "MatMul") and c.input(0).quantization is None
    return len(c.outputs) == 1 and not plain_matrix and c.node.op not in OURS


def ours_and_theirs(c: Call, seed: int, integer: bool) -> tuple[Array, Array]:
    arrays = inputs_of(c, seed)
    ours = operator(c.node.op).evaluate(c, arrays)[0]
    names = {
        v.name: a for v, a in zip(c.inputs, arrays, strict=True) if v is not None and v.data is None
    }
    theirs = onnx_reference.run(graph(c), names, integer=integer)[c.output.name]
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape == c.output.shape
    return ours, theirs


def follows_an_integer_kernel(c: Call) -> bool:
    return c.node.op in ("Add", "Mul", "AveragePool") and bytes_alike(c)


@pytest.mark.parametrize("label", [k for k, c in CASES.items() if has_onnx_reference(c)])
def test_float_reference(label: str) -> None:
    """At most one step on one element in 1,000; float outputs to rounding."""
    c = CASES[label]
    ours, theirs = ours_and_theirs(c, seed=1, integer=False)
    if ours.dtype.kind == "f":
        rounding = 3e-6 * max(1, np.abs(theirs).max())
        np.testing.assert_allclose(ours, theirs, rtol=3e-6, atol=rounding)
        return
    difference = np.abs(ours.astype(np.int64) - theirs)
    assert difference.max() <= 1
    if not follows_an_integer_kernel(c):
        assert np.count_nonzero(difference) <= -(-difference.size // 1000)


@pytest.mark.parametrize(
    "label",
    [
        k
        for k, c in CASES.items()
        if c.node.op in INTEGER
        and has_onnx_reference(c)
        and (c.output.quantization is None or c.output.quantization.axis is None)
        and all(v is None or v.element.bits >= 8 for v in (*c.inputs, c.output))
        and "float" not in k
        and "int16" not in k  # computed in float32: ONNX Runtime's integer kernels have 8 bits
    ],
)
def test_integer_kernels(label: str) -> None:
    """In every bit."""
    for seed in range(3):
        ours, theirs = ours_and_theirs(CASES[label], seed, integer=True)
        np.testing.assert_array_equal(ours, theirs)


def test_dynamic_quantization() -> None:
    c = CASES["dynamic"]
    x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    for array in (x, np.abs(x), np.zeros_like(x)):
        ours = operator(c.node.op).evaluate(c, [array])
        model = onnx_reference.OnnxReference(graph(c)).model()
        for mine, theirs in zip(
            ours, onnx_reference.session(model, False).run(None, {"x": array}), strict=True
        ):
            np.testing.assert_array_equal(mine, theirs)
