"""From a trained module to a quantized graph: the steps in their order."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from zapdeploy.progress import Progress
from zapdeploy.quantize.modules.calibration import histograms
from zapdeploy.quantize.modules.insertion import insert
from zapdeploy.quantize.modules.neurons import per_neuron, separable, summing
from zapdeploy.quantize.modules.roles import Role, Roles
from zapdeploy.quantize.modules.samples import check_runs
from zapdeploy.quantize.modules.sites import Placement, Site, place
from zapdeploy.quantize.modules.tracing import equalize, simplify, trace
from zapdeploy.quantize.modules.weights import correct_biases, round_weights
from zapdeploy.quantize.ranges import (
    Histogram,
    Quantizer,
    choose_quantizer,
    percentile_quantizer,
)
from zapdeploy.quantize.recipes import BitChoice, ModuleRecipe

BATCH = 8  # samples that run at once
CORRECTED_SAMPLES = 64  # samples that biases are corrected on, all at once


def silent(what: str, done: int, total: int) -> None:
    """Progress that nobody sees."""


@dataclass
class Prepared:
    """A module ready to be quantized in several ways: its float graph and what its values were.

    samples: float [count, ...] for every argument of the module. `seen` keeps histograms by the
    values they were counted over, so that a second recipe does not run the network again, and
    `chosen` the quantizers by all that they depend on.
    """

    graph: fx.GraphModule
    roles: Roles
    samples: tuple[Tensor, ...]
    equalized: bool
    seen: dict[tuple[str, ...], Histogram] = field(default_factory=dict)
    chosen: dict[Hashable, Quantizer] = field(default_factory=dict)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the matrix layers in topological order."""
        return tuple(str(layer.target) for layer in self.roles.layers)

    @property
    def float_operators(self) -> tuple[str, ...]:
        """Names of nodes that stay in floating point."""
        return tuple(
            node.name
            for node in self.roles.nodes
            if self.roles.kind(node) is Role.FLOAT
            and node.op in ("call_module", "call_function", "call_method")
            and node.target not in ("size", "dim", getattr)
        )


@dataclass(frozen=True, eq=False)
class Quantized:
    """A graph that computes in codes, and where its quantizers stand."""

    graph: fx.GraphModule
    placement: Placement
    recipe: ModuleRecipe


def prepare(module: nn.Module, samples: tuple[Tensor, ...], *, equalized: bool = True) -> Prepared:
    """Trace, fold and equalize. Raises ModelError when the module cannot be traced."""
    return prepare_graph(simplify(trace(module)), samples, equalized=equalized)


def prepare_graph(
    graph: fx.GraphModule, samples: tuple[Tensor, ...], *, equalized: bool = True
) -> Prepared:
    """As `prepare`, from a graph that is traced and simplified."""
    roles = Roles(graph)
    check_runs(graph, samples)
    took = False
    if equalized and len(roles.layers) > 1:
        graph, took = equalize(graph, tuple(values[:2] for values in samples))
        roles = Roles(graph)
    return Prepared(graph, roles, samples, took)


def build(
    prepared: Prepared,
    recipe: ModuleRecipe,
    chosen: Mapping[str, BitChoice] | None = None,
    *,
    progress: Progress = silent,
) -> Quantized:
    """Quantize a prepared module after training; `chosen` overrides bits by layer name."""
    quantized = assemble(prepared, recipe, chosen, progress=progress)
    graph = quantized.graph
    if recipe.rounding != "nearest":
        round_weights(graph, prepared.graph, prepared.samples, BATCH, recipe.rounding, progress)
    if recipe.correct_bias:
        few = tuple(values[:CORRECTED_SAMPLES] for values in prepared.samples)
        correct_biases(graph, prepared.graph, few)
    return quantized


def assemble(
    prepared: Prepared,
    recipe: ModuleRecipe,
    chosen: Mapping[str, BitChoice] | None = None,
    *,
    progress: Progress = silent,
) -> Quantized:
    """As `build`, with weights to the nearest code and biases as they were: what it costs is the
    same, what it computes less exact."""
    placement = _placed(prepared, recipe, chosen, progress)
    chosen_ranges = quantizers(prepared, placement, recipe, progress)
    return Quantized(insert(prepared.graph, placement, chosen_ranges, recipe), placement, recipe)


def _placed(
    prepared: Prepared,
    recipe: ModuleRecipe,
    chosen: Mapping[str, BitChoice] | None,
    progress: Progress,
) -> Placement:
    """Where quantizers stand. A layer that sums over neurons reads through its own where the value
    has scales for each neuron."""
    roles, apart = prepared.roles, summing(prepared.roles)
    if recipe.activation_scales == "per tensor" or len(apart) == len(roles.layers):
        return place(roles, recipe, chosen)
    placement = place(roles, recipe, chosen, apart)
    found = quantizers(prepared, placement, recipe, progress)
    at = {value: s for s in placement.sites if not s.readers for value in s.values}
    read = {str(node.target): roles.root(node.all_input_nodes[0]).name for node in roles.layers}
    kept = frozenset(name for name in apart if found[at[read[name]]].axis is not None)
    return place(roles, recipe, chosen, kept)


def quantizers(
    prepared: Prepared, placement: Placement, recipe: ModuleRecipe, progress: Progress
) -> dict[Site, Quantizer]:
    """What stands at each site; for each neuron where the recipe has it so."""
    choose = choose_quantizer if recipe.calibration == "mse" else percentile_quantizer
    seen = _seen(prepared, placement.sites, progress)
    found = {site: choose(seen[site], site.bits) for site in placement.sites}
    if recipe.activation_scales == "per tensor":
        return found
    apart = separable(prepared.roles, placement)
    how = (recipe.calibration, recipe.activation_scales)
    new = {site: found[site] for site in apart if (site, *how) not in prepared.chosen}
    shapes, scales = {site: apart[site] for site in new}, recipe.activation_scales
    made = per_neuron(prepared.graph, new, shapes, prepared.samples, BATCH, scales, progress)
    prepared.chosen.update({(site, *how): quantizer for site, quantizer in made.items()})
    return {**found, **{site: prepared.chosen[site, *how] for site in apart}}


def _seen(prepared: Prepared, sites: tuple[Site, ...], progress: Progress) -> dict[Site, Histogram]:
    missing = tuple(site for site in sites if site.values not in prepared.seen)
    if missing:
        found = histograms(prepared.graph, missing, prepared.samples, BATCH, progress)
        prepared.seen.update({site.values: histogram for site, histogram in found.items()})
    return {site: prepared.seen[site.values] for site in sites}


def outputs(graph: fx.GraphModule, samples: tuple[Tensor, ...]) -> Tensor:
    """What a graph computes for all samples, BATCH at a time: float [count, ...]."""
    graph.eval()
    found: list[Any] = []
    with torch.no_grad():
        for start in range(0, len(samples[0]), BATCH):
            found.append(graph(*(values[start : start + BATCH] for values in samples)))
    return torch.cat([part if isinstance(part, Tensor) else part[0] for part in found])
