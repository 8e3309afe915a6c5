from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.compile.passes.sketch import BIAS, CONV, INT8, INT32, Codes, Q, Sketch, check_pass
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.passes.bind_bias import BindBias


def product(bias: Any = None, codes: Codes | None = None, weights: Codes = Q) -> Sketch:
    """x [1, 3] times w [3, 2], value p; a bias of codes or numbers."""
    s = Sketch()
    inputs = (s.start((1, 3)), s.dequantized("w", np.ones((3, 2)), weights))
    if bias is not None and codes is not None:
        inputs += (s.dequantized("b", bias, codes),)
    elif bias is not None:
        inputs += (s.constant("b", bias),)
    s.node("MatMul", inputs, "p", None, (1, 2))
    return s


def bias_of(graph: Graph) -> tuple[str, str, list[float]]:
    """Name, type and numbers of the one bias in a graph after the pass."""
    (node,) = (node for node in BindBias()(graph).nodes if node.op in ("MatMul", "Conv"))
    value = BindBias()(graph).values[node.inputs[2]]
    assert value.data is not None
    return value.name, value.element.name, value.data.tolist()


def test_codes_are_added_to_the_accumulator() -> None:
    check_pass(
        BindBias(),
        product([3, -4], BIAS).graph("p"),
        """
        constant b_codes: int32[2] s=0.25 z=0 [-2147483648, 2147483647]
        constant w_codes: int8[3,2] s=0.5 z=0 [-128, 127]
        xq: int8[1,3] s=0.5 z=0 [-128, 127] = Quantize(x) "quantize_xq"
        xr: float32[1,3] = Dequantize(xq) "dequantize_xr"
        w: float32[3,2] = Dequantize(w_codes) "dequantize_w"
        b: float32[2] = Dequantize(b_codes) "dequantize_b"
        p: float32[1,2] = MatMul(xr, w, b) "matmul_p"
        """,
        """
        constant b_codes: int32[2] s=0.25 z=0 [-2147483648, 2147483647]
        constant w_codes: int8[3,2] s=0.5 z=0 [-128, 127]
        xq: int8[1,3] s=0.5 z=0 [-128, 127] = Quantize(x) "quantize_xq"
        xr: float32[1,3] = Dequantize(xq) "dequantize_xr"
        w: float32[3,2] = Dequantize(w_codes) "dequantize_w"
        b: float32[2] = Dequantize(b_codes) "dequantize_b"
        p: float32[1,2] = MatMul(xr, w, b_codes) "matmul_p"
        """,
    )


def test_an_add_of_a_constant_is_a_bias() -> None:
    s = product()
    s.node("Add", (s.constant("c", [[1.5, -2.5]]), "p"), "y", None, (1, 2))
    result = check_pass(
        BindBias(),
        s.graph("y"),
        """
        constant c: float32[1,2]
        constant w_codes: int8[3,2] s=0.5 z=0 [-128, 127]
        xq: int8[1,3] s=0.5 z=0 [-128, 127] = Quantize(x) "quantize_xq"
        xr: float32[1,3] = Dequantize(xq) "dequantize_xr"
        w: float32[3,2] = Dequantize(w_codes) "dequantize_w"
        p: float32[1,2] = MatMul(xr, w) "matmul_p"
        y: float32[1,2] = Add(c, p) "add_y"
        """,
        """
        constant p_bias: float32[2]
        constant w_codes: int8[3,2] s=0.5 z=0 [-128, 127]
        xq: int8[1,3] s=0.5 z=0 [-128, 127] = Quantize(x) "quantize_xq"
        xr: float32[1,3] = Dequantize(xq) "dequantize_xr"
        w: float32[3,2] = Dequantize(w_codes) "dequantize_w"
        y: float32[1,2] = MatMul(xr, w, p_bias) "matmul_p"
        """,
    )
    assert result.nodes[-1].sources == ("matmul_p", "add_y")


def test_numbers_stay_numbers() -> None:
    assert bias_of(product([1.5, 2.5]).graph("p")) == ("b", "float32", [1.5, 2.5])


@pytest.mark.parametrize(
    "codes",
    [
        Codes(INT32, 0.125),
        Codes(INT32, 0.25, 1),
        Codes(INT8, 0.3),
        Codes(INT32, 0.25 * (1 + 1e-5)),
    ],
)
def test_codes_in_other_units_become_numbers(codes: Codes) -> None:
    name, element, numbers = bias_of(product([4, -4], codes).graph("p"))
    assert (name, element) == ("b_bias", "float32")
    expected = (np.float32([4, -4]) - codes.zero) * np.float32(codes.scale)
    assert numbers == expected.tolist()


def test_a_scale_rounded_another_way_is_the_same() -> None:
    scale = np.nextafter(np.float32(0.25), np.float32(1))
    assert bias_of(product([4, -4], Codes(INT32, scale)).graph("p")) == (
        "b_codes",
        "int32",
        [4, -4],
    )


def test_small_codes_in_the_right_units_are_widened() -> None:
    assert bias_of(product([4, -4], Codes(INT8, 0.25)).graph("p"))[1] == "int32"


def test_scales_per_channel() -> None:
    weights = Codes(scale=[0.5, 2.0], axis=1)
    bias = Codes(INT32, [0.25, 1.0], axis=0)
    assert bias_of(product([4, -4], bias, weights).graph("p"))[1] == "int32"
    wrong = Codes(INT32, [0.25, 0.25], axis=0)
    assert bias_of(product([4, -4], wrong, weights).graph("p"))[2] == [1.0, -1.0]


def test_one_bias_of_two_products() -> None:
    """Shared codes keep their name for nobody: each product gets its own."""
    s = product([4, -4], Codes(INT32, 0.25))
    s.node("MatMul", ("xr", s.dequantized("v", np.ones((3, 2)), Codes(scale=1.0)), "b"), "r",
           None, (1, 2))  # fmt: skip
    graph = BindBias()(s.graph("p", "r"))
    first, second = (graph.values[n.inputs[2]] for n in graph.nodes if n.op == "MatMul")
    assert (first.name, first.element.name) == ("b_codes_bias", "int32")
    assert (second.name, second.element.name) == ("b_bias", "float32")


def test_an_add_is_added_to_the_bias_there_is() -> None:
    for bias, codes in (([1.0, 2.0], None), ([4, 8], Codes(INT32, 0.25))):
        s = product(bias, codes)
        s.node("Add", ("p", s.constant("c", [0.5])), "y", None, (1, 2))
        assert bias_of(s.graph("y"))[2] == [1.5, 2.5]


def test_quantized_addend() -> None:
    s = product()
    s.node("Add", ("p", s.dequantized("c", [4, -4], Codes(INT32, 0.25))), "y", None, (1, 2))
    assert bias_of(s.graph("y")) == ("c_codes", "int32", [4, -4])


def test_convolution_adds_along_channels() -> None:
    s = Sketch()
    inputs = (s.start((1, 1, 2, 3)), s.dequantized("w", np.ones((3, 1, 1, 1)), Q))
    s.node("Conv", inputs, "p", None, (1, 3, 2, 3), **CONV)
    columns = s.constant("columns", [1.0, 2.0, 3.0])
    s.node("Add", ("p", columns), "y", None, (1, 3, 2, 3))
    graph = s.graph("y")
    assert [n.op for n in BindBias()(graph).nodes] == [n.op for n in graph.nodes]
    s.nodes.pop()
    channels = s.constant("channels", [[[1.0]], [[2.0]], [[3.0]]])
    s.node("Add", ("p", channels), "y", None, (1, 3, 2, 3))
    assert bias_of(s.graph("y"))[2] == [1.0, 2.0, 3.0]


def test_what_is_no_bias_stays() -> None:
    for addend, shape in (([[1.0, 2.0], [3.0, 4.0]], (2, 2)), ([[1.0], [2.0]], (2, 2))):
        s = product()
        s.node("Add", ("p", s.constant("c", addend)), "y", None, shape)
        assert "Add" in [n.op for n in BindBias()(s.graph("y")).nodes]
    s = product()
    s.node("Add", ("p", s.constant("c", [1.0, 2.0])), "y", None, (1, 2))
    assert "Add" in [n.op for n in BindBias()(s.graph("y", "p")).nodes]
