"""The steps in their order, each only where the file needs it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from zapdeploy.errors import UsageError
from zapdeploy.simplify.graphs import all_nodes, inner_graphs
from zapdeploy.simplify.onnx_operators import CONTROL_FLOW, RECURRENT
from zapdeploy.simplify.opsets import OLDEST_OPSET, current_forms, standard_opset
from zapdeploy.simplify.precision import to_float32
from zapdeploy.simplify.registry import expansion_of
from zapdeploy.simplify.shapes import Batch, InputShapes, fix_inputs, network_inputs
from zapdeploy.simplify.walking import Walk
from zapdeploy.simplify.weights import constants_of

# Their length in the file depends on the batch too: with these inside, the batch is fixed.
_NEEDS_LENGTHS = CONTROL_FLOW | RECURRENT | {"DynamicQuantizeLSTM"}


@dataclass(frozen=True)
class Simplified:
    """`notes` say in words what was changed that a person may want to know."""

    model: onnx.ModelProto
    batch: Batch | None
    notes: tuple[str, ...]


def simplify(
    model: onnx.ModelProto, shapes: InputShapes | None = None, *, keep_batch: bool = False
) -> Simplified:
    """Bring a model into plain form, in place.

    `keep_batch`: an open batch stays open, unless operators are in it that cannot be written
    without its length. Raises ModelError or UsageError.
    """
    shapes = shapes or InputShapes()
    set_constants(model.graph, shapes)
    operators = {node.op_type for node in all_nodes(model.graph)}
    keep_batch = keep_batch and shapes.batch is None and not operators & _NEEDS_LENGTHS
    keep_batch = keep_batch and not _says_batch(model.graph)
    batch = fix_inputs(model.graph, shapes, keep_batch=keep_batch)
    notes = to_float32(model)
    if standard_opset(model) < OLDEST_OPSET:
        current_forms(model)
    _inline_functions(model)
    if any(expansion_of(node) for node in model.graph.node):
        _walk(model)
    return Simplified(model, batch, notes)


def _says_batch(graph: onnx.GraphProto) -> bool:
    """Whether a Reshape has a batch of its own, so that the network runs at no other."""
    constants = constants_of(graph)
    shapes = [
        numpy_helper.to_array(constants[node.input[1]])
        for node in graph.node
        if node.op_type == "Reshape" and len(node.input) > 1
        if node.input[0] not in constants and node.input[1] in constants
    ]
    return any(shape.size > 1 and shape.flat[0] > 0 for shape in shapes)


def _inline_functions(model: onnx.ModelProto) -> None:
    """The file's own functions."""
    if model.functions:
        from onnx import inliner

        model.CopyFrom(inliner.inline_local_functions(model))


def set_constants(graph: onnx.GraphProto, shapes: InputShapes) -> None:
    """Inputs that always have one value become initializers."""
    by_name = {value.name: value for value in network_inputs(graph)}
    for name, number in shapes.constants.items():
        if name not in by_name:
            listed = ", ".join(f"'{n}'" for n in by_name)
            raise UsageError(f"--constant must name an input, one of {listed}, not '{name}'")
        kind = by_name[name].type.tensor_type
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        lengths = [max(d.dim_value, 1) for d in kind.shape.dim]
        graph.initializer.append(numpy_helper.from_array(np.full(lengths, number, dtype), name))
        graph.input.remove(by_name[name])


def _walk(model: onnx.ModelProto) -> None:
    graph = model.graph
    walk = Walk(standard_opset(model), model.opset_import)
    for tensor in graph.initializer:
        walk.define(tensor)
    for value in network_inputs(graph):
        walk.types[value.name] = value.type
    # What the file says of tensors in between may be of another size of the inputs: it is believed
    # only of operators whose results cannot be told.
    told = {name for node in graph.node if node.domain in ("", "ai.onnx") for name in node.output}
    for value in graph.value_info:
        if value.name not in told:
            walk.types.setdefault(value.name, value.type)
    walk.taken.update(walk.types)
    walk.taken.update(name for node in all_nodes(graph) for name in (*node.output, node.name))
    walk.visit(list(graph.node))
    _write_back(graph, walk)


def _write_back(graph: onnx.GraphProto, walk: Walk) -> None:
    """The walk's nodes, and the constants they read, in the place of the graph's own."""
    outputs = {value.name for value in graph.output}
    _drop_dead(walk, outputs)
    graph_of_kept = onnx.GraphProto(node=walk.nodes)
    read = {name for node in all_nodes(graph_of_kept) for name in node.input} | outputs
    read |= {
        value.name for node in walk.nodes for inner in inner_graphs(node) for value in inner.output
    }
    held = {tensor.name for tensor in graph.initializer}
    del graph.node[:]
    del graph.value_info[:]
    for name in sorted(walk.folded & read - held):
        tensor = numpy_helper.from_array(walk.constants[name], name)
        if name in outputs:
            graph.node.append(onnx.helper.make_node("Constant", [], [name], name, value=tensor))
        else:
            graph.initializer.append(tensor)
    graph.node.extend(walk.nodes)


def _drop_dead(walk: Walk, outputs: set[str]) -> None:
    """Take away what nobody reads, such as what expansions have made superfluous."""
    kept, read = list[onnx.NodeProto](), set(outputs)
    for node in reversed(walk.nodes):
        if not read.isdisjoint(node.output):
            kept.append(node)
            for inner in all_nodes(onnx.GraphProto(node=[node])):
                read.update(inner.input)
            for graph in inner_graphs(node):
                read.update(value.name for value in graph.output)
    walk.nodes[:] = reversed(kept)
