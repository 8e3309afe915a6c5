"""How much noise each layer's bits add to the output: measured, one layer at a time."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zapdeploy.quantize.modules.build import (
    BATCH,
    Prepared,
    Quantized,
    assemble,
    outputs,
    quantizers,
    silent,
)
from zapdeploy.quantize.modules.calibration import Progress, batches
from zapdeploy.quantize.modules.export import layer_nodes
from zapdeploy.quantize.modules.insertion import layer_steps, step_quantizer
from zapdeploy.quantize.modules.quantizers import StepQuantizer
from zapdeploy.quantize.modules.sites import place
from zapdeploy.quantize.modules.walking import Walk
from zapdeploy.quantize.recipes import BitChoice, ModuleRecipe

WIDEST = BitChoice(8, 8)
MEASURED_SAMPLES = 16

# Of every layer at every option, what it would read through.
Readers = Mapping[tuple[str, BitChoice], StepQuantizer]


def measure(
    prepared: Prepared,
    recipe: ModuleRecipe,
    options: Sequence[BitChoice],
    *,
    samples: int = MEASURED_SAMPLES,
    progress: Progress = silent,
) -> tuple[dict[str, dict[BitChoice, float]], float]:
    """Noise power over output power that each layer adds at each option, and that of 8 bits.

    One layer at a time is narrowed in the network at 8 bits, which is run once as far as each layer
    and from there on for each option. What an option adds is counted from zero. recipe: how ranges
    are chosen; its bits do not matter, and weights go to the nearest code.
    """
    few = tuple(values[:samples] for values in prepared.samples)
    exact = outputs(prepared.graph, few).double()
    quantized = assemble(prepared, recipe, dict.fromkeys(prepared.layers, WIDEST))
    readers = _readers(prepared, recipe, options)
    errors: defaultdict[tuple[str, BitChoice], float] = defaultdict(float)
    whole, parts = 0.0, list(zip(batches(few, BATCH), batches((exact,), BATCH), strict=True))
    for index, (batch, (wanted,)) in enumerate(parts):
        shown = _part_of(progress, index, len(parts))
        narrowed, unchanged = _errors(quantized, readers, batch, wanted, shown)
        whole += unchanged
        for key, error in narrowed.items():
            errors[key] += error
    power = float((exact**2).sum())
    return {
        name: {
            bits: 0.0 if bits == WIDEST else max(errors[name, bits] - whole, 0.0) / power
            for bits in options
        }
        for name in prepared.layers
    }, whole / power


def _readers(prepared: Prepared, recipe: ModuleRecipe, options: Sequence[BitChoice]) -> Readers:
    """The quantizers that a network with these bits everywhere would have."""
    found = {}
    for bits in options:
        if bits == WIDEST:
            continue
        placement = place(prepared.roles, recipe, dict.fromkeys(prepared.layers, bits))
        chosen = quantizers(prepared, placement, recipe, silent)
        for name, site in placement.sources.items():
            found[name, bits] = step_quantizer(chosen[site], recipe).eval()
    return found


def _part_of(progress: Progress, index: int, parts: int) -> Progress:
    """Progress over one of several parts of the same length."""
    return lambda what, done, total: progress(what, index * total + done, parts * total)


def _errors(
    quantized: Quantized,
    readers: Readers,
    batch: tuple[Tensor, ...],
    wanted: Tensor,
    progress: Progress,
) -> tuple[dict[tuple[str, BitChoice], float], float]:
    """Squared errors of a batch's outputs: by layer and the bits it has alone, and of 8 bits."""
    layers = {node: str(node.target) for node in layer_nodes(quantized.graph)}
    walk, found = Walk(quantized.graph), {}
    values = walk.start(batch)
    with torch.no_grad():
        for index, node in enumerate(walk.order):
            for name, bits in readers:
                if layers.get(node) == name:
                    with _narrowed(quantized, name, bits, readers[name, bits]):
                        found[name, bits] = _squared_error(walk.finish(index, values), wanted)
                    progress("measure", len(found), len(readers))
            walk.step(node, values)
    return found, _squared_error(values[walk.order[-1]], wanted)


def _squared_error(found: Any, wanted: Tensor) -> float:
    result = found if isinstance(found, Tensor) else found[0]
    return float(((result.double() - wanted) ** 2).sum())


@contextlib.contextmanager
def _narrowed(
    quantized: Quantized, name: str, bits: BitChoice, reader: StepQuantizer
) -> Iterator[None]:
    """The network with one layer at other bits."""
    layer = quantized.graph.get_submodule(name)
    proxy, bias = layer.get_submodule("weight_quant"), layer.get_submodule("bias_quant")
    kept, enabled = proxy.tensor_quant, bias.disable_quant
    assert isinstance(kept, StepQuantizer)

    def narrow(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (reader.seen_by_reader(inputs[0]),)

    steps = layer_steps(layer, reader, bits.weights)
    proxy.tensor_quant = StepQuantizer(
        steps, bits.weights, signed=True, exponents=kept.exponents
    ).eval()
    bias.disable_quant = True  # type: ignore[assignment]  # its units would be another layer's
    narrower = bits.activations < WIDEST.activations
    handle = layer.register_forward_pre_hook(narrow) if narrower else None
    try:
        yield
    finally:
        proxy.tensor_quant, bias.disable_quant = kept, enabled
        if handle is not None:
            handle.remove()
