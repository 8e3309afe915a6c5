from __future__ import annotations

import numpy as np
import pytest

from tests.compile.passes.sketch import (
    BIAS,
    CONV,
    Codes,
    Q,
    Sketch,
    check_pass,
    check_same_results,
)
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.passes import IMPORT_PASSES, run_passes
from zapdeploy.compile.passes.bind_bias import BindBias
from zapdeploy.compile.passes.fold_batch_normalization import FoldBatchNormalization


def normalized(factors: list[float], weights: Codes, *, bias: str = "", codes: int = 3) -> Graph:
    """Conv, a factor and an offset per channel, Quantize."""
    s = Sketch()
    x = s.start((1, 1, 2, 2))
    w = s.dequantized("w", np.full((2, 1, 1, 1), codes), weights)
    inputs = (x, w)
    if bias == "codes":
        inputs += (s.dequantized("b", [5, -6], BIAS),)
    if bias == "numbers":
        inputs += (s.constant("b", [1.25, -1.5]),)
    y = s.node("Conv", inputs, "c", None, (1, 2, 2, 2), **CONV)
    y = s.node("Mul", (y, s.constant("f", np.reshape(factors, (2, 1, 1)))), "m")
    y = s.node("Add", (s.constant("o", [[[1.0]], [[-2.0]]]), y), "a", None, (1, 2, 2, 2))
    return s.graph(s.node("Dequantize", (s.node("Quantize", (y,), "q", Q),), "y"))


def final(graph: Graph) -> Graph:
    return run_passes(graph, IMPORT_PASSES)


def test_factor_goes_into_the_scales() -> None:
    check_pass(
        FoldBatchNormalization(),
        normalized([2.0, 0.25], Q, bias="codes"),
        """
        constant b_codes: int32[2] s=0.25 z=0 [-2147483648, 2147483647]
        constant f: float32[2,1,1]
        constant o: float32[2,1,1]
        constant w_codes: int8[2,1,1,1] s=0.5 z=0 [-128, 127]
        xq: int8[1,1,2,2] s=0.5 z=0 [-128, 127] = Quantize(x) "quantize_xq"
        xr: float32[1,1,2,2] = Dequantize(xq) "dequantize_xr"
        w: float32[2,1,1,1] = Dequantize(w_codes) "dequantize_w"
        b: float32[2] = Dequantize(b_codes) "dequantize_b"
        c: float32[1,2,2,2] = Conv(xr, w, b) "conv_c"
        m: float32[1,2,2,2] = Mul(c, f) "mul_m"
        a: float32[1,2,2,2] = Add(o, m) "add_a"
        q: int8[1,2,2,2] s=0.5 z=0 [-128, 127] = Quantize(a) "quantize_q"
        y: float32[1,2,2,2] = Dequantize(q) "dequantize_y"
        """,
        """
        constant b_codes: int32[2] s=0.25 z=0 [-2147483648, 2147483647]
        constant b_codes_folded: int32[2] s=0.0625..0.5 z=0 axis=0 [-2147483648, 2147483647]
        constant o: float32[2,1,1]
        constant w_codes: int8[2,1,1,1] s=0.5 z=0 [-128, 127]
        constant w_codes_folded: int8[2,1,1,1] s=0.125..1 z=0 axis=0 [-128, 127]
        xq: int8[1,1,2,2] s=0.5 z=0 [-128, 127] = Quantize(x) "quantize_xq"
        xr: float32[1,1,2,2] = Dequantize(xq) "dequantize_xr"
        w: float32[2,1,1,1] = Dequantize(w_codes) "dequantize_w"
        b: float32[2] = Dequantize(b_codes) "dequantize_b"
        b_folded: float32[2] = Dequantize(b_codes_folded) "dequantize_b_folded"
        w_folded: float32[2,1,1,1] = Dequantize(w_codes_folded) "dequantize_w_folded"
        m: float32[1,2,2,2] = Conv(xr, w_folded, b_folded) "conv_c"
        a: float32[1,2,2,2] = Add(o, m) "add_a"
        q: int8[1,2,2,2] s=0.5 z=0 [-128, 127] = Quantize(a) "quantize_q"
        y: float32[1,2,2,2] = Dequantize(q) "dequantize_y"
        """,
    )


CASES = {
    "positive": ([2.0, 0.25], Q, 3),
    "negative": ([-2.0, 0.25], Q, 3),
    "per channel": ([-0.5, -4.0], Codes(scale=[0.5, 0.25], axis=0), -127),
    "zero point": ([2.0, 0.25], Codes(zero=-5), 3),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("bias", ["", "codes", "numbers"])
def test_one_product_is_left_and_computes_the_same(name: str, bias: str) -> None:
    factors, weights, codes = CASES[name]
    graph = normalized(factors, weights, bias=bias, codes=codes)
    unfolded = run_passes(
        graph, [step for step in IMPORT_PASSES if not isinstance(step, FoldBatchNormalization)]
    )
    folded = final(graph)
    assert [node.op for node in folded.nodes] == ["Quantize", "Conv", "Dequantize"]
    assert [node.op for node in unfolded.nodes] == ["Quantize", "Conv", "Mul", "Add", "Dequantize"]
    check_same_results(unfolded, folded)


NOT_FOLDED = {
    "a factor of zero": ([0.0, 1.0], Q, 3),
    "a negative factor of the smallest code": ([-1.0, 1.0], Q, -128),
    "a negative factor with a zero point": ([-1.0, 1.0], Codes(zero=1), 3),
    "scales along inputs": ([1.0, 2.0], Codes(scale=[0.5], axis=1), 3),
}


@pytest.mark.parametrize("name", NOT_FOLDED)
def test_left_to_the_vector_unit(name: str) -> None:
    graph = normalized(*NOT_FOLDED[name][:2], codes=NOT_FOLDED[name][2])
    after = FoldBatchNormalization()(graph)
    assert [node.op for node in after.nodes] == [node.op for node in graph.nodes]


def test_a_factor_computed_at_run_time_stays() -> None:
    s = Sketch()
    x = s.start((1, 4))
    w = s.dequantized("w", np.ones((4, 2)), Q)
    y = s.node("MatMul", (x, w), "c", None, (1, 2))
    graph = s.graph(s.node("Mul", (y, s.input("f", (1, 2))), "m"))
    after = FoldBatchNormalization()(graph)
    assert [node.op for node in after.nodes] == [node.op for node in graph.nodes]


def test_a_bias_computed_at_run_time_stays() -> None:
    s = Sketch()
    x = s.start((1, 4))
    w = s.dequantized("w", np.ones((4, 2)), Q)
    y = s.node("MatMul", (x, w, s.input("b", (2,))), "c", None, (1, 2))
    graph = s.graph(s.node("Mul", (y, s.constant("f", [2.0, 3.0])), "m"))
    assert "Mul" in [node.op for node in FoldBatchNormalization()(graph).nodes]


def test_offset_becomes_the_bias() -> None:
    """By hand: codes 5 at 0.25 * 2 and the offset 1 make 3.5; -6 at 0.25 / 4 and -2 make -2.375."""
    graph = BindBias()(FoldBatchNormalization()(normalized([2.0, 0.25], Q, bias="codes")))
    conv = next(node for node in graph.nodes if node.op == "Conv")
    bias = graph.values[conv.inputs[2]]
    assert bias.data is not None
    assert bias.data.tolist() == [3.5, -2.375]
