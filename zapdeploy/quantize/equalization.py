"""Cross-layer equalization: channels of a tensor brought to like ranges, so that one scale serves.

Nagel et al., ICCV 2019. A layer's output channel is multiplied by a factor and the weights that
read it are divided by it: the network computes the same. A ReLU lets every positive factor through;
a clamp at six does not, and such layers are left as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, numpy_helper

from zapdeploy.arrays import Arrays, Floats
from zapdeploy.quantize.execution import runner, sample_batches
from zapdeploy.quantize.network import Network, attribute
from zapdeploy.simplify.onnx_operators import CONVOLUTIONS

STRONGEST = 64.0  # factor; beyond it a channel was hardly seen to move


@dataclass(frozen=True)
class Link:
    """A layer, the tensor that it hands on, and the layers that alone read it."""

    layer: NodeProto
    tensor: str
    readers: tuple[NodeProto, ...]


def equalize(network: Network, samples: Arrays) -> Network:
    """The network with equal channels wherever one layer hands on to others; the same function."""
    links = list(_links(network))
    if not links:
        return network
    largest = _largest(network, links, samples)
    weights = {n: network.array(n).copy() for link in links for n in _weights_of(link)}
    for link in links:
        factors = _factors(network, link, largest[link.tensor], weights)
        for name in filter(None, link.layer.input[1:3]):
            scaled = weights[name] * _along(weights[name], _row_axis(link.layer, name), factors)
            weights[name] = scaled
        for reader in link.readers:
            name = reader.input[1]
            weights[name] = _columns_over(reader, weights[name], factors)
    return _with_weights(network, weights)


def _links(network: Network) -> Iterator[Link]:
    once = {name for name, nodes in network.consumers.items() if len(nodes) == 1}
    for layer in network.layers:
        tensor = network.result(layer)
        readers = network.consumers.get(tensor, ())
        if not readers or tensor in network.output_names or layer.output[0] in network.output_names:
            continue
        own = set(filter(None, layer.input[1:3])) <= once
        free = tensor == layer.output[0] or network.producers[tensor].op_type == "Relu"
        if own and free and all(_reads(network, layer, r, tensor, once) for r in readers):
            yield Link(layer, tensor, readers)


def _reads(
    network: Network, layer: NodeProto, reader: NodeProto, tensor: str, once: set[str]
) -> bool:
    """Whether a reader is a layer of the same kind, which alone has its weights."""
    matrix = any(reader is other for other in network.layers)
    same = (layer.op_type in CONVOLUTIONS) == (reader.op_type in CONVOLUTIONS)
    return matrix and same and reader.input[0] == tensor and reader.input[1] in once


def _weights_of(link: Link) -> Iterator[str]:
    yield from filter(None, link.layer.input[1:3])
    yield from (reader.input[1] for reader in link.readers)


def _largest(network: Network, links: list[Link], samples: Arrays) -> dict[str, Floats]:
    """The largest |value| of every channel of the links' tensors."""
    convolved = {link.tensor: link.layer.op_type in CONVOLUTIONS for link in links}
    found: dict[str, Floats] = {}
    run = runner(network, tuple(convolved))
    for _, batch in sample_batches(network, samples):
        for name, values in run(batch):
            axis = 1 if convolved[name] else values.ndim - 1
            others = tuple(d for d in range(values.ndim) if d != axis)
            seen = np.maximum(values.max(axis=others), -values.min(axis=others))
            found[name] = np.maximum(found.get(name, np.float32(0)), seen)
    return found


def _factors(
    network: Network, link: Link, seen: Floats, weights: dict[str, Floats]
) -> NDArray[np.float32]:
    """Of every channel. Where each reader weighs one channel alone, its scales make up for any;
    else activations and weights share the burden."""
    alive = seen > seen.max() * 1e-6
    known = np.where(alive, seen, seen.max() or 1)
    if all(_is_apart(network, reader) for reader in link.readers):
        wanted = 1 / known
    else:
        heavy = np.max([_column_sizes(r, weights[r.input[1]]) for r in link.readers], axis=0)
        wanted = np.sqrt(np.maximum(heavy, heavy.max() * 1e-6) / known)
    factors = wanted / wanted[int(np.argmax(known))]
    factors = np.clip(factors, 1 / STRONGEST, STRONGEST)
    return np.where(alive, factors, 1).astype(np.float32)


def _is_apart(network: Network, reader: NodeProto) -> bool:
    """Whether every output channel of a layer reads one input channel."""
    return reader.op_type == "Conv" and network.initializers[reader.input[1]].dims[1] == 1


def _row_axis(layer: NodeProto, name: str) -> int:
    """The axis of a layer's weights, or bias, that its output channels lie along."""
    if name != layer.input[1]:
        return -1
    if layer.op_type == "Conv" or (layer.op_type == "Gemm" and attribute(layer, "transB", 0)):
        return 0
    return 1


def _along(values: Floats, axis: int, factors: Floats) -> Floats:
    if values.ndim == 0 or values.shape[axis] != len(factors):
        return factors  # one bias for all channels
    shape = [1] * values.ndim
    shape[axis] = -1
    return factors.reshape(shape)


def _grouped(reader: NodeProto, weight: Floats) -> Floats:
    """The weights as [groups, rows, columns, rest]; columns are input channels of a group."""
    if reader.op_type == "Conv":
        groups = int(attribute(reader, "group", 1))
        return weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
    if reader.op_type == "ConvTranspose":
        return weight.swapaxes(0, 1)[None].reshape(1, weight.shape[1], weight.shape[0], -1)
    turned = reader.op_type == "Gemm" and attribute(reader, "transB", 0)
    return (weight if turned else weight.T)[None, :, :, None]


def _column_sizes(reader: NodeProto, weight: Floats) -> Floats:
    """The largest |weight| that multiplies each input channel."""
    found: Floats = np.abs(_grouped(reader, weight)).max(axis=(1, 3)).ravel()
    return found


def _columns_over(reader: NodeProto, weight: Floats, factors: Floats) -> Floats:
    """The weights, divided by the factors of the channels that they read."""
    if reader.op_type == "Conv":
        grouped = _grouped(reader, weight)
        return (grouped / factors.reshape(len(grouped), 1, -1, 1)).reshape(weight.shape)
    turned = reader.op_type == "Gemm" and attribute(reader, "transB", 0)
    return weight / _along(weight, 1 if turned else 0, factors)


def _with_weights(network: Network, weights: dict[str, Floats]) -> Network:
    model = onnx.ModelProto()
    model.CopyFrom(network.model)
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    return Network(model)
