"""Everything that quantization decides about a network, before any form is written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from zapdeploy.quantize.calibration import assumed, measure
from zapdeploy.quantize.network import Network, attribute, numbers
from zapdeploy.quantize.neurons import per_neuron
from zapdeploy.quantize.ranges import Quantizer, choose_quantizer
from zapdeploy.quantize.recipe import Recipe
from zapdeploy.quantize.samples import Arrays
from zapdeploy.quantize.weights import LayerInput, QuantizedWeight, quantize_weight
from zapdeploy.quantize.widths import assign_widths


@dataclass(frozen=True)
class Plan:
    """Quantizers by tensor name and quantized weights by the matrix layer's output name."""

    network: Network
    quantizers: dict[str, Quantizer]
    weights: dict[str, QuantizedWeight]


def make_plan(network: Network, recipe: Recipe, samples: Arrays | None) -> Plan:
    """Measure the activations, choose every scale, and quantize the weights.

    Releases the float values of each weight as soon as they are no longer needed, because the
    largest networks would not fit in memory twice. Without samples nothing is run, and all ranges
    are assumed: enough to see what becomes of a network.
    """
    widths = assign_widths(network, recipe)
    tensors = tuple(site.tensors[0] for site in widths.sites)
    seen = assumed(network, tensors) if samples is None else measure(network, tensors, samples)
    chosen = {s: choose_quantizer(seen.histograms[s.tensors[0]], s.bits) for s in widths.sites}
    if recipe.activation_scales != "per tensor" and samples is not None:
        chosen = per_neuron(network, chosen, samples, recipe.activation_scales)
    quantizers = {name: quantizer for s, quantizer in chosen.items() for name in s.tensors}
    readers = {name: len(nodes) for name, nodes in network.consumers.items()}
    weights = {}
    for layer in network.layers:
        key, source = layer.output[0], quantizers[layer.input[0]]
        weights[key] = _layer_weight(network, layer, widths.weights[key], source, seen.means[key])
        readers[layer.input[1]] -= 1
        if readers[layer.input[1]] == 0:
            network.initializers[layer.input[1]].ClearField("raw_data")
    return Plan(network, quantizers, weights)


def _layer_weight(
    network: Network, layer: NodeProto, bits: int, source: Quantizer, means: NDArray[np.float64]
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
    return quantize_weight(weight, bias, axis, bits, read)


def _scaled_gemm(
    layer: NodeProto, weight: NDArray[np.float32], bias: NDArray[np.float32] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    alpha, beta = attribute(layer, "alpha", 1), attribute(layer, "beta", 1)
    if alpha != 1:
        weight = weight * np.float32(alpha)
    if bias is not None and beta != 1:
        bias = bias * np.float32(beta)
    return weight, bias
