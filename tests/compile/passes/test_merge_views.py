"""A reshape of a reshape."""

from __future__ import annotations

from tests.compile.passes.sketch import Codes, Q, Sketch, check_pass
from zapdeploy.compile.passes.merge_views import MergeViews


def test_every_view_reads_the_first_source() -> None:
    s = Sketch()
    a = s.node("Reshape", (s.input("x", (2, 6)),), "a", shape=(12,))
    b = s.node("Reshape", (a,), "b", shape=(3, 4))
    c = s.node("Reshape", (b,), "c", shape=(4, 3))
    check_pass(
        MergeViews(),
        s.graph(s.node("Neg", (c,), "y"), s.node("Abs", (a,), "z")),
        """
        a: float32[12] = Reshape(x) "reshape_a"
        b: float32[3,4] = Reshape(a) "reshape_b"
        c: float32[4,3] = Reshape(b) "reshape_c"
        y: float32[4,3] = Neg(c) "neg_y"
        z: float32[12] = Abs(a) "abs_z"
        """,
        """
        a: float32[12] = Reshape(x) "reshape_a"
        b: float32[3,4] = Reshape(x) "reshape_b"
        c: float32[4,3] = Reshape(x) "reshape_c"
        y: float32[4,3] = Neg(c) "neg_y"
        z: float32[12] = Abs(a) "abs_z"
        """,
    )


def test_a_view_that_requantizes_or_has_scales_along_an_axis_stays() -> None:
    for first, second in (
        (Codes(scale=0.25), Q),
        (Codes(low=0), Q),
        (Codes(scale=[0.5, 0.25], axis=0), Codes(scale=[0.5, 0.25], axis=0)),
    ):
        s = Sketch()
        q = s.node("Quantize", (s.input("x", (2, 6)),), "q", Q if first.axis is None else first)
        a = s.node("Reshape", (q,), "a", first, shape=(2, 3, 2))
        b = s.node("Reshape", (a,), "b", second, shape=(2, 6, 1))
        graph = s.graph(s.node("Dequantize", (b,), "y"))
        assert MergeViews()(graph).producers()["b"].inputs == ("a",)
