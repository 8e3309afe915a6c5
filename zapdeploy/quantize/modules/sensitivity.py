"""How much noise each layer's bits add to the output: measured, one layer at a time.

Weights are rounded and biases corrected as in the finished network, on some of the samples; noise
is measured on others, which the rounding has not seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, fx

from zapdeploy.progress import Progress
from zapdeploy.quantize.modules.build import (
    BATCH,
    Prepared,
    Quantized,
    build,
    outputs,
    quantizers,
    silent,
)
from zapdeploy.quantize.modules.calibration import Batch, batches
from zapdeploy.quantize.modules.insertion import step_quantizer
from zapdeploy.quantize.modules.narrowing import WIDEST, Narrowing
from zapdeploy.quantize.modules.quantizers import StepQuantizer
from zapdeploy.quantize.modules.sites import place
from zapdeploy.quantize.modules.walking import Walk
from zapdeploy.quantize.recipes import BitChoice, ModuleRecipe

MEASURED_SAMPLES = 16

# Of every layer at every narrower option, what it would read through.
Readers = Mapping[str, Mapping[BitChoice, StepQuantizer]]


@dataclass(frozen=True, eq=False)
class Noise:
    """Noise power over output power: what each layer adds at each option, and that of 8 bits.

    What a layer adds is given with one standard error over samples on top.
    """

    layers: Mapping[str, Mapping[BitChoice, float]]
    widest: float


def split(prepared: Prepared, samples: int = MEASURED_SAMPLES) -> tuple[Prepared, Batch]:
    """The module with the samples to round weights on, and up to `samples` others to judge on.

    A single sample serves both ways. Ranges stay those of all samples.
    """
    count = len(prepared.samples[0])
    judged = min(samples, max(count // 2, 1))
    fitted = max(count - judged, 1)
    few = tuple(values[:fitted] for values in prepared.samples)
    return replace(prepared, samples=few), tuple(values[-judged:] for values in prepared.samples)


def noise(prepared: Prepared, quantized: Quantized, judged: Batch) -> float:
    """A network's noise power over the float network's output power."""
    exact = outputs(prepared.graph, judged).double()
    found = outputs(quantized.graph, judged).double()
    return float(((found - exact) ** 2).sum() / (exact**2).sum())


def measure(
    prepared: Prepared,
    judged: Batch,
    recipe: ModuleRecipe,
    options: Sequence[BitChoice],
    *,
    progress: Progress = silent,
) -> Noise:
    """What each layer adds at each option, counted from zero, and the noise of 8 bits.

    prepared, judged: of `split`. One layer at a time is narrowed in the network at 8 bits, which is
    run once as far as each layer and from there on for each option. recipe: rounding, ranges and
    correction; its bits do not matter.
    """
    quantized = build(prepared, recipe, dict.fromkeys(prepared.layers, WIDEST), progress=progress)
    exact = outputs(prepared.graph, judged).double()
    judge, narrowing = _Judge(quantized, judged, exact), Narrowing(quantized, prepared, recipe)
    readers = _readers(prepared, recipe, options)
    errors: dict[tuple[str, BitChoice], Tensor] = {}
    with torch.no_grad():
        for node in judge.walk.order:
            narrowing.reach(node)
            name = narrowing.layers.get(node, "")
            for bits, reader in readers.get(name, {}).items():
                with narrowing.narrowed(node, bits, reader):
                    errors[name, bits] = judge.errors()
                progress("measure", len(errors), sum(map(len, readers.values())))
            judge.step(node)
        whole, power = judge.errors(), float((exact**2).sum())
    added = {key: _upper(error - whole) / power for key, error in errors.items()}
    layer_noise = {
        name: {bits: added.get((name, bits), 0.0) for bits in options} for name in prepared.layers
    }
    return Noise(layer_noise, float(whole.sum()) / power)


class _Judge:
    """Walks samples through a network, and says at any node how wrong its output would be."""

    def __init__(self, quantized: Quantized, samples: Batch, exact: Tensor) -> None:
        self.walk = Walk(quantized.graph)
        self.wanted = [part for (part,) in batches((exact,), BATCH)]
        self.values = [self.walk.start(batch) for batch in batches(samples, BATCH)]
        self.at = 0

    def step(self, node: fx.Node) -> None:
        """Run the next node for all samples."""
        for found in self.values:
            self.walk.step(node, found)
        self.at += 1

    def errors(self) -> Tensor:
        """Squared errors of the output, from here on as the network is now: by sample [count]."""
        parts = []
        for values, wanted in zip(self.values, self.wanted, strict=True):
            if self.at < len(self.walk.order):
                found = self.walk.finish(self.at, values)
            else:
                found = values[self.walk.order[-1]]
            result = found if isinstance(found, Tensor) else found[0]
            parts.append(((result.double() - wanted) ** 2).flatten(1).sum(dim=1))
        return torch.cat(parts)


def _upper(added: Tensor) -> float:
    """The sum over samples [count] and its standard error: what little was measured may be more."""
    deviation = float(added.std()) if len(added) > 1 else 0.0
    return max(float(added.sum()) + deviation * len(added) ** 0.5, 0.0)


def _readers(prepared: Prepared, recipe: ModuleRecipe, options: Sequence[BitChoice]) -> Readers:
    """The quantizers that a network with these bits everywhere would have."""
    found: dict[str, dict[BitChoice, StepQuantizer]] = {name: {} for name in prepared.layers}
    for bits in options:
        if bits == WIDEST:
            continue
        placement = place(prepared.roles, recipe, dict.fromkeys(prepared.layers, bits))
        chosen = quantizers(prepared, placement, recipe, silent)
        for name, site in placement.sources.items():
            found[name][bits] = step_quantizer(chosen[site], recipe).eval()
    return found
