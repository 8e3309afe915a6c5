"""Scales for each neuron of an ONNX network: which tensors may have them, and which do.

Neurons are the last axis of [batch, time, neurons], along which 1x1 convolutions slide.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from onnx import NodeProto

from zapdeploy.arrays import Arrays, Floats
from zapdeploy.quantize.execution import runner, sample_batches
from zapdeploy.quantize.index_ranges import ActivationScales, IndexRanges, Trial
from zapdeploy.quantize.network import Network, Role, numbers
from zapdeploy.quantize.ranges import Quantizer
from zapdeploy.quantize.widths import Site
from zapdeploy.simplify.onnx_operators import CLAMPS

RANK, AXIS = 3, 2
ELEMENTWISE = CLAMPS | {"Add"}


def per_neuron(
    network: Network,
    quantizers: Mapping[Site, Quantizer],
    samples: Arrays,
    scales: ActivationScales,
) -> dict[Site, Quantizer]:
    """The quantizers with scales for each neuron where these are better and nothing sums over them.

    Two runs over all samples: ranges of the neurons, then errors on the second half.
    """
    sites = {s.tensors[0]: s for s in quantizers if len(s.tensors) == 1}
    apart = tuple(name for name in sites if _read_apart(network, name))
    ranges = {name: IndexRanges(AXIS) for name in apart}
    for name, values, half in _shown(network, apart, samples):
        if values.ndim == RANK:
            ranges[name].widen(values, half)
    trials = {
        name: Trial(quantizers[sites[name]], ranges[name])
        for name in apart
        if ranges[name].low.shape[1] > 1
    }
    for name, values, half in _shown(network, tuple(trials), samples):
        if half:
            trials[name].add(values)
    found = {sites[name]: trial.choose(scales) for name, trial in trials.items()}
    return {**quantizers, **found}


def _read_apart(network: Network, tensor: str) -> bool:
    """Whether no reader of a tensor's codes sums over its last axis or moves it."""
    for node in network.consumers.get(tensor, ()):
        role = network.role(node)
        if role in (Role.PASSING, Role.PRODUCT):
            return False
        if role is Role.COMBINING and node.op_type not in ELEMENTWISE:
            return False
        if role is Role.MATRIX and not _slides(network, node):
            return False
    return True


def _slides(network: Network, node: NodeProto) -> bool:
    """Whether a layer is a 1x1 convolution over neurons."""
    if node.op_type != "Conv" or len(network.initializers[node.input[1]].dims) != RANK:
        return False
    window = [network.initializers[node.input[1]].dims[2], *numbers(node, "strides")]
    return set(window) == {1} and not any(numbers(node, "pads"))


def _shown(
    network: Network, tensors: tuple[str, ...], samples: Arrays
) -> Iterator[tuple[str, Floats, int]]:
    """Values of tensors over all samples, with the half of the samples that they belong to.

    A single batch of samples is both halves.
    """
    if not tensors:
        return
    run = runner(network, tensors)
    batches = [batch for _, batch in sample_batches(network, samples)]
    for index, batch in enumerate(batches):
        for name, values in run(batch):
            yield name, values, int(index >= len(batches) // 2 > 0)
            if len(batches) == 1:
                yield name, values, 1
