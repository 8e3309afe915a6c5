"""Cuts a network in three: what the host does before the chip, the chip's part, the host's after.

A node that is given to the host takes with it all that it waits for ("..NODE") or, where no product
follows it, all that waits for it ("NODE.."): so the chip is entered once and left once.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from zapdeploy.errors import ModelError, UsageError
from zapdeploy.files import atomic_write
from zapdeploy.host_part.network import HostNetwork
from zapdeploy.simplify.graphs import all_nodes, inner_graphs
from zapdeploy.simplify.onnx_operators import PRODUCTS
from zapdeploy.simplify.shapes import InputShapes, fix_inputs, network_inputs
from zapdeploy.simplify.simplifying import set_constants

OWN_NOTES = "zapdeploy."  # what the keys of metadata that is for us begin with

_SEARCHED = 64  # nodes from the beginning, for a front


@dataclass(frozen=True, eq=False)
class _Reads:
    """Of a graph's nodes: those that each needs, and those that need it, by index."""

    before: Mapping[int, frozenset[int]]
    after: Mapping[int, frozenset[int]]

    @classmethod
    def of(cls, nodes: Sequence[onnx.NodeProto]) -> _Reads:
        made = {name: index for index, node in enumerate(nodes) for name in node.output if name}
        needs = {
            index: frozenset(made[name] for name in _read_by(node) if name in made)
            for index, node in enumerate(nodes)
        }
        followers: dict[int, set[int]] = {index: set() for index in needs}
        for index, wanted in needs.items():
            for other in wanted:
                followers[other].add(index)
        return cls(needs, {index: frozenset(found) for index, found in followers.items()})


def split_file(
    source: Path, named: Collection[str], destination: Path, shapes: InputShapes | None = None
) -> HostNetwork:
    """Write the chip's part of the network in `source`; returns the host's, which it also notes.

    named: nodes by their own names or by those of their results. "..NODE" stands for the node and
    all before it, "NODE.." for the node and all after it, "NODE" for the latter where no product
    comes after it, else for the former. All lengths are settled by `shapes` first. Raises
    ModelError, and UsageError for names that are not in the file.
    """
    try:
        model = onnx.load(source)
    except (DecodeError, OSError, ValueError) as error:
        raise ModelError(
            f"model must be an ONNX file, not unreadable ({source}); export it again"
        ) from error
    set_constants(model.graph, shapes or InputShapes())
    fix_inputs(model.graph, shapes or InputShapes())
    _settle(model)
    front, end = _sides(list(model.graph.node), named)
    core, host = _cut(model, front, end, tuple(named))
    for key, value in host.notes().items():
        core.metadata_props.add(key=key, value=value)
    with atomic_write(destination) as file:
        file.write(core.SerializeToString())
    return host


def fronts(source: Path, most: int) -> list[str]:
    """The first nodes through which all must pass that comes after them, by their results.

    So many at the most, of those with no more than half of the products before them.
    """
    model = onnx.load(source, load_external_data=False)
    nodes = list(model.graph.node)
    reads, inputs = _Reads.of(nodes), {value.name for value in network_inputs(model.graph)}
    products = {index for index, node in enumerate(nodes) if node.op_type in PRODUCTS}
    found: list[str] = []
    for index, node in enumerate(nodes[:_SEARCHED]):
        front = _closure(index, reads.before)
        if 2 * len(front & products) > len(products) or len(found) == most:
            break
        rest = [i for i in range(len(nodes)) if i not in front]
        passed = all(reads.before[i] & front <= {index} for i in rest)
        entered = any(inputs & set(nodes[i].input) for i in rest)
        made = any(inputs & set(nodes[i].input) for i in front)
        if rest and passed and made and not entered and len(node.output) == 1:
            found.append(node.output[0])
    return found


def _settle(model: onnx.ModelProto) -> None:
    """Constants among the nodes become initializers, and all shapes that follow are written in."""
    graph, kept = model.graph, []
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = node.attribute[0].t
            tensor.name = node.output[0]
            graph.initializer.append(tensor)
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)
    del graph.value_info[:]  # they may be of another size of the inputs
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    graph.value_info.extend(inferred.graph.value_info)


def _sides(nodes: Sequence[onnx.NodeProto], named: Collection[str]) -> tuple[set[int], set[int]]:
    """Indices of the nodes before and after the chip's part."""
    by_name = {name: i for i, node in enumerate(nodes) for name in (*node.output, node.name)}
    reads = _Reads.of(nodes)
    front: set[int] = set()
    end: set[int] = set()
    for text in named:
        name = text.removeprefix("..").removesuffix("..")
        if not name or name not in by_name:
            near = difflib.get_close_matches(name, by_name, 3) or [n.name for n in nodes[:3]]
            raise UsageError(
                f"--host must name a node of the network or its result, not '{text}'; nearest are "
                + ", ".join(f"'{n}'" for n in near)
            )
        after = _closure(by_name[name], reads.after)
        is_end = text.endswith("..") or not any(nodes[i].op_type in PRODUCTS for i in after)
        if is_end and not text.startswith(".."):
            end |= after
        else:
            front |= _closure(by_name[name], reads.before)
    if front & end:
        raise UsageError(
            "--host must leave something to the chip between what comes before and what comes "
            "after; name other nodes"
        )
    if len(front | end) == len(nodes):
        raise UsageError("--host must leave something to the chip; name fewer nodes")
    return front, end


def _closure(start: int, edges: Mapping[int, frozenset[int]]) -> set[int]:
    found, waiting = {start}, [start]
    while waiting:
        new = edges[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def _cut(
    model: onnx.ModelProto, front: set[int], end: set[int], named: tuple[str, ...]
) -> tuple[onnx.ModelProto, HostNetwork]:
    """The chip's part, and the host's."""
    nodes = list(model.graph.node)
    parts = [
        [node for index, node in enumerate(nodes) if index in front],
        [node for index, node in enumerate(nodes) if index not in front | end],
        [node for index, node in enumerate(nodes) if index in end],
    ]
    results = [value.name for value in model.graph.output]
    made = []
    for index, part in enumerate(parts):
        others = [node for other in parts[index + 1 :] for node in other]
        wanted = {*results, *(name for node in others for name in _read_by(node))}
        made.append(_part(model, part, wanted))
    before, core, after = made
    for entry in model.metadata_props:
        if entry.key.startswith(OWN_NOTES):
            raise ModelError(
                f"model must leave nothing else to the host with --host, not '{entry.key}'; "
                "export it without"
            )
    inputs = tuple(value.name for value in network_inputs(model.graph))
    shown = tuple(node.name or node.output[0] for part in (parts[0], parts[2]) for node in part)
    host = HostNetwork(
        named,
        shown,
        inputs,
        tuple(results),
        tuple(value.name for value in core.graph.input),
        _frames(model.graph),
        before.SerializeToString(deterministic=True) if parts[0] else b"",
        after.SerializeToString(deterministic=True) if parts[2] else b"",
    )
    return core, host


def _part(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], wanted: Collection[str]
) -> onnx.ModelProto:
    """Some of the nodes as a model of their own, whose outputs are those that are wanted."""
    graph = model.graph
    held = {tensor.name: tensor for tensor in graph.initializer}
    values = {v.name: v for v in (*graph.value_info, *graph.input, *graph.output)}
    made = {name for node in nodes for name in node.output if name}
    read = list(dict.fromkeys(name for node in nodes for name in _read_by(node)))
    inputs = [n for n in read if n not in made and n not in held and n in values]
    unknown = [n for n in read if n not in made and n not in held and n not in values]
    outputs = [name for node in nodes for name in node.output if name in wanted]
    for name in (*unknown, *(n for n in outputs if n not in values)):
        raise ModelError(
            f"the shape of '{name}', where --host cuts the network, must follow from the inputs; "
            "name a node beside it"
        )
    part = onnx.helper.make_graph(
        nodes,
        graph.name or "network",
        [_fixed(values[name]) for name in inputs],
        [values[name] for name in outputs],
        [held[name] for name in read if name in held],
    )
    return onnx.helper.make_model(
        part,
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
        functions=model.functions,
        producer_name=model.producer_name,
    )


def _frames(graph: onnx.GraphProto) -> int:
    """The first dimension of the inputs."""
    firsts = {v.type.tensor_type.shape.dim[0].dim_value for v in network_inputs(graph)
              if v.type.tensor_type.shape.dim}  # fmt: skip
    return firsts.pop() if len(firsts) == 1 else 1


def _fixed(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    """Raise ModelError unless all lengths are known."""
    kind = value.type.tensor_type
    if not kind.HasField("shape") or any(d.dim_value <= 0 for d in kind.shape.dim):
        raise ModelError(
            f"the shape of '{value.name}', where --host cuts the network, must follow from the "
            "inputs; give --shape, or name a node beside it"
        )
    return value


def _read_by(node: onnx.NodeProto) -> Iterable[str]:
    """What a node reads, its branches and loop bodies included."""
    inner = [n for graph in inner_graphs(node) for n in all_nodes(graph)]
    made = {name for n in inner for name in n.output}
    return [n for n in (*node.input, *(r for i in inner for r in i.input if r not in made)) if n]
