from __future__ import annotations

import numpy as np
import pytest

from tests.compile.passes.sketch import Codes, Q, Sketch, check_pass, check_same_results
from zapdeploy.compile.passes.absorb_clamp import AbsorbClamp


def test_relu_and_clip_become_a_range() -> None:
    s = Sketch()
    r = s.node("Relu", (s.input("x", (9,)),), "r")
    c = s.node("Clip", (r,), "c", low=-1.0, high=6.0)
    q = s.node("Quantize", (c,), "q", Codes(scale=0.5, zero=-3))
    graph = s.graph(s.node("Dequantize", (q,), "y"))
    result = check_pass(
        AbsorbClamp(),
        graph,
        """
        r: float32[9] = Relu(x) "relu_r"
        c: float32[9] = Clip(r) high=6 low=-1 "clip_c"
        q: int8[9] s=0.5 z=-3 [-128, 127] = Quantize(c) "quantize_q"
        y: float32[9] = Dequantize(q) "dequantize_y"
        """,
        """
        q: int8[9] s=0.5 z=-3 [-3, 9] = Quantize(x) "quantize_q"
        y: float32[9] = Dequantize(q) "dequantize_y"
        """,
    )
    check_same_results(graph, result)
    assert result.nodes[0].sources == ("quantize_q", "clip_c", "relu_r")


def test_both_quantizers_of_a_relu_are_narrowed() -> None:
    s = Sketch()
    r = s.node("Relu", (s.input("x", (9,)),), "r")
    a = s.node("Quantize", (r,), "a", Codes(scale=0.5, zero=1))
    b = s.node("Quantize", (r,), "b", Codes(scale=2.0, zero=-1))
    graph = s.graph(s.node("Dequantize", (a,), "y"), s.node("Dequantize", (b,), "z"))
    result = AbsorbClamp()(graph)
    assert [result.values[n].quantization.low for n in "ab"] == [1, -1]  # type: ignore[union-attr]
    check_same_results(graph, result)


def test_a_relu_read_by_others_stays() -> None:
    s = Sketch()
    r = s.node("Relu", (s.input("x", (9,)),), "r")
    q = s.node("Quantize", (r,), "q", Q)
    graph = s.graph(s.node("Dequantize", (q,), "y"), s.node("Sigmoid", (r,), "z"))
    assert AbsorbClamp()(graph) is graph
    graph = s.graph("y", "r")
    assert AbsorbClamp()(graph) is graph


def test_scales_along_an_axis_have_no_one_range() -> None:
    s = Sketch()
    r = s.node("Relu", (s.input("x", (2,)),), "r")
    q = s.node("Quantize", (r,), "q", Codes(scale=[1, 2], zero=[0, 1], axis=0))
    graph = s.graph(s.node("Dequantize", (q,), "y"))
    assert AbsorbClamp()(graph) is graph


@pytest.mark.parametrize("low", [-np.inf, -7.25, 0.2, 0.25, 900.0])
def test_any_bound(low: float) -> None:
    s = Sketch()
    c = s.node("Clip", (s.input("x", (99,)),), "c", low=low, high=np.inf)
    q = s.node("Quantize", (c,), "q", Codes(scale=0.5, zero=5))
    graph = s.graph(s.node("Dequantize", (q,), "y"))
    check_same_results(graph, AbsorbClamp()(graph))


def test_one_zero_point_behind_a_relu_is_one_range() -> None:
    """Scales of single indices do not matter where zero has the same code for all."""
    s = Sketch()
    r = s.node("Relu", (s.input("x", (2,)),), "r")
    q = s.node("Quantize", (r,), "q", Codes(scale=[1, 2], zero=[-5, -5], axis=0))
    graph = s.graph(s.node("Dequantize", (q,), "y"))
    result = AbsorbClamp()(graph)
    assert [n.op for n in result.nodes] == ["Quantize", "Dequantize"]
    assert result.values["q"].quantization.low == -5  # type: ignore[union-attr]
    check_same_results(graph, result)
