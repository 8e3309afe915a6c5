"""How much noise each layer's bits add to the output: measured, one layer at a time.

Weights are rounded and biases corrected as in the finished network, on some of the samples; noise
is measured on others, which the rounding has not seen.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from zapdeploy.quantize.modules.build import (
    BATCH,
    Prepared,
    Quantized,
    build,
    outputs,
    quantizers,
    silent,
)
from zapdeploy.quantize.modules.calibration import Batch, Progress, batches
from zapdeploy.quantize.modules.export import layer_nodes
from zapdeploy.quantize.modules.insertion import layer_steps, step_quantizer
from zapdeploy.quantize.modules.quantizers import StepQuantizer
from zapdeploy.quantize.modules.sites import place
from zapdeploy.quantize.modules.walking import Values, Walk
from zapdeploy.quantize.modules.weights import (
    FloatInputs,
    centre_of,
    channel_means,
    round_layer,
    rounding_of,
)
from zapdeploy.quantize.recipes import BitChoice, ModuleRecipe

WIDEST = BitChoice(8, 8)
MEASURED_SAMPLES = 16

# Of every layer at every option, what it would read through.
Readers = Mapping[tuple[str, BitChoice], StepQuantizer]


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
    parts = list(zip(batches(judged, BATCH), batches((exact,), BATCH), strict=True))
    narrowing = _Narrowing(quantized, prepared, recipe)
    walk, layers = Walk(quantized.graph), narrowing.layers
    values = [walk.start(batch) for batch, _ in parts]
    readers = _readers(prepared, recipe, options)
    options_of: defaultdict[str, list[BitChoice]] = defaultdict(list)
    for name, bits in readers:
        options_of[name].append(bits)
    errors: dict[tuple[str, BitChoice], Tensor] = {}

    def error(index: int) -> Tensor:
        pairs = zip(values, parts, strict=True)
        return torch.cat([_errors(walk.finish(index, v), x) for v, (_, (x,)) in pairs])

    with torch.no_grad():
        for index, node in enumerate(walk.order):
            narrowing.reach(node)
            for bits in options_of[layers[node]] if node in layers else ():
                key = (layers[node], bits)
                with narrowing.narrowed(node, bits, readers[key]):
                    errors[key] = error(index)
                progress("measure", len(errors), len(readers))
            for found in values:
                walk.step(node, found)
    ends = (found[walk.order[-1]] for found in values)
    whole = torch.cat([_errors(v, x) for v, (_, (x,)) in zip(ends, parts, strict=True)])
    power = float((exact**2).sum())
    layer_noise = {
        name: {
            bits: _upper(errors[name, bits] - whole) / power if (name, bits) in errors else 0.0
            for bits in options
        }
        for name in prepared.layers
    }
    return Noise(layer_noise, float(whole.sum()) / power)


def _upper(added: Tensor) -> float:
    """The sum over samples [count] and its standard error: what little was measured may be more."""
    deviation = float(added.std()) if len(added) > 1 else 0.0
    return max(float(added.sum()) + deviation * len(added) ** 0.5, 0.0)


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


def _errors(found: Any, wanted: Tensor) -> Tensor:
    """Squared errors by sample [count]."""
    result = found if isinstance(found, Tensor) else found[0]
    return ((result.double() - wanted) ** 2).flatten(1).sum(dim=1)


class _Narrowing:
    """Narrows one layer of the network at 8 bits, as it would be rounded and corrected there.

    Walks the samples to round on as far as that layer.
    """

    def __init__(self, quantized: Quantized, prepared: Prepared, recipe: ModuleRecipe) -> None:
        self.graph, self.prepared, self.recipe = quantized.graph, prepared, recipe
        self.layers = {node: str(node.target) for node in layer_nodes(quantized.graph)}
        parts = list(batches(prepared.samples, BATCH))
        self.walk = Walk(quantized.graph)
        self.values: list[Values] = [self.walk.start(part) for part in parts]
        self.coming = iter(self.walk.order)
        self.next = next(self.coming)
        gpfq = recipe.rounding == "gpfq"
        self.exact = FloatInputs(prepared.graph, parts) if gpfq else None
        self.aims: list[Tensor] | None = None

    def reach(self, node: fx.Node) -> None:
        """Run everything before the node, which is at or behind the last one asked for."""
        while self.next is not node:
            for found in self.values:
                self.walk.step(self.next, found)
            self.next = next(self.coming)
        if self.exact is not None and node in self.layers:
            centre = centre_of(self.graph, node.all_input_nodes[0])
            self.aims = [values - centre for values in self.exact.inputs(node.name)]

    @contextlib.contextmanager
    def narrowed(self, node: fx.Node, bits: BitChoice, reader: StepQuantizer) -> Iterator[None]:
        """The network with the layer at `node` at other bits."""
        layer = self.graph.get_submodule(self.layers[node])
        centre = centre_of(self.graph, node.all_input_nodes[0])
        wide = [found[node.all_input_nodes[0]] for found in self.values]
        narrower = bits.activations < WIDEST.activations

        def read(values: Tensor) -> Tensor:
            return reader.seen_by_reader(values + centre) - centre if narrower else values

        with _kept(layer):
            mean = _mean(layer, wide)
            self._round(layer, bits, reader, [read(values) for values in wide])
            hook = layer.register_forward_pre_hook(lambda _, inputs: (read(inputs[0]),))
            try:
                if self.recipe.correct_bias:
                    assert isinstance(layer.bias, Tensor)
                    layer.bias.data += mean - _mean(layer, wide)
                yield
            finally:
                hook.remove()

    def _round(
        self, layer: nn.Module, bits: BitChoice, reader: StepQuantizer, read: list[Tensor]
    ) -> None:
        """The float weights in a layer's place, rounded at other bits as the recipe says."""
        proxy: Any = layer.get_submodule("weight_quant")
        exact: Any = self.prepared.graph.get_submodule(self._name(layer))
        layer.weight.data = exact.weight.data.clone()
        steps = layer_steps(exact, reader, bits.weights)
        proxy.tensor_quant = StepQuantizer(
            steps, bits.weights, signed=True, exponents=proxy.tensor_quant.exponents
        ).eval()
        if rounding_of(layer, self.recipe.rounding) != "nearest":
            round_layer(layer, read, self.aims)

    def _name(self, layer: nn.Module) -> str:
        return next(n for n in self.layers.values() if self.graph.get_submodule(n) is layer)


def _mean(layer: nn.Module, read: Sequence[Tensor]) -> Tensor:
    """Mean over all samples per output channel: float [channels]."""
    sums = [len(values) * channel_means(layer(values), layer) for values in read]
    return torch.stack(sums).sum(dim=0) / sum(map(len, read))


@contextlib.contextmanager
def _kept(layer: nn.Module) -> Iterator[None]:
    """A layer that may be changed inside, and is as it was afterwards.

    Its bias is not quantized meanwhile: its units would be another layer's.
    """
    proxy: Any = layer.get_submodule("weight_quant")
    bias: Any = layer.get_submodule("bias_quant")
    weight, quantizer, disabled = layer.weight.data, proxy.tensor_quant, bias.disable_quant
    value = layer.bias.data.clone() if isinstance(layer.bias, Tensor) else None
    bias.disable_quant = True
    try:
        yield
    finally:
        layer.weight.data, proxy.tensor_quant, bias.disable_quant = weight, quantizer, disabled
        if value is not None:
            layer.bias.data = value
