"""Runs the float network over sample inputs and records the values of its tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import Arrays
from zapdeploy.errors import DataError
from zapdeploy.quantize.execution import runner, sample_batches
from zapdeploy.quantize.network import Network, attribute
from zapdeploy.quantize.ranges import BINS, Histogram, count_values
from zapdeploy.simplify.onnx_operators import CONVOLUTIONS


@dataclass(frozen=True)
class Statistics:
    """What was seen: histograms by tensor; mean [channels] of each matrix layer's input.

    The means are keyed by the layer's output name.
    """

    histograms: dict[str, Histogram]
    means: dict[str, NDArray[np.float64]]


def measure(network: Network, tensors: tuple[str, ...], samples: Arrays) -> Statistics:
    """Histograms of `tensors` and the layers' mean inputs over all samples.

    The network runs twice, once for the ranges and once to count, so that no activation is kept.
    """
    ranges = _ranges(network, tensors, samples)
    counts = {name: np.zeros(0, np.int64) for name in tensors}
    means: dict[str, NDArray[np.float64]] = {}
    readers = {name: [x for x in network.layers if x.input[0] == name] for name in _inputs(network)}
    run = runner(network, tuple(dict.fromkeys((*tensors, *readers))))
    for share, batch in sample_batches(network, samples):
        for name, values in run(batch):
            if name in counts:
                seen = count_values(values, *ranges[name])
                counts[name] = seen if not counts[name].size else counts[name] + seen
            for layer in readers.get(name, ()):
                axis = 1 if layer.op_type in CONVOLUTIONS else values.ndim - 1
                others = tuple(index for index in range(values.ndim) if index != axis)
                mean = values.mean(axis=others, dtype=np.float64) * share
                means[layer.output[0]] = means.get(layer.output[0], np.float64(0)) + mean
    return Statistics({name: Histogram(*ranges[name], counts[name]) for name in tensors}, means)


def assumed(network: Network, tensors: tuple[str, ...]) -> Statistics:
    """Statistics of a network that was not run: values from -1 to 1, inputs with a mean of zero."""
    counts = np.ones(BINS, np.int64)
    means = {}
    for layer in network.layers:
        dims = network.initializers[layer.input[1]].dims
        if layer.op_type == "Conv":
            length = dims[1] * int(attribute(layer, "group", 1))
        elif layer.op_type == "Gemm" and attribute(layer, "transB", 0):
            length = dims[1]
        else:
            length = dims[0]
        means[layer.output[0]] = np.zeros(length)
    return Statistics({name: Histogram(-1.0, 1.0, counts) for name in tensors}, means)


def _inputs(network: Network) -> tuple[str, ...]:
    """What matrix layers read."""
    return tuple(dict.fromkeys(layer.input[0] for layer in network.layers))


def _ranges(
    network: Network, tensors: tuple[str, ...], samples: Arrays
) -> dict[str, tuple[float, float]]:
    """The lowest and highest value of each tensor."""
    ranges = dict.fromkeys(tensors, (np.inf, -np.inf))
    run = runner(network, tensors)
    for _, batch in sample_batches(network, samples):
        for name, values in run(batch):
            low, high = ranges[name]
            # A NaN anywhere must survive into the result, which min() and max() do not promise.
            ranges[name] = (
                float(np.minimum(low, values.min())),
                float(np.maximum(high, values.max())),
            )
    for name in tensors:
        if not np.isfinite(ranges[name]).all():
            raise DataError(
                f"activations must be finite, not NaN or infinite (tensor {name!r}); "
                "check the calibration inputs and the weights"
            )
    return ranges
