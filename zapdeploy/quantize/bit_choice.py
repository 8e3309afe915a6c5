"""The bits of each layer of an ONNX network: as few as its outputs bear.

Of all layers the one is widened first whose widening takes the most noise out of the outputs for
each product of bits that it costs; as few of them are widened as the measured noise of the whole
network asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from zapdeploy.arrays import Arrays
from zapdeploy.progress import Progress
from zapdeploy.quantize.assembling import assemble
from zapdeploy.quantize.before_saturation import before_saturation, with_outputs_of
from zapdeploy.quantize.equalization import equalize
from zapdeploy.quantize.fidelity import outputs_of
from zapdeploy.quantize.held_back import hold_back
from zapdeploy.quantize.network import Network
from zapdeploy.quantize.parts import batch_size, tensor_types
from zapdeploy.quantize.plan import Plan, Planner
from zapdeploy.quantize.quantization_noise import WIDEST, Noise, measure_noise, noise
from zapdeploy.quantize.recipe import Recipe
from zapdeploy.quantize.recipes import BitChoice
from zapdeploy.quantize.record import Aim, BitsChosen
from zapdeploy.quantize.rounding import look_at
from zapdeploy.quantize.widths import assign_widths, chosen_widths, edge_layers

CHOICES = (BitChoice(2, 4), BitChoice(4, 4), BitChoice(4, 8), BitChoice(8, 4), WIDEST)
AT_MOST_WORSE = 10**0.1  # times the noise of 8 bits, where that is more than was asked for

Bits = dict[str, BitChoice]


def choose_bits(
    network: Network,
    recipe: Recipe,
    min_snr_db: float | None,
    samples: Arrays,
    progress: Progress,
) -> tuple[Plan, BitsChosen]:
    """The narrowest layers from those of `recipe` up whose outputs have `min_snr_db`, measured.

    Without it the recipe's own bits. A part of the samples is held back to measure noise on, before
    what saturates the outputs. Layers are equalized, and ranges of 8 bits left whole, where that
    leaves less of it.
    """
    original, network = network, before_saturation(network)
    split = hold_back(network, samples)
    exact = outputs_of(network, split.judged)

    def noise_of(planner: Planner, bits: Bits) -> float:
        plan = planner.plan(chosen_widths(network, bits))
        made = Network(assemble(plan, "qcdq", real_weights=True))
        return noise(exact, outputs_of(made, split.judged))

    planner = _best_planner(network, split.fitted, noise_of)
    if recipe.weights < 8:
        planner.rounding = look_at(planner.network, split.fitted)
    aimed = None
    if min_snr_db is None:
        widths = assign_widths(network, recipe)
    else:
        options = _options(network, recipe)
        added_noise = measure_noise(planner, split.judged, exact, options, progress)
        limit = 10 ** (-min_snr_db / 10)
        bits, aimed = _fewest(
            options, added_noise, _work(network), lambda b: noise_of(planner, b), limit, progress
        )
        widths = chosen_widths(network, bits)
    plan = planner.plan(widths)
    plan = replace(plan, network=with_outputs_of(plan.network, original))
    equalized = planner.network is not network
    return plan, BitsChosen(min_snr_db, aimed, equalized, planner.whole_range)


def _best_planner(
    network: Network, samples: Arrays, noise_of: Callable[[Planner, Bits], float]
) -> Planner:
    """Of the network as it is and equalized, with ranges chosen and whole, the one with the least
    noise at 8 bits everywhere."""
    wide = {layer.output[0]: WIDEST for layer in network.layers}
    equal = equalize(network, samples)
    found: list[tuple[float, Planner]] = []
    for candidate in (network, equal) if equal is not network else (network,):
        planner = Planner(candidate, samples)
        found += [(noise_of(p, wide), p) for p in (planner, planner.with_whole_range())]
    return min(found, key=lambda pair: pair[0])[1]


def _decibels(noise: float) -> float:
    return float(-10 * np.log10(max(noise, 1e-30)))


def _options(network: Network, recipe: Recipe) -> dict[str, tuple[BitChoice, ...]]:
    """What each layer may have, from the recipe's bits up to 8."""
    edges = edge_layers(network)
    found = {}
    for layer in network.layers:
        edge = layer.output[0] in edges
        weights = recipe.edge_weights if edge else recipe.weights
        activations = recipe.edge_activations if edge else recipe.activations
        found[layer.output[0]] = tuple(
            c for c in CHOICES if c.weights >= weights and c.activations >= activations
        )
    return found


def _work(network: Network) -> dict[str, float]:
    """Multiply-accumulates of every layer, by its output name; where sizes are open, of a row."""
    types = tensor_types(network, batch_size(network))
    found = {}
    for layer in network.layers:
        dims = network.initializers[layer.input[1]].dims
        channels = dims[1] if layer.op_type == "ConvTranspose" else dims[0]
        if layer.op_type == "MatMul" or (
            layer.op_type == "Gemm" and not any(a.name == "transB" and a.i for a in layer.attribute)
        ):
            channels = dims[-1]
        known = types.get(layer.output[0])
        elements = known.elements if known else channels
        found[layer.output[0]] = float(np.prod(dims)) / channels * elements
    return found


def _fewest(
    options: Mapping[str, Sequence[BitChoice]],
    added_noise: Noise,
    work: Mapping[str, float],
    noise_of: Callable[[Bits], float],
    limit: float,
    progress: Progress,
) -> tuple[Bits, Aim]:
    """The choice after the fewest widenings that keeps to the limit, which is raised where 8 bits
    everywhere have more noise."""
    steps = widenings(options, added_noise, work)

    def after(count: int) -> Bits:
        bits = {key: found[0] for key, found in options.items()}
        return bits | dict(steps[:count])

    low, high = 0, len(steps)
    measured = {high: noise_of(after(high))}
    limit = max(limit, AT_MOST_WORSE * measured[high])
    trials = max(len(steps), 1).bit_length()
    while low < high:
        middle = (low + high) // 2
        measured[middle] = noise_of(after(middle))
        progress("choose bits", len(measured), trials + 1)
        low, high = (low, middle) if measured[middle] <= limit else (middle + 1, high)
    progress("choose bits", trials + 1, trials + 1)
    return after(high), Aim(_decibels(limit), _decibels(measured[high]))


def widenings(
    options: Mapping[str, Sequence[BitChoice]], added_noise: Noise, work: Mapping[str, float]
) -> list[tuple[str, BitChoice]]:
    """Steps from each layer's first option to its best, by noise taken out for each bit of work."""
    found: list[tuple[float, str, BitChoice]] = []
    for key, choices in options.items():
        at = choices[0]
        while True:
            better = [
                ((added_noise[key][at] - added_noise[key][c]) / _more(at, c, work[key]), key, c)
                for c in choices
                if added_noise[key][c] < added_noise[key][at] and _more(at, c, work[key]) > 0
            ]
            if not better:
                break
            found.append(max(better, key=lambda step: step[0]))
            at = found[-1][2]
    found.sort(key=lambda step: -step[0])
    return [(key, choice) for _, key, choice in found]


def _more(old: BitChoice, new: BitChoice, work: float) -> float:
    """Products of single bits that a wider choice costs."""
    return work * (new.weights * new.activations - old.weights * old.activations)
