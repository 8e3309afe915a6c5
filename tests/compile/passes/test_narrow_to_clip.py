from __future__ import annotations

import pytest

from tests.compile.passes.sketch import INT4, INT8, UINT8, Codes, Q, Sketch, check_pass
from zapdeploy.compile.graph import ElementType
from zapdeploy.compile.passes.narrow_to_clip import NarrowToClip, narrowest
from zapdeploy.errors import ModelError


def test_quantizer_takes_over_the_clip() -> None:
    s = Sketch()
    x = s.node("Quantize", (s.input("x", (4,)),), "q", Q)
    c = s.node("Requantize", (x,), "c", Codes(low=-8, high=7))
    y = s.node("Dequantize", (c,), "y")
    result = check_pass(
        NarrowToClip(),
        s.graph(y),
        """
        q: int8[4] s=0.5 z=0 [-128, 127] = Quantize(x) "quantize_q"
        c: int8[4] s=0.5 z=0 [-8, 7] = Requantize(q) "requantize_c"
        y: float32[4] = Dequantize(c) "dequantize_y"
        """,
        """
        c: int4[4] s=0.5 z=0 [-8, 7] = Quantize(x) "quantize_q"
        y: float32[4] = Dequantize(c) "dequantize_y"
        """,
    )
    assert result.nodes[0].sources == ("quantize_q", "requantize_c")


def test_codes_read_by_others_keep_their_quantizer() -> None:
    s = Sketch()
    x = s.node("Quantize", (s.input("x", (4,)),), "q", Q)
    c = s.node("Requantize", (x,), "c", Codes(low=0, high=7))
    m = s.node("Reshape", (c,), "m", Codes(), (2, 2))
    check_pass(
        NarrowToClip(),
        s.graph(s.node("Dequantize", (x,), "wide"), s.node("Dequantize", (m,), "narrow")),
        """
        q: int8[4] s=0.5 z=0 [-128, 127] = Quantize(x) "quantize_q"
        c: int8[4] s=0.5 z=0 [0, 7] = Requantize(q) "requantize_c"
        m: int8[2,2] s=0.5 z=0 [-128, 127] = Reshape(c) "reshape_m"
        wide: float32[4] = Dequantize(q) "dequantize_wide"
        narrow: float32[2,2] = Dequantize(m) "dequantize_narrow"
        """,
        """
        q: int8[4] s=0.5 z=0 [-128, 127] = Quantize(x) "quantize_q"
        c: uint3[4] s=0.5 z=0 [0, 7] = Requantize(q) "requantize_c"
        m: uint3[2,2] s=0.5 z=0 [0, 7] = Reshape(c) "reshape_m"
        wide: float32[4] = Dequantize(q) "dequantize_wide"
        narrow: float32[2,2] = Dequantize(m) "dequantize_narrow"
        """,
    )


def test_a_relu_on_codes_is_no_width() -> None:
    s = Sketch()
    x = s.node("Quantize", (s.input("x", (4,)),), "q", Codes(zero=3))
    c = s.node("Requantize", (x,), "c", Codes(zero=3, low=3))
    check_pass(
        NarrowToClip(),
        s.graph(s.node("Dequantize", (c,), "y")),
        """
        q: int8[4] s=0.5 z=3 [-128, 127] = Quantize(x) "quantize_q"
        c: int8[4] s=0.5 z=3 [3, 127] = Requantize(q) "requantize_c"
        y: float32[4] = Dequantize(c) "dequantize_y"
        """,
        """
        c: int8[4] s=0.5 z=3 [3, 127] = Quantize(x) "quantize_q"
        y: float32[4] = Dequantize(c) "dequantize_y"
        """,
    )


@pytest.mark.parametrize(
    ("element", "low", "high", "expected"),
    [
        (INT8, -128, 127, "int8"),
        (INT8, -127, 127, "int8"),
        (INT8, -8, 7, "int4"),
        (INT8, -7, 7, "int4"),
        (INT8, -8, 8, "int5"),
        (INT8, -2, 1, "int2"),
        (INT8, -1, 0, "int2"),
        (INT8, 0, 15, "uint4"),
        (UINT8, 0, 255, "uint8"),
        (UINT8, 0, 15, "uint4"),
        (UINT8, 0, 1, "uint2"),
        (INT4, -8, 7, "int4"),
        (ElementType("int", 16), -128, 127, "int8"),
        (ElementType("int", 16), -2048, 2047, "int16"),
    ],
)
def test_narrowest(element: ElementType, low: int, high: int, expected: str) -> None:
    assert narrowest(element, low, high).name == expected


def test_zero_point_outside_the_range() -> None:
    s = Sketch()
    x = s.node("Quantize", (s.input("x", (4,)),), "q", Codes(zero=-20))
    c = s.node("Requantize", (x,), "c", Codes(zero=-20, low=-8, high=7))
    with pytest.raises(ModelError) as caught:
        NarrowToClip()(s.graph(s.node("Dequantize", (c,), "y")))
    assert str(caught.value) == (
        "zero point must be in the range [-8, 7] that the Clip leaves, not -20 "
        "(node 'requantize_c')"
    )
