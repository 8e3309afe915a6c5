"""How much noise each layer adds to the outputs at fewer bits: measured, one layer at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import Arrays, Floats
from zapdeploy.progress import Progress
from zapdeploy.quantize.assembling import assemble
from zapdeploy.quantize.execution import Values, sample_batches
from zapdeploy.quantize.network import Network
from zapdeploy.quantize.plan import Planner
from zapdeploy.quantize.ranges import Quantizer
from zapdeploy.quantize.recipes import BitChoice
from zapdeploy.quantize.walking import Walk
from zapdeploy.quantize.widths import chosen_widths

Noise = dict[str, dict[BitChoice, float]]
WIDEST = BitChoice(8, 8)


def noise(exact: Sequence[Mapping[str, NDArray[Any]]], found: Sequence[Values]) -> float:
    """Noise power over the power of the output that has the most of it; of outputs that are no real
    numbers, where there are no others, the share of elements that differ."""
    power: dict[str, float] = {}
    wrong: dict[str, float] = {}
    real = any(value.dtype.kind == "f" for wanted in exact for value in wanted.values())
    for wanted, values in zip(exact, found, strict=True):
        for name, value in wanted.items():
            if value.dtype.kind == "f":
                error = values[name].astype(np.float64) - value
                power[name] = power.get(name, 0.0) + float(np.vdot(value, value))
                wrong[name] = wrong.get(name, 0.0) + float(np.vdot(error, error))
            elif not real:
                power[name] = power.get(name, 0.0) + value.size
                wrong[name] = wrong.get(name, 0.0) + float((values[name] != value).sum())
    return max((wrong[name] / (power[name] or 1e-300) for name in power), default=0.0)


def measure_noise(
    planner: Planner,
    judged: Arrays,
    exact: Sequence[Mapping[str, NDArray[Any]]],
    options: Mapping[str, Sequence[BitChoice]],
    progress: Progress,
) -> Noise:
    """What each layer adds at each of its options, by its output name; 8 bits everywhere is zero.

    One layer at a time is narrowed in the network at 8 bits, which is run once as far as each layer
    and from there on for each option.
    """
    network = planner.network
    plan = planner.plan(chosen_widths(network, dict.fromkeys(options, WIDEST)))
    walked = Network(assemble(plan, "qdq", real_weights=True))
    walk = Walk(walked, [batch for _, batch in sample_batches(walked, judged)])
    total = sum(len(found) for found in options.values())
    found: Noise = {}
    for stop, layer in zip(walk.stops(), network.layers, strict=True):
        key = layer.output[0]
        found[key] = {WIDEST: 0.0}
        for bits in options[key]:
            if bits != WIDEST:
                source = planner.quantizer(layer.input[0], bits.activations)
                weight = planner.weight(layer, bits.weights, source)
                read = [_narrowed(values, source) for values in stop.read]
                outputs = walk.outputs_with(stop, read, weight.real_values(), weight.real_bias())
                found[key][bits] = noise(exact, outputs)
        progress("measure layers", sum(map(len, found.values())), total)
    base = noise(exact, walk.outputs())
    return {
        key: {
            bits: max(value - base, 0.0) if bits != WIDEST else 0.0 for bits, value in own.items()
        }
        for key, own in found.items()
    }


def _narrowed(values: Floats, quantizer: Quantizer) -> Floats:
    """Values as a quantizer with one scale lets them through."""
    if quantizer.bits == 8:
        return values
    codes = np.rint(values / quantizer.scale)
    zero = np.float32(quantizer.zero_point)
    np.clip(codes, -zero, np.float32(quantizer.highest) - zero, out=codes)
    return np.asarray(codes * quantizer.scale, np.float32)
