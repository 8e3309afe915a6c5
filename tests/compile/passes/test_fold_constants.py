from __future__ import annotations

import numpy as np
import pytest

from tests.compile.passes.sketch import INT4, INT32, Codes, Q, Sketch, check_pass
from zapdeploy.compile.graph import Value
from zapdeploy.compile.ops.codes import quantize
from zapdeploy.compile.passes import fold_constants
from zapdeploy.compile.passes.fold_constants import FoldConstants, quantize_in_blocks
from zapdeploy.errors import ModelError


def test_weights_are_quantized_moved_and_not_dequantized() -> None:
    s = Sketch()
    channels = Codes(scale=[0.5, 0.25], axis=0)
    w = s.node("Quantize", (s.constant("w", [[1, 2, -99], [1, 2, 0.125]]),), "q", channels)
    narrow = Codes(INT4, [0.5, 0.25], axis=0)
    w = s.node("Requantize", (w,), "c", narrow)
    turned = Codes(INT4, [0.5, 0.25], axis=1)
    w = s.node("Transpose", (w,), "t", turned, (3, 2), perm=(1, 0))
    w = s.node("Dequantize", (w,), "wr")
    y = s.node("MatMul", (s.start((1, 3)), w), "y", None, (1, 2))
    result = check_pass(
        FoldConstants(),
        s.graph(y),
        """
        constant w: float32[2,3]
        q: int8[2,3] s=0.25..0.5 z=0 axis=0 [-128, 127] = Quantize(w) "quantize_q"
        c: int4[2,3] s=0.25..0.5 z=0 axis=0 [-8, 7] = Requantize(q) "requantize_c"
        t: int4[3,2] s=0.25..0.5 z=0 axis=1 [-8, 7] = Transpose(c) perm=[1,0] "transpose_t"
        wr: float32[3,2] = Dequantize(t) "dequantize_wr"
        xq: int8[1,3] s=0.5 z=0 [-128, 127] = Quantize(x) "quantize_xq"
        xr: float32[1,3] = Dequantize(xq) "dequantize_xr"
        y: float32[1,2] = MatMul(xr, wr) "matmul_y"
        """,
        """
        constant t: int4[3,2] s=0.25..0.5 z=0 axis=1 [-8, 7]
        wr: float32[3,2] = Dequantize(t) "dequantize_wr"
        xq: int8[1,3] s=0.5 z=0 [-128, 127] = Quantize(x) "quantize_xq"
        xr: float32[1,3] = Dequantize(xq) "dequantize_xr"
        y: float32[1,2] = MatMul(xr, wr) "matmul_y"
        """,
    )
    # By hand: rows 1/0.5, 2/0.5, -198 clamped to -8; 1/0.25, 8 clamped to 7, a half to even.
    assert result.values["t"].data is not None
    assert result.values["t"].data.T.tolist() == [[2, 4, -8], [4, 7, 0]]


def test_constants_must_be_finite() -> None:
    s = Sketch()
    q = s.node("Quantize", (s.constant("w", [1.0, np.nan]),), "q", Q)
    with pytest.raises(ModelError) as caught:
        FoldConstants()(s.graph(s.node("Dequantize", (q,), "y")))
    assert str(caught.value) == "constants must be finite where 'q' quantizes them"


def test_wide_codes_stay_in_their_range() -> None:
    s = Sketch()
    bias = s.constant("b", [-3e38, -2.0, 0.75, 2.0**30, 3e38])
    q = s.node("Quantize", (bias,), "q", Codes(INT32, 0.5))
    graph = FoldConstants()(s.graph(s.node("Dequantize", (q,), "y")))
    assert graph.values["q"].data is not None
    low, high = INT32.limits
    assert graph.values["q"].data.tolist() == [low, -4, 2, high, high]


def test_moves_of_constants_are_views() -> None:
    s = Sketch()
    data = np.arange(6, dtype=np.int8).reshape(2, 3)
    c = s.node("Reshape", (s.constant("c", data, Q),), "r", Q, (3, 2))
    c = s.node("Transpose", (c,), "t", Q, (2, 3), perm=(1, 0))
    graph = FoldConstants()(s.graph(s.node("Dequantize", (c,), "y")))
    folded = graph.values["t"].data
    assert folded is not None
    assert np.shares_memory(folded, s.values["c"].data)
    assert not folded.flags.writeable


def test_big_constants_are_quantized_in_blocks() -> None:
    rng = np.random.default_rng(0)
    reals = rng.normal(0, 9, (50, 7)).astype(np.float32)
    for codes in (
        Q,
        Codes(scale=rng.uniform(0.1, 1, 50), zero=3, axis=0),
        Codes(scale=[1] * 7, axis=1),
    ):
        value = Value("q", (50, 7), codes.element, codes.quantization)
        block, fold_constants.BLOCK_ELEMENTS = fold_constants.BLOCK_ELEMENTS, 20
        try:
            found = quantize_in_blocks(reals, value)
        finally:
            fold_constants.BLOCK_ELEMENTS = block
        np.testing.assert_array_equal(found, quantize(reals, value))
