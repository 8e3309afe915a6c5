"""A change to the float network that lets more of it become integer."""

from __future__ import annotations

import onnx
from onnx import NodeProto

from zapdeploy.quantize.network import ACTIVATION_OPERATORS

SHAPE_OPERATORS = frozenset({"Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze"})


def hoist_activations(model: onnx.ModelProto) -> None:
    """Move ReLU and Clip before a change of shape, next to the layer that can absorb them.

    Both orders compute the same. Exporters put the change of shape between when a linear layer acts
    on tensors of more than two dimensions. Changes `model` in place.
    """
    nodes = list(model.graph.node)
    outputs = {value.name for value in model.graph.output}
    moved = True
    while moved:
        moved = any(_hoist(nodes, index, outputs) for index in range(len(nodes)))
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _hoist(nodes: list[NodeProto], index: int, outputs: set[str]) -> bool:
    """Swap the activation at `index` with the shape operator before it, if there is one."""
    activation = nodes[index]
    if activation.op_type not in ACTIVATION_OPERATORS:
        return False
    between = activation.input[0]
    place = next((i for i, node in enumerate(nodes[:index]) if between in node.output), None)
    if place is None or nodes[place].op_type not in SHAPE_OPERATORS or between in outputs:
        return False
    bounds = set(activation.input[1:])
    readers = [node for node in nodes if between in node.input]
    if len(readers) > 1 or any(bounds & set(node.output) for node in nodes):
        return False
    shape = nodes[place]
    activation.input[0], shape.input[0] = shape.input[0], between
    activation.output[0], shape.output[0] = between, activation.output[0]
    nodes.insert(place, nodes.pop(index))
    return True
