from __future__ import annotations

from textwrap import dedent

from tests.compile.passes.sketch import CONV, INT4, Codes, Q, Sketch
from zapdeploy.compile.graph import Node
from zapdeploy.compile.printing import graph_text


def test_graph_text() -> None:
    s = Sketch()
    x = s.input("x", (1, 1, 4, 4), Q)
    w = s.constant("w", [[[[3]]], [[[-4]]]], Codes(INT4, [0.25, 2], [0, 1], axis=0))
    y = s.node("Conv", (x, w), "y", None, (1, 2, 4, 4), **CONV)
    y = s.node("Clip", (y,), "c", low=0.0, high=6.5)
    s.node("Gelu", (y,), "g", approximate="tanh")
    graph = s.graph("c", "g")
    optional = Node("last", "LayerNormalization", ("g", "", "c"), ("z",), {"axis": -1})
    values = {**graph.values, s.value("z", (), None): s.values["z"]}
    graph = graph.with_nodes((*graph.nodes, optional), values)
    assert graph_text(graph) == dedent(
        """\
        graph g
        input x: int8[1,1,4,4] s=0.5 z=0 [-128, 127]
        constant w: int4[2,1,1,1] s=0.25..2 z=0..1 axis=0 [-8, 7]
        y: float32[1,2,4,4] = Conv(x, w) dilations=[1,1] group=1 pads=[0,0,0,0] strides=[1,1] "conv_y"
        c: float32[1,2,4,4] = Clip(y) high=6.5 low=0 "clip_c"
        g: float32[1,2,4,4] = Gelu(c) approximate=tanh "gelu_g"
        z: float32[] = LayerNormalization(g, -, c) axis=-1 "last"
        output c, g
        """  # noqa: E501
    )
