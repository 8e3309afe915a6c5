"""If: the branch that is taken, where that is known; else a choice between both results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import onnx
from onnx import NodeProto, helper

from zapdeploy.simplify.registry import expands
from zapdeploy.simplify.walking import Place, Walk


@expands("If")
def if_(place: Place) -> Iterable[NodeProto] | None:
    """Branches of one shape whose condition comes at run time are both computed, and one chosen."""
    branches = place.attributes
    condition = place.value(place.node.input[0])
    if condition is not None:
        branch = branches["then_branch" if condition.all() else "else_branch"]
        return inlined(place.walk, branch, {}, place.node.output, place.name)
    if not _alike(branches["then_branch"], branches["else_branch"]):
        return None
    return _both(place, branches["then_branch"], branches["else_branch"])


def _alike(a: onnx.GraphProto, b: onnx.GraphProto) -> bool:
    """Whether the results of both have the same known shapes."""
    types = [[value.type.tensor_type for value in graph.output] for graph in (a, b)]
    for first, second in zip(*types, strict=True):
        lengths = [[d.dim_value for d in kind.shape.dim] for kind in (first, second)]
        if lengths[0] != lengths[1] or not all(lengths[0]) or not first.HasField("shape"):
            return False
    return True


def _both(place: Place, then: onnx.GraphProto, other: onnx.GraphProto) -> list[NodeProto]:
    nodes, results = [], []
    for branch, label in ((then, "then"), (other, "else")):
        names = [place.walk.fresh(f"{place.name}.{label}") for _ in branch.output]
        nodes += inlined(place.walk, branch, {}, names, f"{place.name}.{label}")
        results.append(names)
    for output, a, b in zip(place.node.output, *results, strict=True):
        name = place.walk.fresh(f"{place.name}.Where")
        nodes.append(helper.make_node("Where", [place.node.input[0], a, b], [output], name))
    return nodes


def inlined(
    walk: Walk,
    graph: onnx.GraphProto,
    inputs: Mapping[str, str],
    outputs: Sequence[str],
    prefix: str,
) -> list[NodeProto]:
    """A subgraph's nodes under fresh names.

    `inputs`: the names of what its inputs are outside; `outputs`: the names that its results get.
    """
    names = dict(inputs)
    for tensor in graph.initializer:
        names[tensor.name] = walk.fresh(f"{prefix}.{tensor.name}")
    made = {name for node in graph.node for name in node.output if name}
    results = [value.name for value in graph.output]
    for inner, outer in zip(results, outputs, strict=True):
        if inner in made and inner not in names and outer:
            names[inner] = outer
    for name in sorted(made - names.keys()):
        names[name] = walk.fresh(f"{prefix}.{name}")
    nodes = [_held(tensor, names[tensor.name]) for tensor in graph.initializer]
    nodes += [_renamed(node, names, walk, prefix) for node in graph.node]
    for inner, outer in zip(results, outputs, strict=True):
        if outer and names.get(inner, inner) != outer:
            identity = walk.fresh(f"{prefix}.Identity")
            source = names.get(inner, inner)
            nodes.append(helper.make_node("Identity", [source], [outer], identity))
    return nodes


def _held(tensor: onnx.TensorProto, name: str) -> NodeProto:
    return helper.make_node("Constant", [], [name], name, value=tensor)


def _renamed(node: NodeProto, names: Mapping[str, str], walk: Walk, prefix: str) -> NodeProto:
    made = NodeProto()
    made.CopyFrom(node)
    made.name = walk.fresh(f"{prefix}.{node.name or node.op_type}")
    made.input[:] = [names.get(name, name) for name in node.input]
    made.output[:] = [names.get(name, name) for name in node.output]
    for attribute in made.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            _rename_inside(attribute.g, names)
    return made


def _rename_inside(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """What a nested graph reads from outside, under its new names."""
    own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    own |= {name for node in graph.node for name in node.output}
    outside = {old: new for old, new in names.items() if old not in own}
    for node in graph.node:
        node.input[:] = [outside.get(name, name) for name in node.input]
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                _rename_inside(attribute.g, outside)
    for value in graph.output:
        value.name = outside.get(value.name, value.name)


def subgraph(place: Place, name: str) -> onnx.GraphProto:
    """An attribute that is a graph."""
    return cast(onnx.GraphProto, place.attributes[name])
