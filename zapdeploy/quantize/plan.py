"""Everything that quantization decides about a network, before any form is written."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from zapdeploy.arrays import Arrays
from zapdeploy.quantize.calibration import assumed, measure
from zapdeploy.quantize.network import Network, attribute, numbers
from zapdeploy.quantize.neurons import per_neuron
from zapdeploy.quantize.ranges import CLIP_RATIOS, WHOLE, Quantizer, choose_quantizer
from zapdeploy.quantize.recipe import Recipe
from zapdeploy.quantize.rounding import Rounding
from zapdeploy.quantize.weights import LayerInput, QuantizedWeight, quantize_weight
from zapdeploy.quantize.widths import Widths, assign_widths, shared_tensors


@dataclass(frozen=True)
class Plan:
    """Quantizers by tensor name and quantized weights by the matrix layer's output name.

    readers: quantizers through which single layers read a tensor in fewer bits than it has, by the
    layer's output name.
    """

    network: Network
    quantizers: dict[str, Quantizer]
    weights: dict[str, QuantizedWeight]
    readers: dict[str, Quantizer] = field(default_factory=dict)

    def source(self, layer: NodeProto) -> Quantizer:
        """Of what a matrix layer reads."""
        return self.readers.get(layer.output[0]) or self.quantizers[layer.input[0]]


class Planner:
    """Plans of one network at any widths, from one look at its activations.

    rounding: better codes than the nearest ones for weights below 8 bits (see `Rounding`), to be
    set before there are any. whole_range: activations of 8 bits have the whole range that was seen,
    not that with the least squared error. Scales and codes are kept, and not chosen again where
    another plan has them alike.
    """

    def __init__(self, network: Network, samples: Arrays | None) -> None:
        self.network = network
        self.rounding: Rounding | None = None
        self.whole_range = False
        tensors = tuple(dict.fromkeys(root for root, *_ in shared_tensors(network)))
        self.seen = (
            assumed(network, tensors) if samples is None else measure(network, tensors, samples)
        )
        self.roots = {name: group[0] for group in shared_tensors(network) for name in group}
        self.chosen: dict[tuple[str, int], Quantizer] = {}
        self.rounded: dict[tuple[str, int, int], QuantizedWeight] = {}

    def with_whole_range(self) -> Planner:
        """Another for the same network, from the same look."""
        other = copy(self)
        other.whole_range, other.chosen, other.rounded = True, {}, {}
        return other

    def quantizer(self, tensor: str, bits: int) -> Quantizer:
        """The one with the least squared error for a tensor."""
        key = self.roots[tensor], bits
        if key not in self.chosen:
            ratios = WHOLE if self.whole_range and bits == 8 else CLIP_RATIOS
            self.chosen[key] = choose_quantizer(self.seen.histograms[key[0]], bits, ratios)
        return self.chosen[key]

    def plan(self, widths: Widths) -> Plan:
        """Scales and integers at these widths."""
        quantizers = {
            name: self.quantizer(name, site.bits) for site in widths.sites for name in site.tensors
        }
        sources = {layer.output[0]: layer.input[0] for layer in self.network.layers}
        readers = {key: self.quantizer(sources[key], bits) for key, bits in widths.readers.items()}
        plan = Plan(self.network, quantizers, {}, readers)
        for layer in self.network.layers:
            key = layer.output[0]
            plan.weights[key] = self.weight(layer, widths.weights[key], plan.source(layer))
        return plan

    def weight(self, layer: NodeProto, bits: int, source: Quantizer) -> QuantizedWeight:
        """A layer's integers where it reads through `source`, which has one scale."""
        key = layer.output[0], bits, source.bits
        if key not in self.rounded:
            means = self.seen.means[layer.output[0]]
            self.rounded[key] = _layer_weight(
                self.network, layer, bits, source, means, self.rounding
            )
        return self.rounded[key]


def make_plan(
    network: Network, recipe: Recipe, samples: Arrays | None, rounding: Rounding | None = None
) -> Plan:
    """Measure the activations, choose every scale, and quantize the weights: to their nearest codes
    where there is no rounding.

    Releases the float values of each weight as soon as they are no longer needed, because the
    largest networks would not fit in memory twice. Without samples nothing is run, and all ranges
    are assumed: enough to see what becomes of a network.
    """
    widths = assign_widths(network, recipe)
    planner = Planner(network, samples)
    chosen = {s: planner.quantizer(s.tensors[0], s.bits) for s in widths.sites}
    if recipe.activation_scales != "per tensor" and samples is not None:
        chosen = per_neuron(network, chosen, samples, recipe.activation_scales)
    quantizers = {name: quantizer for s, quantizer in chosen.items() for name in s.tensors}
    readers = {name: len(nodes) for name, nodes in network.consumers.items()}
    weights = {}
    for layer in network.layers:
        key, source = layer.output[0], quantizers[layer.input[0]]
        means = planner.seen.means[key]
        bits = widths.weights[key]
        weights[key] = _layer_weight(network, layer, bits, source, means, rounding)
        readers[layer.input[1]] -= 1
        if readers[layer.input[1]] == 0:
            network.initializers[layer.input[1]].ClearField("raw_data")
    return Plan(network, quantizers, weights)


def _layer_weight(
    network: Network,
    layer: NodeProto,
    bits: int,
    source: Quantizer,
    means: NDArray[np.float64],
    rounding: Rounding | None = None,
) -> QuantizedWeight:
    """A layer's weights and bias, with Gemm's factors alpha and beta multiplied in."""
    weight = network.array(layer.input[1])
    bias: NDArray[np.float32] | None = None
    if len(layer.input) > 2 and layer.input[2]:
        bias = network.array(layer.input[2]).ravel()
    axis = 0
    if layer.op_type in ("MatMul", "ConvTranspose"):
        axis = 1
    if layer.op_type == "Gemm":
        axis = 0 if attribute(layer, "transB", 0) else 1
        weight, bias = _scaled_gemm(layer, weight, bias)
    if bias is not None:
        bias = np.broadcast_to(bias, (weight.shape[axis],)).astype(np.float32)
    means = means.reshape(int(attribute(layer, "group", 1)), -1)
    if layer.op_type == "ConvTranspose":  # only one in so many outputs meets a given weight
        means = means / float(np.prod(numbers(layer, "strides"), dtype=np.float64))
    taps = weight.size // (weight.shape[axis] * means.shape[1])
    read = LayerInput(np.min(source.scale), source.reach, np.repeat(means, taps, axis=1))
    codes = None if rounding is None or bits == 8 else rounding.of(layer, source)
    return quantize_weight(weight, bias, axis, bits, read, codes)


def _scaled_gemm(
    layer: NodeProto, weight: NDArray[np.float32], bias: NDArray[np.float32] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    alpha, beta = attribute(layer, "alpha", 1), attribute(layer, "beta", 1)
    if alpha != 1:
        weight = weight * np.float32(alpha)
    if bias is not None and beta != 1:
        bias = bias * np.float32(beta)
    return weight, bias
