"""One layer of a network at 8 bits at other bits, for as long as it is looked at."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from zapdeploy.quantize.modules.build import BATCH, Prepared, Quantized
from zapdeploy.quantize.modules.calibration import batches
from zapdeploy.quantize.modules.export import layer_nodes
from zapdeploy.quantize.modules.insertion import layer_steps
from zapdeploy.quantize.modules.quantizers import StepQuantizer
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


class Narrowing:
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
