"""recognize_functions: Gelu, Swish and RMSNormalization from their parts, and what is not one."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np
import pytest

from tests.compile.passes.sketch import Sketch, check_pass, check_same_results
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.passes.recognize_functions import RecognizeFunctions

SHAPE = (2, 3, 4)


def begun() -> Sketch:
    """x, and the numbers that the functions are written with."""
    s = Sketch()
    s.input("x", SHAPE)
    numbers = {"half": 0.5, "one": 1, "two": 2, "root": sqrt(2), "over": sqrt(0.5), "eps": 1e-5}
    for name, number in numbers.items():
        s.constant(name, np.float32(number))
    s.constant("scale", np.float32([0.5, 2, -1, 3]))
    return s


def gelu_of_torch() -> Sketch:
    s = begun()
    s.node("Div", ("x", "root"), "a")
    s.node("Erf", ("a",), "b")
    s.node("Add", ("b", "one"), "c")
    s.node("Mul", ("x", "c"), "d")
    s.node("Mul", ("d", "half"), "y")
    return s


def gelu_the_other_way_round() -> Sketch:
    s = begun()
    s.node("Mul", ("x", "over"), "a")
    s.node("Erf", ("a",), "b")
    s.node("Add", ("one", "b"), "c", shape=SHAPE)
    s.node("Mul", ("half", "c"), "d", shape=SHAPE)
    s.node("Mul", ("d", "x"), "y")
    return s


def swish() -> Sketch:
    s = begun()
    s.node("Sigmoid", ("x",), "a")
    s.node("Mul", ("a", "x"), "y")
    return s


def rms_normalization(square: str = "Pow", keepdims: int = 1) -> Sketch:
    s = begun()
    s.node(square, ("x", "two") if square == "Pow" else ("x", "x"), "a")
    s.node("ReduceMean", ("a",), "b", shape=(2, 3, 1), axes=(-1,), keepdims=keepdims)
    s.node("Add", ("b", "eps"), "c")
    s.node("Sqrt", ("c",), "d")
    s.node("Div", ("x", "d"), "e")
    s.node("Mul", ("scale", "e"), "y", shape=SHAPE)
    return s


FUNCTIONS: dict[str, tuple[Callable[[], Sketch], str]] = {
    "gelu of torch": (gelu_of_torch, "Gelu"),
    "gelu the other way round": (gelu_the_other_way_round, "Gelu"),
    "swish": (swish, "Swish"),
    "root mean square": (rms_normalization, "RMSNormalization"),
    "root of mean x times x": (lambda: rms_normalization("Mul"), "RMSNormalization"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_whole_computes_what_its_parts_did(name: str) -> None:
    make, op = FUNCTIONS[name]
    before = make().graph("y")
    after = RecognizeFunctions()(before)
    (node,) = after.nodes
    assert (node.op, node.outputs) == (op, ("y",))
    assert set(node.sources) == {part.name for part in before.nodes}
    check_same_results(before, after, tolerance=1e-6)


def test_swiglu_keeps_its_gate() -> None:
    s = Sketch()
    s.input("x", SHAPE)
    s.input("up", SHAPE)
    s.node("Sigmoid", ("x",), "a")
    s.node("Mul", ("x", "a"), "b")
    s.node("Mul", ("b", "up"), "y")
    check_pass(
        RecognizeFunctions(),
        s.graph("y"),
        """
        a: float32[2,3,4] = Sigmoid(x) "sigmoid_a"
        b: float32[2,3,4] = Mul(x, a) "mul_b"
        y: float32[2,3,4] = Mul(b, up) "mul_y"
        """,
        """
        b: float32[2,3,4] = Swish(x) alpha=1 "mul_b"
        y: float32[2,3,4] = Mul(b, up) "mul_y"
        """,
    )


def _also_an_output() -> Graph:
    return swish().graph("y", "a")


def _read_elsewhere() -> Graph:
    s = gelu_of_torch()
    s.node("Neg", ("c",), "z")
    return s.graph("y", "z")


def _another_factor() -> Graph:
    s = gelu_of_torch()
    s.constant("half", np.float32(0.25))
    return s.graph("y")


def _sigmoid_of_another() -> Graph:
    s = begun()
    s.input("z", SHAPE)
    s.node("Mul", ("x", s.node("Sigmoid", ("z",), "a")), "y")
    return s.graph("y")


def _mean_over_rows() -> Graph:
    s = begun()
    s.node("Pow", ("x", "two"), "a")
    s.node("ReduceMean", ("a",), "b", shape=(2, 1, 4), axes=(1,), keepdims=1)
    s.node("Sqrt", (s.node("Add", ("b", "eps"), "c"),), "d")
    s.node("Mul", (s.node("Div", ("x", "d"), "e"), "scale"), "y")
    return s.graph("y")


@pytest.mark.parametrize(
    "make",
    [_also_an_output, _read_elsewhere, _another_factor, _sigmoid_of_another, _mean_over_rows],
)
def test_what_only_looks_like_one_stays(make: Callable[[], Graph]) -> None:
    before = make()
    assert RecognizeFunctions()(before) is before
