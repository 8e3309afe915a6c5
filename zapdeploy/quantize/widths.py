"""Bits of every tensor and layer, and which tensors share one quantizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from onnx import NodeProto

from zapdeploy.quantize.network import Network, Role
from zapdeploy.quantize.recipe import Recipe
from zapdeploy.quantize.recipes import BitChoice

EDGE_BITS = 8  # of the network's own input and output


@dataclass(frozen=True)
class Site:
    """One quantizer: the tensors that share it, the first of which is measured, and its bits."""

    tensors: tuple[str, ...]
    bits: int


@dataclass(frozen=True)
class Widths:
    """Sites in topological order, and the weight bits of every matrix layer by its output name.

    readers: bits of what a layer reads through a quantizer of its own, where that is fewer than the
    tensor has, by the layer's output name.
    """

    sites: tuple[Site, ...]
    weights: dict[str, int]
    readers: Mapping[str, int] = field(default_factory=dict)


def assign_widths(network: Network, recipe: Recipe) -> Widths:
    """Low bits inside; more in layers that read the network's input or write its output.

    Tensors before the first layers and after the last ones have 8 bits. Tensors that pass through
    pooling by maximum or a change of shape share the quantizer of where they come from.
    """
    before = _reached_from_layers(network)
    after = _leading_to_layers(network)
    edges = edge_layers(network)
    read_by_edges = {layer.input[0] for layer in network.layers if layer.output[0] in edges}
    sites = []
    for tensors in shared_tensors(network):
        outside = any(name not in before or name not in after for name in tensors)
        wide = any(name in read_by_edges for name in tensors)
        bits = recipe.edge_activations if wide else recipe.activations
        sites.append(Site(tensors, EDGE_BITS if outside else bits))
    weights = {
        layer.output[0]: recipe.edge_weights if layer.output[0] in edges else recipe.weights
        for layer in network.layers
    }
    return Widths(tuple(sites), weights)


def edge_layers(network: Network) -> set[str]:
    """Output names of the layers that read the network's input or write its output."""
    before = _reached_from_layers(network)
    after = _leading_to_layers(network)
    return {
        layer.output[0]
        for layer in network.layers
        if layer.input[0] not in before or network.result(layer) not in after
    }


def chosen_widths(network: Network, bits: Mapping[str, BitChoice]) -> Widths:
    """Bits of each matrix layer, by its output name, as chosen.

    A tensor that layers alone read has the bits that the widest of them wants; one that anything
    else reads (a sum, a product of two tensors, a pool, the world outside) has 8, and layers that
    want fewer narrow it for themselves.
    """
    wanted: dict[str, list[int]] = {}
    for node in network.nodes:
        for name in network.activation_inputs(node):
            matrix = network.role(node) is Role.MATRIX
            if network.role(node) is not Role.PASSING or name in network.output_names:
                found = bits[node.output[0]].activations if matrix else EDGE_BITS
                wanted.setdefault(name, []).append(found)
    sites: list[Site] = []
    held: dict[str, int] = {}
    for tensors in shared_tensors(network):
        seen = [found for name in tensors for found in wanted.get(name, [])]
        outside = any(name in network.output_names for name in tensors)
        site = Site(tensors, EDGE_BITS if outside else max(seen, default=EDGE_BITS))
        held |= dict.fromkeys(tensors, site.bits)
        sites.append(site)
    readers = {
        layer.output[0]: bits[layer.output[0]].activations
        for layer in network.layers
        if bits[layer.output[0]].activations < held[layer.input[0]]
    }
    weights = {key: choice.weights for key, choice in bits.items()}
    return Widths(tuple(sites), weights, readers)


def _reached_from_layers(network: Network) -> set[str]:
    """Tensors that some matrix layer has worked on."""
    found: set[str] = set()
    for node in network.nodes:
        if network.role(node) is Role.MATRIX or any(name in found for name in node.input):
            found.update(node.output)
    return found


def _leading_to_layers(network: Network) -> set[str]:
    """Tensors that some matrix layer will work on."""
    found: set[str] = set()
    for node in reversed(network.nodes):
        if network.role(node) is Role.MATRIX or any(name in found for name in node.output):
            found.update(node.input)
    return found


def shared_tensors(network: Network) -> list[tuple[str, ...]]:
    """Quantized tensors grouped by the quantizer they share, first the one that is measured.

    That is the group's first in topological order. State is measured where it is computed, and
    what nothing but a Concat reads, in the Concat's output: rounded to its own scale first, it
    would be rounded twice.
    """
    source = {name: name for name in network.quantized}
    for node in network.nodes:
        if network.role(node) is Role.PASSING:
            source[node.output[0]] = source[node.input[0]]
    for node in reversed(network.nodes):
        if node.op_type == "Concat" and network.role(node) is Role.COMBINING:
            alone = [name for name in node.input if _read_by_alone(network, node, name, source)]
            source |= dict.fromkeys(alone, source[node.output[0]])
    for before, after in network.state:
        if before in source and after in source:
            kept, one = source[before], source[after]
            source = {name: one if root == kept else root for name, root in source.items()}
    groups: dict[str, list[str]] = {}
    for name in network.quantized:
        groups.setdefault(source[name], []).append(name)
    return [(root, *(n for n in names if n != root)) for root, names in groups.items()]


def _read_by_alone(network: Network, node: NodeProto, name: str, source: Mapping[str, str]) -> bool:
    """Whether a tensor is a layer's result with no quantizer but its own, for this node alone."""
    producer = network.producers.get(name)
    return (
        producer is not None
        and network.role(producer) is not Role.PASSING
        and source[name] == name
        and network.consumers[name] == (node,)
        and name not in network.output_names
    )


def layer_name(layer: NodeProto) -> str:
    """What messages and records call a layer: its name, or its output when it has none."""
    return str(layer.name or layer.output[0])
