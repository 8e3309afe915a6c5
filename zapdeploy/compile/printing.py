"""A graph as text: one line for each input, constant and node."""

from __future__ import annotations

import numpy as np

from zapdeploy.compile.graph import Array, Attribute, Graph, Node, Quantization, Value


def graph_text(graph: Graph) -> str:
    """The whole graph; the form that golden tests compare and --print-after shows."""
    lines = [f"graph {graph.name}"]
    lines += [f"input {_typed(graph.values[name])}" for name in graph.inputs]
    constants = [value for value in graph.values.values() if value.is_constant]
    lines += [f"constant {_typed(value)}" for value in sorted(constants, key=lambda v: v.name)]
    lines += [_line(graph, node) for node in graph.nodes]
    lines.append(f"output {', '.join(graph.outputs)}")
    return "\n".join(lines) + "\n"


def _line(graph: Graph, node: Node) -> str:
    results = ", ".join(_typed(graph.values[name]) for name in node.outputs)
    attributes = "".join(
        f" {key}={_attribute(value)}" for key, value in sorted(node.attributes.items())
    )
    operands = ", ".join(name or "-" for name in node.inputs)
    return f'{results} = {node.op}({operands}){attributes} "{node.name}"'


def _typed(value: Value) -> str:
    dimensions = ",".join(map(str, value.shape))
    text = f"{value.name}: {value.element.name}[{dimensions}]"
    return text if value.quantization is None else f"{text} {_meaning(value.quantization)}"


def _meaning(quantization: Quantization) -> str:
    along = "" if quantization.axis is None else f" axis={quantization.axis}"
    return (
        f"s={_span(quantization.scale)} z={_span(quantization.zero_point)}"
        f"{along} [{quantization.low}, {quantization.high}]"
    )


def _span(numbers: Array) -> str:
    """One number, or the smallest and the largest of many."""
    low, high = np.min(numbers), np.max(numbers)
    return f"{low:g}" if low == high else f"{low:g}..{high:g}"


def _attribute(value: Attribute) -> str:
    if isinstance(value, tuple):
        return f"[{','.join(f'{v:g}' for v in value)}]"
    return value if isinstance(value, str) else f"{value:g}"
