"""Better weights for the same codes: GPTQ's rounding, and biases without the mean error."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from brevitas.graph.gptq import gptq_mode  # type: ignore[import-untyped]
from torch import Tensor, fx, nn

from zapdeploy.quantize.modules.calibration import Progress, batches
from zapdeploy.quantize.modules.export import layer_nodes


def round_by_gptq(
    graph: fx.GraphModule, samples: tuple[Tensor, ...], size: int, progress: Progress
) -> None:
    """Round weights column by column, each time correcting those that are still to come.

    Changes `graph` in place; its layers' steps stay as they are.
    """
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with gptq_mode(graph, create_weight_orig=False, use_quant_activations=True) as gptq:
            for index in range(gptq.num_layers):
                for batch in batches(samples, size):
                    gptq.model(*batch)
                gptq.update()
                progress("round weights", index + 1, gptq.num_layers)


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
            self.found[n.name] = _channel_means(value, self.layers[n.name])
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
        layer.bias.data += self.wanted[n.name] - _channel_means(value, layer)
        return super().run_node(n)


def _channel_means(value: Tensor, layer: nn.Module) -> Tensor:
    """Mean per output channel of a layer's result: float [channels]."""
    axis = value.ndim - 1 if isinstance(layer, nn.Linear) else 1
    return value.transpose(0, axis).reshape(value.shape[axis], -1).mean(dim=1)
