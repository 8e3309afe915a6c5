from __future__ import annotations

import numpy as np

from tests.compile.passes.sketch import (
    BIAS,
    Codes,
    Q,
    Sketch,
    check_pass,
    check_same_results,
)
from zapdeploy.compile.passes.fuse_integer import FuseInteger
from zapdeploy.compile.passes.remove_dead import RemoveDead


def test_a_product_from_codes_to_codes() -> None:
    s = Sketch()
    x, w = s.start((1, 3)), s.dequantized("w", np.ones((3, 2)), Q)
    y = s.node("MatMul", (x, w, s.constant("b", [1, 2], BIAS)), "p", None, (1, 2))
    y = s.node("Dequantize", (s.node("Quantize", (y,), "q", Q),), "y")
    result = check_pass(
        FuseInteger(),
        s.graph(y),
        """
        constant b: int32[2] s=0.25 z=0 [-2147483648, 2147483647]
        constant w_codes: int8[3,2] s=0.5 z=0 [-128, 127]
        xq: int8[1,3] s=0.5 z=0 [-128, 127] = Quantize(x) "quantize_xq"
        xr: float32[1,3] = Dequantize(xq) "dequantize_xr"
        w: float32[3,2] = Dequantize(w_codes) "dequantize_w"
        p: float32[1,2] = MatMul(xr, w, b) "matmul_p"
        q: int8[1,2] s=0.5 z=0 [-128, 127] = Quantize(p) "quantize_q"
        y: float32[1,2] = Dequantize(q) "dequantize_y"
        """,
        """
        constant b: int32[2] s=0.25 z=0 [-2147483648, 2147483647]
        constant w_codes: int8[3,2] s=0.5 z=0 [-128, 127]
        xq: int8[1,3] s=0.5 z=0 [-128, 127] = Quantize(x) "quantize_xq"
        xr: float32[1,3] = Dequantize(xq) "dequantize_xr"
        w: float32[3,2] = Dequantize(w_codes) "dequantize_w"
        q: int8[1,2] s=0.5 z=0 [-128, 127] = MatMul(xq, w_codes, b) "matmul_p"
        y: float32[1,2] = Dequantize(q) "dequantize_y"
        """,
    )
    assert result.nodes[3].sources == ("matmul_p", "dequantize_xr", "dequantize_w", "quantize_q")


def ops(s: Sketch, *outputs: str) -> list[str]:
    """The operators after fusing, dead nodes removed."""
    return [node.op for node in RemoveDead()(FuseInteger()(s.graph(*outputs))).nodes]


def test_one_dequantizer_for_a_product_and_an_add() -> None:
    s = Sketch()
    x, w = s.start((2, 2)), s.dequantized("w", np.eye(2), Q)
    s.node("Quantize", (s.node("MatMul", (x, w), "p"),), "pq", Q)
    s.node("Quantize", (s.node("Add", (s.node("Dequantize", ("pq",), "pr"), x), "a"),), "aq", Q)
    s.node("Dequantize", ("aq",), "y")
    assert ops(s, "y") == ["Quantize", "MatMul", "Add", "Dequantize"]
    result = FuseInteger()(s.graph("y"))
    assert next(n for n in result.nodes if n.op == "Add").inputs == ("pq", "xq")


def test_dequantizer_before_a_quantizer_requantizes() -> None:
    s = Sketch()
    s.node("Quantize", (s.start((2, 2)),), "q", Codes(scale=1.0))
    graph = s.graph(s.node("Dequantize", ("q",), "y"))
    result = RemoveDead()(FuseInteger()(graph))
    assert [n.op for n in result.nodes] == ["Quantize", "Requantize", "Dequantize"]
    check_same_results(graph, result)


def test_two_quantizers_keep_the_numbers() -> None:
    s = Sketch()
    y = s.node("Sigmoid", (s.start((2, 2)),), "s")
    a = s.node("Dequantize", (s.node("Quantize", (y,), "a", Codes(scale=0.25)),), "ar")
    b = s.node("Dequantize", (s.node("Quantize", (y,), "b", Codes(scale=0.5)),), "br")
    assert ops(s, a, b) == ["Quantize", "Sigmoid", *["Quantize", "Dequantize"] * 2]


def test_functions_between_quantizers_run_in_the_vector_unit() -> None:
    s = Sketch()
    y = s.node("Erf", (s.node("Sqrt", (s.node("Exp", (s.start((2, 2)),), "e"),), "s"),), "f")
    graph = s.graph(s.node("Dequantize", (s.node("Quantize", (y,), "q", Q),), "y"))
    result = RemoveDead()(FuseInteger()(graph))
    assert [n.op for n in result.nodes] == ["Quantize", "Exp", "Sqrt", "Erf", "Dequantize"]
    types = [result.values[n.outputs[0]].element.name for n in result.nodes]
    assert types == ["int8", "float32", "float32", "int8", "float32"]
    check_same_results(graph, result)


def test_products_of_numbers_are_left() -> None:
    s = Sketch()
    y = s.node("MatMul", (s.start((2, 2)), s.constant("w", np.eye(2))), "p")
    graph = s.graph(s.node("Dequantize", (s.node("Quantize", (y,), "q", Q),), "y"))
    assert [n.op for n in FuseInteger()(graph).nodes] == [n.op for n in graph.nodes]


def test_concat_requantizes_codes_of_different_meaning() -> None:
    s = Sketch()
    a, b = s.start((2, 2)), s.dequantized("b", np.eye(2), Codes(scale=1.0))
    y = s.node("Concat", (a, b), "c", None, (2, 4), axis=1)
    assert ops(s, y) == ["Quantize", "Dequantize", "Dequantize", "Concat"]
    graph = s.graph(s.node("Dequantize", (s.node("Quantize", (y,), "q", Q),), "y"))
    result = RemoveDead()(FuseInteger()(graph))
    assert [n.op for n in result.nodes] == ["Quantize", "Concat", "Dequantize"]
    check_same_results(graph, result)


def test_network_outputs_keep_their_type() -> None:
    s = Sketch()
    y = s.node("Neg", (s.start((2, 2)),), "n")
    s.node("Quantize", (y,), "q", Q)
    assert ops(s, "n", "q") == ["Quantize", "Neg", "Quantize"]
    assert ops(s, "q") == ["Quantize", "Neg"]
