"""remove_identity, share_quantizers, remove_dead, and the driver that runs passes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from tests.compile.passes.sketch import Codes, Q, Sketch, check_pass
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.passes import IMPORT_PASSES, pass_name, run_passes
from zapdeploy.compile.passes.remove_dead import RemoveDead
from zapdeploy.compile.passes.remove_identity import RemoveIdentity
from zapdeploy.compile.passes.share_quantizers import ShareQuantizers
from zapdeploy.errors import ModelError


def test_identities_are_read_through() -> None:
    s = Sketch()
    a = s.node("Reshape", (s.input("x", (4,)),), "a")
    b = s.node("Neg", (s.node("Reshape", (a,), "b"),), "n")
    c = s.node("Reshape", (b,), "c")
    y = s.node("Reshape", (c,), "y")
    check_pass(
        RemoveIdentity(),
        s.graph(y, s.node("Abs", (c,), "z")),
        """
        a: float32[4] = Reshape(x) "reshape_a"
        b: float32[4] = Reshape(a) "reshape_b"
        n: float32[4] = Neg(b) "neg_n"
        c: float32[4] = Reshape(n) "reshape_c"
        y: float32[4] = Reshape(c) "reshape_y"
        z: float32[4] = Abs(c) "abs_z"
        """,
        """
        y: float32[4] = Neg(x) "neg_n"
        z: float32[4] = Abs(y) "abs_z"
        """,
    )


def test_an_identity_from_input_to_output_stays() -> None:
    s = Sketch()
    s.node("Reshape", (s.input("x", (4,)),), "y")
    s.node("Reshape", (s.node("Neg", ("x",), "n"),), "z")
    result = RemoveIdentity()(s.graph("y", "n", "z"))
    assert [node.op for node in result.nodes] == ["Reshape", "Neg", "Reshape"]


def test_equal_quantizers_of_one_tensor_become_one() -> None:
    s = Sketch()
    x = s.input("x", (4,))
    for name, codes in (("a", Q), ("b", Q), ("c", Codes(low=0)), ("d", Codes(scale=1.0))):
        s.node("Dequantize", (s.node("Quantize", (x,), name, codes),), f"{name}r")
    result = check_pass(
        ShareQuantizers(),
        s.graph("ar", "br", "cr", "dr"),
        """
        a: int8[4] s=0.5 z=0 [-128, 127] = Quantize(x) "quantize_a"
        ar: float32[4] = Dequantize(a) "dequantize_ar"
        b: int8[4] s=0.5 z=0 [-128, 127] = Quantize(x) "quantize_b"
        br: float32[4] = Dequantize(b) "dequantize_br"
        c: int8[4] s=0.5 z=0 [0, 127] = Quantize(x) "quantize_c"
        cr: float32[4] = Dequantize(c) "dequantize_cr"
        d: int8[4] s=1 z=0 [-128, 127] = Quantize(x) "quantize_d"
        dr: float32[4] = Dequantize(d) "dequantize_dr"
        """,
        """
        a: int8[4] s=0.5 z=0 [-128, 127] = Quantize(x) "quantize_a"
        ar: float32[4] = Dequantize(a) "dequantize_ar"
        br: float32[4] = Dequantize(a) "dequantize_br"
        c: int8[4] s=0.5 z=0 [0, 127] = Quantize(x) "quantize_c"
        cr: float32[4] = Dequantize(c) "dequantize_cr"
        d: int8[4] s=1 z=0 [-128, 127] = Quantize(x) "quantize_d"
        dr: float32[4] = Dequantize(d) "dequantize_dr"
        """,
    )
    assert result.nodes[0].sources == ("quantize_a", "quantize_b")


def test_dead_nodes() -> None:
    s = Sketch()
    y = s.node("Neg", (s.input("x", (4,)),), "y")
    s.node("Abs", (s.node("Exp", (y,), "e"),), "z")
    check_pass(
        RemoveDead(),
        s.graph(y),
        """
        y: float32[4] = Neg(x) "neg_y"
        e: float32[4] = Exp(y) "exp_e"
        z: float32[4] = Abs(e) "abs_z"
        """,
        """
        y: float32[4] = Neg(x) "neg_y"
        """,
    )


@dataclass(frozen=True)
class LoseAllNodes:
    def __call__(self, graph: Graph) -> Graph:
        return replace(graph, nodes=())


def test_driver_shows_each_graph_and_names_the_pass_that_broke_it() -> None:
    s = Sketch()
    graph = s.graph(s.node("Neg", (s.input("x", (4,)),), "y"))
    seen: list[str] = []
    with pytest.raises(ModelError) as caught:
        run_passes(graph, (RemoveDead(), LoseAllNodes()), lambda name, _: seen.append(name))
    assert str(caught.value) == (
        "output 'y' must be computed by some node (after remove_dead, lose_all_nodes)"
    )
    assert seen == ["imported", "remove_dead"]


def test_names_of_passes_are_those_of_their_files() -> None:
    for step in IMPORT_PASSES:
        assert type(step).__module__.endswith(f".{pass_name(step)}")
