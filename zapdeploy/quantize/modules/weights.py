"""Better weights for the same codes: GPTQ's or GPFQ's rounding, and biases without mean error."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import torch
from brevitas.graph.gpfq import GPFQ  # type: ignore[import-untyped]
from brevitas.graph.gptq import GPTQ  # type: ignore[import-untyped]
from brevitas.graph.gpxq import LayerHandler  # type: ignore[import-untyped]
from brevitas.utils.torch_utils import StopFwdException  # type: ignore[import-untyped]
from torch import Tensor, fx, nn

from zapdeploy.progress import Progress
from zapdeploy.quantize.modules.calibration import batches
from zapdeploy.quantize.modules.export import layer_nodes
from zapdeploy.quantize.modules.quantizers import StepQuantizer
from zapdeploy.quantize.modules.walking import Values, Walk
from zapdeploy.quantize.recipes import Rounding

BLOCKS = 100  # GPTQ corrects the columns of one block at once, and the rest after it
# Inputs of a layer beyond which its weights go to the nearest code: their covariance would take
# more than 1 GiB.
MOST_COLUMNS = 16_384


def rounding_of(layer: nn.Module, wanted: Rounding) -> Rounding:
    """How a layer's weights are rounded where the recipe wants it so."""
    assert isinstance(layer.weight, Tensor)
    columns = layer.weight[0].numel()
    return wanted if columns <= MOST_COLUMNS else "nearest"


def round_weights(
    graph: fx.GraphModule,
    reference: fx.GraphModule,
    samples: tuple[Tensor, ...],
    size: int,
    rounding: Rounding,
    progress: Progress,
) -> None:
    """Round weights column by column, each time correcting those that are still to come.

    GPTQ keeps what a layer makes of the quantized values that it reads; GPFQ aims at what the float
    network, `reference`, makes of its own, so that a layer also makes good for those before it.
    Changes `graph` in place, layer after layer: each sees what the rounded layers before it hand
    on. Its layers' steps stay as they are, and its nodes have the reference's names.
    """
    layers = {node: graph.get_submodule(str(node.target)) for node in layer_nodes(graph)}
    walk, parts = Walk(graph), list(batches(samples, size))
    values = [walk.start(part) for part in parts]
    exact = FloatInputs(reference, parts) if rounding == "gpfq" else None
    with torch.no_grad():
        for node in walk.order:
            if node in layers and rounding_of(layers[node], rounding) != "nearest":
                read = [found[node.all_input_nodes[0]] for found in values]
                centre = centre_of(graph, node.all_input_nodes[0])
                aims = [x - centre for x in exact.inputs(node.name)] if exact else None
                round_layer(layers[node], read, aims)
                progress("round weights", list(layers).index(node) + 1, len(layers))
            for found in values:
                walk.step(node, found)


def centre_of(graph: fx.GraphModule, read: fx.Node) -> Tensor:
    """What is subtracted in front of the quantizer that a layer reads through: mostly nothing."""
    modules = graph.get_submodule(str(read.target)).modules() if read.op == "call_module" else ()
    for module in modules:
        if isinstance(module, StepQuantizer) and module.centre is not None:
            return module.centre
    return torch.zeros(())


class FloatInputs:
    """The float network, walked as far as the layer whose inputs are asked for."""

    def __init__(self, graph: fx.GraphModule, parts: list[tuple[Tensor, ...]]) -> None:
        self.walk = Walk(graph)
        self.values: list[Values] = [self.walk.start(part) for part in parts]
        self.coming = iter(self.walk.order)

    def inputs(self, name: str) -> list[Tensor]:
        """What the layer's node reads, batch by batch; layers are asked for in their order."""
        for node in self.coming:
            read = [found[node.all_input_nodes[0]] for found in self.values if node.name == name]
            for found in self.values:
                self.walk.step(node, found)
            if read:
                return read
        raise KeyError(name)


def round_layer(layer: Any, read: list[Tensor], aims: list[Tensor] | None) -> None:
    """Round one Brevitas layer's weights: by GPFQ where it has the float inputs to aim at, else by
    GPTQ. read: what it reads, batch by batch, in quantized values."""
    handler, common = LayerHandler(), {"name": "", "act_order": False, "len_parallel_layers": 1}
    if aims is None:
        chosen = GPTQ(layer, create_weight_orig=False, num_blocks=BLOCKS, **common)
    else:
        chosen = _PathFollowing(layer, create_weight_orig=True, **common)
    for index, values in enumerate(read):
        with contextlib.suppress(StopFwdException):
            chosen.update_batch(layer, (values,), handler)
        if aims is not None:
            layer.weight_quant.disable_quant = True  # says that these values are the float ones
            with contextlib.suppress(StopFwdException):
                chosen.update_batch(layer, (aims[index],), handler)
            layer.weight_quant.disable_quant = False
    chosen.single_layer_update()
    if aims is not None:
        del layer.weight_orig


class _PathFollowing(GPFQ):  # type: ignore[misc]
    """Brevitas' GPFQ; the columns that are done are kept, not quantized again for each column."""

    def get_quant_weights(
        self, i: int, i1: int, permutation_list: list[Tensor], with_quant_history: bool = False
    ) -> Tensor:
        if not with_quant_history:
            return super().get_quant_weights(i, i1, permutation_list)
        if i == 0:
            rows = int(self.rows) // self.groups
            self.done = torch.zeros(self.groups, rows, int(self.columns))
        else:
            self.done[:, :, i - 1] = super().get_quant_weights(i - 1, 0, permutation_list)
        return self.done[:, :, :i]


def correct_biases(
    graph: fx.GraphModule, reference: fx.GraphModule, samples: tuple[Tensor, ...]
) -> None:
    """Take each layer's mean error against the float network out of its bias, one after the other.

    Nagel et al., ICCV 2019, measured on samples. Each layer sees what the corrected layers before
    it hand on. Changes the biases of `graph`, whose nodes have the reference's names.
    """
    layers = {node.name: graph.get_submodule(str(node.target)) for node in layer_nodes(graph)}
    with torch.no_grad():
        means = _Means(reference, layers)
        means.run(*samples)
        _Correction(graph, layers, means.found).run(*samples)


class _Means(fx.Interpreter):
    """Runs a graph and keeps the mean of each channel that its layers write."""

    def __init__(self, graph: fx.GraphModule, layers: Mapping[str, nn.Module]) -> None:
        super().__init__(graph)
        self.layers = layers
        self.found: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n.name in self.layers:
            self.found[n.name] = channel_means(value, self.layers[n.name])
        return value


class _Correction(fx.Interpreter):
    """Runs a quantized graph and moves each layer's bias before the next one runs."""

    def __init__(
        self, graph: fx.GraphModule, layers: Mapping[str, nn.Module], wanted: Mapping[str, Tensor]
    ) -> None:
        super().__init__(graph)
        self.layers = layers
        self.wanted = wanted

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        layer = self.layers.get(n.name)
        if layer is None or not isinstance(layer.bias, Tensor):
            return value
        layer.bias.data += self.wanted[n.name] - channel_means(value, layer)
        return super().run_node(n)


def channel_means(value: Tensor, layer: nn.Module) -> Tensor:
    """Mean per output channel of a layer's result: float [channels]."""
    axis = value.ndim - 1 if isinstance(layer, nn.Linear) else 1
    return value.transpose(0, axis).reshape(value.shape[axis], -1).mean(dim=1)
