from __future__ import annotations

import pytest

from tests.compile.passes.sketch import (
    INT4,
    UINT8,
    Codes,
    Q,
    Sketch,
    check_pass,
    check_same_results,
)
from zapdeploy.compile.passes.remove_requantize import RemoveRequantize


def test_equal_parameters() -> None:
    s = Sketch()
    q = s.node("Quantize", (s.input("x", (4,)),), "q", Q)
    r = s.node("Requantize", (q,), "r", Q)
    result = check_pass(
        RemoveRequantize(),
        s.graph(s.node("Dequantize", (r,), "y")),
        """
        q: int8[4] s=0.5 z=0 [-128, 127] = Quantize(x) "quantize_q"
        r: int8[4] s=0.5 z=0 [-128, 127] = Requantize(q) "requantize_r"
        y: float32[4] = Dequantize(r) "dequantize_y"
        """,
        """
        r: int8[4] s=0.5 z=0 [-128, 127] = Quantize(x) "quantize_q"
        y: float32[4] = Dequantize(r) "dequantize_y"
        """,
    )
    assert result.nodes[0].sources == ("quantize_q", "requantize_r")


def test_the_operator_before_clamps() -> None:
    s = Sketch()
    q = s.node("Quantize", (s.input("x", (4,)),), "q", Q)
    r = s.node("Requantize", (q,), "r", Codes(low=0))
    graph = s.graph(s.node("Dequantize", (r,), "y"))
    result = RemoveRequantize()(graph)
    assert [n.op for n in result.nodes] == ["Quantize", "Dequantize"]
    check_same_results(graph, result)


def test_a_narrower_source_stays_narrow() -> None:
    s = Sketch()
    q = s.node("Quantize", (s.input("x", (4,)),), "q", Codes(INT4))
    r = s.node("Requantize", (q,), "r", Q)
    graph = s.graph(s.node("Dequantize", (r,), "y"))
    result = RemoveRequantize()(graph)
    assert result.values["r"].element == INT4
    check_same_results(graph, result)


def test_network_inputs_and_outputs_keep_their_names() -> None:
    s = Sketch()
    r = s.node("Requantize", (s.input("x", (4,), Q),), "r", Q)
    result = RemoveRequantize()(s.graph(s.node("Dequantize", (r,), "y")))
    assert [(n.op, n.inputs) for n in result.nodes] == [("Dequantize", ("x",))]
    graph = s.graph("r")
    assert RemoveRequantize()(graph) is graph


@pytest.mark.parametrize(
    "codes", [Codes(scale=1.0), Codes(zero=1), Codes(UINT8, zero=4), Codes(scale=[1] * 4, axis=0)]
)
def test_other_parameters_stay(codes: Codes) -> None:
    s = Sketch()
    q = s.node("Quantize", (s.input("x", (4,)),), "q", Q)
    graph = s.graph(s.node("Dequantize", (s.node("Requantize", (q,), "r", codes),), "y"))
    assert RemoveRequantize()(graph) is graph


def test_a_clamp_of_codes_that_others_read_stays() -> None:
    s = Sketch()
    q = s.node("Quantize", (s.input("x", (4,)),), "q", Q)
    r = s.node("Requantize", (q,), "r", Codes(low=0))
    graph = s.graph(s.node("Dequantize", (r,), "y"), s.node("Dequantize", (q,), "z"))
    assert RemoveRequantize()(graph) is graph


def test_a_move_cannot_clamp() -> None:
    s = Sketch()
    q = s.node("Transpose", (s.input("x", (2, 2), Q),), "t", Q, perm=(1, 0))
    graph = s.graph(s.node("Dequantize", (s.node("Requantize", (q,), "r", Codes(low=0)),), "y"))
    assert RemoveRequantize()(graph) is graph
