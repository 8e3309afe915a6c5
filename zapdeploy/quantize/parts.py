"""Cuts a float network into parts that run one after the other, so that few tensors live at once.

At 71,721 neurons a single tensor of TiDE takes 1.2 GB, and all that calibration looks at 3.5 GB.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import onnx
from onnx import NodeProto, TensorProto

from zapdeploy.quantize.network import Network
from zapdeploy.quantize.samples import input_shapes

FREE_BATCH = 8  # how many samples run at once at most, where the model leaves the batch open
PART_BYTES = 2**28  # of wanted tensors in one part; a larger one has a part of its own
FLOAT_BYTES = 4
LARGE_WEIGHT_ELEMENTS = 1024
_PACKED = {TensorProto.INT4, TensorProto.UINT4, TensorProto.INT2, TensorProto.UINT2}


@dataclass(frozen=True)
class Part:
    """Consecutive nodes, the computed tensors that they read, and those that are kept of theirs."""

    nodes: tuple[NodeProto, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class TensorType:
    """The element type, as in TensorProto, and the size of a computed tensor."""

    element: int
    elements: int


Types = Mapping[str, TensorType]


def batch_size(network: Network) -> int:
    """Samples to run at once: the model's own batch, or a few where it leaves that open."""
    firsts = [shape[0] for shape in input_shapes(network).values() if shape]
    if all(firsts):
        return firsts[0] if firsts else 1
    largest = max((_bytes(tensor) for tensor in tensor_types(network, 1).values()), default=1)
    return min(FREE_BATCH, max(1, PART_BYTES // largest))


def cut(network: Network, wanted: Collection[str], types: Types) -> tuple[Part, ...]:
    """What computes the wanted tensors, in parts with at most PART_BYTES of them each.

    It stays in one part where `types` lacks a tensor.
    """
    nodes = _needed(network, wanted)
    known = all(name in types for node in nodes for name in node.output if name)
    groups: list[list[NodeProto]] = []
    room = 0
    for node in nodes:
        taken = sum(_bytes(types[name]) for name in node.output if name in wanted) if known else 0
        if not groups or taken > room:
            groups.append([])
            room = PART_BYTES
        groups[-1].append(node)
        room = max(room - taken, 0)
    return tuple(grouped(network, groups, wanted))


def _needed(network: Network, wanted: Collection[str]) -> list[NodeProto]:
    """The nodes that wanted tensors depend on, in topological order."""
    names, found = set(wanted), []
    for node in reversed(network.nodes):
        if names.intersection(node.output):
            found.append(node)
            names.update(reads(node))
    return found[::-1]


def grouped(
    network: Network, groups: list[list[NodeProto]], wanted: Collection[str]
) -> Iterator[Part]:
    """The groups with what they hand to each other."""
    computed = {*network.input_names, *network.producers}
    for index, nodes in enumerate(groups):
        later = {name for group in groups[index + 1 :] for node in group for name in reads(node)}
        made = [name for node in nodes for name in node.output if name]
        read = dict.fromkeys(name for node in nodes for name in reads(node))
        inputs = (name for name in read if name in computed and name not in made)
        outputs = (name for name in made if name in wanted or name in later)
        yield Part(tuple(nodes), tuple(inputs), tuple(outputs))


def reads(node: NodeProto) -> Iterator[str]:
    """What a node reads; a branch or a loop body may read any tensor by its name."""
    yield from filter(None, node.input)
    for entry in node.attribute:
        for graph in (entry.g, *entry.graphs):
            for inner in graph.node:
                yield from reads(inner)


def _bytes(tensor: TensorType) -> int:
    return FLOAT_BYTES * tensor.elements


def tensor_types(network: Network, batch: int) -> dict[str, TensorType]:
    """Types of the computed tensors whose size is known, at that batch where the model has none."""
    model = without_weights(network.model)
    for value in model.graph.input:
        dimensions = value.type.tensor_type.shape.dim
        if value.name in network.input_names and dimensions and not dimensions[0].dim_value:
            dimensions[0].dim_value = batch
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    found = {}
    for value in (*inferred.value_info, *inferred.output):
        kind = value.type.tensor_type
        sizes = [size.dim_value for size in kind.shape.dim]
        if kind.HasField("shape") and all(sizes):
            found[value.name] = TensorType(kind.elem_type, math.prod(sizes))
    return found


def without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with large weights as mere names, types and shapes; small ones may be shapes."""
    bare = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    bare.graph.name = model.graph.name
    bare.graph.node.extend(model.graph.node)
    bare.graph.input.extend(model.graph.input)
    bare.graph.output.extend(model.graph.output)
    bare.graph.initializer.extend(bare_weight(tensor) for tensor in model.graph.initializer)
    return bare


def bare_weight(tensor: TensorProto) -> TensorProto:
    """A large weight without its values: they lie elsewhere. A small one stays as it is."""
    if not is_large(tensor):
        return tensor
    bare = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    bare.data_location = TensorProto.EXTERNAL
    bare.external_data.add(key="location", value="in-memory")
    return bare


def is_large(tensor: TensorProto) -> bool:
    """Whether a weight is handed over in memory; several elements to a byte cannot be."""
    return math.prod(tensor.dims) >= LARGE_WEIGHT_ELEMENTS and tensor.data_type not in _PACKED
