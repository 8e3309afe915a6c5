"""Small graphs for tests of passes, and the check of one pass against golden text."""

from __future__ import annotations

from dataclasses import dataclass, field
from textwrap import dedent
from typing import Any

import numpy as np

import zapdeploy.compile.ops  # noqa: F401  (registers the operators)
from zapdeploy.compile.graph import (
    FLOAT32,
    INT32,
    Attribute,
    ElementType,
    Graph,
    Node,
    Quantization,
    Value,
    verify,
)
from zapdeploy.compile.passes import Pass
from zapdeploy.compile.printing import graph_text
from zapdeploy.sim.functional import run

INT8 = ElementType("int", 8)
INT4 = ElementType("int", 4)
UINT8 = ElementType("uint", 8)


@dataclass(frozen=True)
class Codes:
    """The type of a quantized value."""

    element: ElementType = INT8
    scale: Any = 0.5
    zero: Any = 0
    low: int | None = None
    high: int | None = None
    axis: int | None = None

    @property
    def quantization(self) -> Quantization:
        low, high = self.element.limits
        scale = np.atleast_1d(np.asarray(self.scale, np.float32))
        zero = np.broadcast_to(np.asarray(self.zero, np.int32), scale.shape).copy()
        return Quantization(
            scale,
            zero,
            low if self.low is None else self.low,
            high if self.high is None else self.high,
            self.axis,
        )


Q = Codes()
BIAS = Codes(INT32, 0.25)


@dataclass
class Sketch:
    """A graph under construction; every method returns the name of a value."""

    values: dict[str, Value] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)

    def value(
        self, name: str, shape: tuple[int, ...], codes: Codes | None, data: Any = None
    ) -> str:
        element = FLOAT32 if codes is None else codes.element
        array = None if data is None else np.asarray(data, element.numpy)
        quantization = None if codes is None else codes.quantization
        self.values[name] = Value(name, shape, element, quantization, array)
        return name

    def input(self, name: str, shape: tuple[int, ...], codes: Codes | None = None) -> str:
        self.inputs.append(name)
        return self.value(name, shape, codes)

    def constant(self, name: str, data: Any, codes: Codes | None = None) -> str:
        return self.value(name, np.shape(data), codes, data)

    def node(
        self,
        op: str,
        inputs: tuple[str, ...],
        output: str,
        codes: Codes | None = None,
        shape: tuple[int, ...] | None = None,
        **attributes: Attribute,
    ) -> str:
        """A node named after its output; its shape is the first input's unless given."""
        name = f"{op.lower()}_{output}"
        self.nodes.append(Node(name, op, inputs, (output,), attributes, (name,)))
        return self.value(output, shape or self.values[inputs[0]].shape, codes)

    def dequantized(self, name: str, data: Any, codes: Codes) -> str:
        """A constant of codes and its dequantizer."""
        return self.node("Dequantize", (self.constant(f"{name}_codes", data, codes),), name)

    def start(self, shape: tuple[int, ...], codes: Codes = Q) -> str:
        """The network input x, quantized (xq) and dequantized (xr)."""
        quantized = self.node("Quantize", (self.input("x", shape),), "xq", codes)
        return self.node("Dequantize", (quantized,), "xr")

    def graph(self, *outputs: str) -> Graph:
        graph = Graph("g", tuple(self.nodes), self.values, tuple(self.inputs), outputs)
        verify(graph)
        return graph


CONV: dict[str, Attribute] = {
    "strides": (1, 1),
    "dilations": (1, 1),
    "pads": (0, 0, 0, 0),
    "group": 1,
}


def body(graph: Graph) -> str:
    """The text of constants and nodes, without attributes of windows."""
    lines = graph_text(graph).splitlines()[1:-1]
    window = " dilations=[1,1] group=1 pads=[0,0,0,0] strides=[1,1]"
    return "\n".join(line.replace(window, "") for line in lines if not line.startswith("input"))


def check_pass(step: Pass, graph: Graph, before: str, after: str) -> Graph:
    """The pass turns the text `before` into `after`, and doing it again changes nothing."""
    assert body(graph) == dedent(before).strip()
    result = step(graph)
    verify(result)
    assert body(result) == dedent(after).strip()
    again = step(result)
    assert graph_text(again) == graph_text(result)
    return result


def check_same_results(before: Graph, after: Graph, tolerance: float = 0.0) -> None:
    """Both graphs compute the same outputs for random inputs."""
    rng = np.random.default_rng(0)
    inputs = {
        name: rng.normal(0, 20, before.values[name].shape).astype(np.float32)
        for name in before.inputs
    }
    expected, found = run(before, inputs), run(after, inputs)
    for name in before.outputs:
        assert found[name].dtype == expected[name].dtype
        np.testing.assert_allclose(found[name], expected[name], rtol=tolerance, atol=tolerance)
