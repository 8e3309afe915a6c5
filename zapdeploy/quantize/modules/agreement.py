"""torch against ONNX Runtime with its optimizations off: the same codes at every quantizer?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from brevitas.nn import QuantIdentity  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import helper
from torch import Tensor, fx

from zapdeploy.onnxruntime_sessions import Purpose, open_session

SAME = 0.01  # of a step: closer values are the same code
TIES = 1000  # one element in so many may round across a tie


@dataclass(frozen=True)
class Agreement:
    """One quantizer, fed with ONNX Runtime's own codes before it: how many of its values are equal,
    and by how many steps the others differ at most."""

    name: str
    elements: int
    equal: int
    max_lsb: float

    @property
    def passed(self) -> bool:
        """At most one step, on at most one element in 1,000: a float sum rounds across a tie."""
        return self.elements - self.equal <= -(-self.elements // TIES) and self.max_lsb <= 1 + SAME


def agree(
    graph: fx.GraphModule, model: onnx.ModelProto, inputs: tuple[Tensor, ...]
) -> tuple[Agreement, ...]:
    """Compare every quantizer of a graph with the file exported from it, in topological order."""
    calls = [
        node.name
        for node in graph.graph.nodes
        if node.op == "call_module"
        and isinstance(graph.get_submodule(str(node.target)), QuantIdentity)
    ]
    theirs = dict(zip(calls, _runtime_values(model, inputs), strict=True))
    comparison = _Comparison(graph, theirs)
    with torch.no_grad():
        comparison.run(*inputs)
    return tuple(comparison.found)


class _Comparison(fx.Interpreter):
    """Runs a graph, compares each quantizer's values and goes on with the reference's."""

    def __init__(self, graph: fx.GraphModule, theirs: Mapping[str, NDArray[Any]]) -> None:
        super().__init__(graph)
        self.theirs = theirs
        self.found: list[Agreement] = []

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n.name not in self.theirs:
            return value
        reference = self.theirs[n.name]
        scale = self.fetch_attr(str(n.target)).act_quant.scale().numpy()
        steps = np.abs(value.numpy() - reference) / scale
        equal = int((steps <= SAME).sum())
        worst = round(float(steps.max()), 3)
        self.found.append(Agreement(n.name, reference.size, equal, worst))
        return torch.from_numpy(reference)


def _runtime_values(model: onnx.ModelProto, inputs: tuple[Tensor, ...]) -> list[NDArray[Any]]:
    """The results of all dequantizers of activations, in the file's order."""
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    constant = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Clip" and node.input[0] in constant:
            constant.add(node.output[0])
    names = [
        node.output[0]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] not in constant
    ]
    outputs = {value.name for value in model.graph.output}
    exposed.graph.output.extend(
        helper.make_empty_tensor_value_info(name) for name in names if name not in outputs
    )
    session = open_session(exposed, Purpose.PLAIN)
    given = {value.name: x.numpy() for value, x in zip(model.graph.input, inputs, strict=True)}
    return list(session.run(names, given))
