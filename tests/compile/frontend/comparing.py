"""Layer by layer against ONNX Runtime: every node fed with the reference's own values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from tests.compile.frontend.onnx_files import Array, reference
from zapdeploy.compile.graph import Graph
from zapdeploy.sim.functional import constants, run_node


@dataclass(frozen=True)
class Difference:
    """One node's output against the reference; `largest` in steps for codes, absolute for reals."""

    name: str
    op: str
    integer: bool
    largest: float
    share: float


def differences(
    graph: Graph, model: onnx.ModelProto, inputs: Mapping[str, Array]
) -> list[Difference]:
    """For each node whose output the file has under the same name."""
    made = {name for node in model.graph.node for name in node.output}
    names = [node.outputs[0] for node in graph.nodes if node.outputs[0] in made]
    narrow = {
        name: onnx.helper.np_dtype_to_tensor_dtype(graph.values[name].element.numpy)
        for name in names
        if graph.values[name].element.bits < 8
    }
    expected = reference(model, inputs, [n for n in names if n not in narrow], narrow)
    values = {**constants(graph), **inputs, **expected}
    found = []
    for node in graph.nodes:
        for name, result in run_node(graph, node, values).items():
            if name not in expected:
                values[name] = result
                continue
            difference = np.abs(result.astype(np.float64) - expected[name].astype(np.float64))
            integer = graph.values[name].element.is_integer
            share = float(np.mean(difference > 0))
            found.append(Difference(name, node.op, integer, float(difference.max()), share))
    return found
