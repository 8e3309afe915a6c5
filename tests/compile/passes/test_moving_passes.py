"""hoist_quantize and sink_dequantize: data is moved as codes."""

from __future__ import annotations

from tests.compile.passes.sketch import (
    INT4,
    UINT8,
    Codes,
    Q,
    Sketch,
    check_pass,
    check_same_results,
)
from zapdeploy.compile.passes.hoist_quantize import HoistQuantize
from zapdeploy.compile.passes.share_quantizers import ShareQuantizers
from zapdeploy.compile.passes.sink_dequantize import SinkDequantize


def test_quantizer_moves_up() -> None:
    s = Sketch()
    r = s.node("Sigmoid", (s.input("x", (2, 6)),), "s")
    r = s.node("Reshape", (r,), "r", None, (2, 2, 3))
    r = s.node("Transpose", (r,), "t", None, (3, 2, 2), perm=(2, 0, 1))
    q = s.node("Quantize", (r,), "q", Q)
    graph = s.graph(s.node("Dequantize", (q,), "y"))
    result = check_pass(
        HoistQuantize(),
        graph,
        """
        s: float32[2,6] = Sigmoid(x) "sigmoid_s"
        r: float32[2,2,3] = Reshape(s) "reshape_r"
        t: float32[3,2,2] = Transpose(r) perm=[2,0,1] "transpose_t"
        q: int8[3,2,2] s=0.5 z=0 [-128, 127] = Quantize(t) "quantize_q"
        y: float32[3,2,2] = Dequantize(q) "dequantize_y"
        """,
        """
        s: float32[2,6] = Sigmoid(x) "sigmoid_s"
        s_quantized: int8[2,6] s=0.5 z=0 [-128, 127] = Quantize(s) "quantize_q"
        r_quantized: int8[2,2,3] s=0.5 z=0 [-128, 127] = Reshape(s_quantized) "reshape_r"
        q: int8[3,2,2] s=0.5 z=0 [-128, 127] = Transpose(r_quantized) perm=[2,0,1] "transpose_t"
        y: float32[3,2,2] = Dequantize(q) "dequantize_y"
        """,
    )
    check_same_results(graph, result)


def test_scales_follow_their_axis_up() -> None:
    s = Sketch()
    r = s.node("Transpose", (s.input("x", (2, 3)),), "t", None, (3, 2), perm=(1, 0))
    q = s.node("Quantize", (r,), "q", Codes(scale=[1, 2], axis=1))
    graph = s.graph(s.node("Dequantize", (q,), "y"))
    result = HoistQuantize()(graph)
    meaning = result.values["x_quantized"].quantization
    assert meaning is not None
    assert meaning.axis == 0
    check_same_results(graph, result)


def test_the_parts_of_a_tensor_share_a_quantizer() -> None:
    """Both halves of a split have the same parameters: the whole is quantized once."""
    s = Sketch()
    x = s.node("Relu", (s.input("x", (2, 4)),), "r")
    for name, start in (("a", 0), ("b", 2)):
        part = s.node("Slice", (x,), name, None, (2, 2), starts=(0, start), steps=(1, 1))
        s.node("Dequantize", (s.node("Quantize", (part,), f"{name}q", Q),), f"{name}y")
    graph = s.graph("ay", "by")
    result = ShareQuantizers()(HoistQuantize()(graph))
    assert [node.op for node in result.nodes].count("Quantize") == 1
    check_same_results(graph, result)


def test_parts_with_different_parameters_are_left() -> None:
    s = Sketch()
    x = s.input("x", (2, 4))
    for name, scale in (("a", 0.5), ("b", 1.0)):
        part = s.node("Slice", (x,), name, None, (2, 2), starts=(0, 0), steps=(1, 1))
        s.node(
            "Dequantize", (s.node("Quantize", (part,), f"{name}q", Codes(scale=scale)),), f"{name}y"
        )
    graph = s.graph("ay", "by")
    assert HoistQuantize()(graph) is graph


def test_a_move_of_codes_is_left_to_sinking() -> None:
    s = Sketch()
    r = s.node("Reshape", (s.start((2, 3)),), "r", None, (6,))
    q = s.node("Quantize", (r,), "q", Codes(scale=1.0))
    graph = s.graph(s.node("Dequantize", (q,), "y"))
    assert HoistQuantize()(graph) is graph


def test_a_concat_of_numbers_and_codes_is_quantized_before() -> None:
    s = Sketch()
    a, b = s.start((2, 3)), s.node("Sigmoid", (s.input("z", (2, 3)),), "s")
    c = s.node("Concat", (a, b), "c", None, (2, 6), axis=1)
    q = s.node("Quantize", (c,), "q", Codes(scale=1.0))
    graph = s.graph(s.node("Dequantize", (q,), "y"))
    result = HoistQuantize()(graph)
    assert [node.op for node in result.nodes][-4:] == [
        "Quantize", "Quantize", "Concat", "Dequantize",
    ]  # fmt: skip
    check_same_results(graph, result)


def test_dequantizer_moves_down() -> None:
    s = Sketch()
    r = s.start((1, 2, 4, 4), Codes(zero=5))
    window = {"kernel_shape": (2, 2), "strides": (2, 2), "dilations": (1, 1), "ceil_mode": 0}
    r = s.node("MaxPool", (r,), "m", None, (1, 2, 2, 2), pads=(0, 0, 0, 0), **window)  # type: ignore[arg-type]
    r = s.node("Relu", (r,), "r")
    r = s.node("Pad", (r,), "p", None, (1, 2, 2, 4), pads=(0, 0, 0, 1, 0, 0, 0, 1), value=-1.5)
    r = s.node("Reshape", (r,), "f", None, (1, 16))
    graph = s.graph(r)
    result = check_pass(
        SinkDequantize(),
        graph,
        """
        xq: int8[1,2,4,4] s=0.5 z=5 [-128, 127] = Quantize(x) "quantize_xq"
        xr: float32[1,2,4,4] = Dequantize(xq) "dequantize_xr"
        m: float32[1,2,2,2] = MaxPool(xr) ceil_mode=0 dilations=[1,1] kernel_shape=[2,2] pads=[0,0,0,0] strides=[2,2] "maxpool_m"
        r: float32[1,2,2,2] = Relu(m) "relu_r"
        p: float32[1,2,2,4] = Pad(r) pads=[0,0,0,1,0,0,0,1] value=-1.5 "pad_p"
        f: float32[1,16] = Reshape(p) "reshape_f"
        """,  # noqa: E501
        """
        xq: int8[1,2,4,4] s=0.5 z=5 [-128, 127] = Quantize(x) "quantize_xq"
        xr: float32[1,2,4,4] = Dequantize(xq) "dequantize_xr"
        m_quantized: int8[1,2,2,2] s=0.5 z=5 [-128, 127] = MaxPool(xq) ceil_mode=0 dilations=[1,1] kernel_shape=[2,2] pads=[0,0,0,0] strides=[2,2] "maxpool_m"
        m: float32[1,2,2,2] = Dequantize(m_quantized) "maxpool_m_dequantize"
        r_quantized: int8[1,2,2,2] s=0.5 z=5 [5, 127] = Relu(m_quantized) "relu_r"
        r: float32[1,2,2,2] = Dequantize(r_quantized) "relu_r_dequantize"
        p: float32[1,2,2,4] = Pad(r) pads=[0,0,0,1,0,0,0,1] value=-1.5 "pad_p"
        f: float32[1,16] = Reshape(p) "reshape_f"
        """,  # noqa: E501
    )
    check_same_results(graph, result)


def test_padding_that_has_a_code_is_moved_as_codes() -> None:
    s = Sketch()
    r = s.node("Pad", (s.start((3,), Codes(zero=5)),), "p", None, (5,), pads=(1, 1), value=-1.5)
    graph = s.graph(r)
    result = SinkDequantize()(graph)
    assert [node.op for node in result.nodes] == ["Quantize", "Dequantize", "Pad", "Dequantize"]
    check_same_results(graph, result)


def test_a_quantizer_moves_up_through_padding_with_any_number() -> None:
    """0.3 is no multiple of the step: it is rounded as it was, now by the padding."""
    s = Sketch()
    r = s.node("Sigmoid", (s.input("x", (3,)),), "s")
    r = s.node("Pad", (r,), "p", None, (5,), pads=(1, 1), value=0.3)
    graph = s.graph(s.node("Dequantize", (s.node("Quantize", (r,), "q", Q),), "y"))
    result = HoistQuantize()(graph)
    assert [node.op for node in result.nodes] == ["Sigmoid", "Quantize", "Pad", "Dequantize"]
    check_same_results(graph, result)


def test_codes_of_equal_meaning_are_joined_in_the_widest_type() -> None:
    s = Sketch()
    a = s.start((2, 3))
    b = s.dequantized("b", [[1, 2], [-8, 7]], Codes(INT4, 0.5))
    graph = s.graph(s.node("Concat", (a, b), "c", None, (2, 5), axis=1))
    result = SinkDequantize()(graph)
    joined = result.values["c_quantized"]
    assert joined.element.name == "int8"
    check_same_results(graph, result)


def test_codes_of_different_meaning_are_not_joined() -> None:
    for codes in (Codes(scale=1.0), Codes(zero=1), Codes(UINT8)):
        s = Sketch()
        a, b = s.start((2, 3)), s.dequantized("b", [[1], [2]], codes)
        graph = s.graph(s.node("Concat", (a, b), "c", None, (2, 4), axis=1))
        assert [n.op for n in SinkDequantize()(graph).nodes] == [n.op for n in graph.nodes]


def test_scales_follow_their_axis_down_or_stop() -> None:
    for op, shape, attributes, axis in (
        ("Transpose", (3, 2), {"perm": (1, 0)}, 1),
        ("Reshape", (1, 2, 3), {}, 1),
        ("Reshape", (6,), {}, None),
        ("Slice", (2, 2), {"starts": (0, 1), "steps": (1, 1)}, 0),
        ("Slice", (1, 3), {"starts": (1, 0), "steps": (1, 1)}, None),
        ("Slice", (2, 3), {"starts": (1, 0), "steps": (-1, 1)}, None),
        ("Relu", (2, 3), {}, None),
    ):
        s = Sketch()
        w = s.dequantized("w", [[1, 2, 3], [4, 5, 6]], Codes(scale=[1, 2], axis=0))
        graph = s.graph(s.node(op, (w,), "y", None, shape, **attributes))  # type: ignore[arg-type]
        result = SinkDequantize()(graph)
        moved = result.values.get("y_quantized")
        found = None if moved is None or moved.quantization is None else moved.quantization.axis
        assert found == axis, (op, shape)
        check_same_results(graph, result)
