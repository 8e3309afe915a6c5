"""Puts quantizers and quantized layers into a traced graph."""

from __future__ import annotations

import copy
import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from brevitas.nn import (  # type: ignore[import-untyped]
    QuantConv1d,
    QuantConv2d,
    QuantIdentity,
    QuantLinear,
)
from torch import fx, nn

from zapdeploy.errors import ModelError
from zapdeploy.quantize.modules.quantizers import (
    BiasQuantizer,
    StepQuantizer,
    activation_injector,
    bias_injector,
    weight_injector,
)
from zapdeploy.quantize.modules.sites import Placement, Site
from zapdeploy.quantize.ranges import Quantizer
from zapdeploy.quantize.recipes import ModuleRecipe
from zapdeploy.quantize.weights import channel_scales

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)


def insert(
    graph: fx.GraphModule,
    placement: Placement,
    quantizers: Mapping[Site, Quantizer],
    recipe: ModuleRecipe,
) -> fx.GraphModule:
    """A copy of the graph that computes in codes where the placement says so."""
    graph = copy.deepcopy(graph)
    steps = {site: step_quantizer(quantizers[site], recipe) for site in placement.sites}
    for index, (site, quantizer) in enumerate(steps.items()):
        _insert_site(graph, site, quantizer, f"quantizer_{index}")
    for name, bits in placement.bits.items():
        layer = graph.get_submodule(name)
        source = steps[placement.sources[name]]
        _add_bias(layer, source, recipe)
        _replace(graph, name, _quantized_layer(name, layer, source, bits.weights, recipe))
    graph.graph.lint()
    graph.recompile()
    return graph.eval()


def step_quantizer(chosen: Quantizer, recipe: ModuleRecipe) -> StepQuantizer:
    """The module that rounds to a chosen quantizer's codes."""
    scale, zero_point = torch.as_tensor(chosen.scale), torch.as_tensor(chosen.zero_point)
    centre = None if chosen.centre is None else torch.from_numpy(chosen.centre)[None, :, None]
    return StepQuantizer(
        scale,
        chosen.bits,
        signed=False,
        zero_point=zero_point,
        exponents=recipe.exponents,
        centre=centre,
    )


def _add_bias(layer: nn.Module, source: StepQuantizer, recipe: ModuleRecipe) -> None:
    """A bias where the recipe corrects it, with what the layer loses when it reads centred."""
    assert isinstance(layer, LAYERS)
    if layer.bias is None and (recipe.correct_bias or source.centre is not None):
        layer.bias = nn.Parameter(torch.zeros(layer.weight.shape[0]))
    if source.centre is not None:
        assert layer.bias is not None
        layer.bias.data += layer.weight.data[..., 0] @ source.centre.reshape(-1)


def _insert_site(graph: fx.GraphModule, site: Site, quantizer: StepQuantizer, name: str) -> None:
    graph.add_submodule(name, QuantIdentity(act_quant=activation_injector(quantizer)))
    nodes = {node.name: node for node in graph.graph.nodes}
    if site.readers:
        before = nodes[site.readers[0]].all_input_nodes[0]
        with graph.graph.inserting_before(nodes[site.readers[0]]):
            read = _centred(graph, before, quantizer, name)
            inserted = graph.graph.call_module(name, (read,))
        for reader in site.readers:
            nodes[reader].replace_input_with(before, inserted)
        return
    for value in site.values:
        node = nodes[value]
        with graph.graph.inserting_after(_place_after(graph, node)):
            inserted = graph.graph.call_module(name, (node,))
        node.replace_all_uses_with(inserted, lambda user, own=inserted: user is not own)


def _centred(graph: fx.GraphModule, value: fx.Node, quantizer: StepQuantizer, name: str) -> fx.Node:
    """The value less what the quantizer wants subtracted."""
    if quantizer.centre is None:
        return value
    graph.register_buffer(f"{name}_centre", quantizer.centre)
    centre = graph.graph.get_attr(f"{name}_centre")
    return graph.graph.call_function(operator.sub, (value, centre))


def _place_after(graph: fx.GraphModule, node: fx.Node) -> fx.Node:
    """Behind all placeholders for a placeholder, behind the node itself for others."""
    if node.op != "placeholder":
        return node
    return [other for other in graph.graph.nodes if other.op == "placeholder"][-1]


def _quantized_layer(
    name: str, layer: nn.Module, source: StepQuantizer, bits: int, recipe: ModuleRecipe
) -> nn.Module:
    assert isinstance(layer, LAYERS)
    if not torch.isfinite(layer.weight).all():
        raise ModelError(
            f"weights must be finite, not NaN or infinite (layer {name!r}); repair the checkpoint"
        )
    weight = StepQuantizer(
        layer_steps(layer, source, bits), bits, signed=True, exponents=recipe.exponents
    )
    options: dict[str, Any] = {"weight_quant": weight_injector(weight)}
    if layer.bias is not None:
        options["bias_quant"] = bias_injector(BiasQuantizer(source, weight))
    made = _same_shape(name, layer, options)
    made.weight.data.copy_(layer.weight.data)
    if layer.bias is not None:
        made.bias.data.copy_(layer.bias.data)
    return made


def _same_shape(name: str, layer: nn.Module, options: dict[str, Any]) -> Any:
    bias = layer.bias is not None
    if isinstance(layer, nn.Linear):
        return QuantLinear(layer.in_features, layer.out_features, bias, **options)
    assert isinstance(layer, nn.Conv1d | nn.Conv2d)
    if layer.padding_mode != "zeros":
        raise ModelError(
            f"padding must be with zeros, not {layer.padding_mode!r} (layer {name!r}); "
            "pad in front of the layer"
        )
    options |= {
        name: getattr(layer, name)
        for name in ("kernel_size", "stride", "padding", "dilation", "groups")
    }
    kind = QuantConv1d if isinstance(layer, nn.Conv1d) else QuantConv2d
    return kind(layer.in_channels, layer.out_channels, bias=bias, **options)


def layer_steps(layer: nn.Module, source: StepQuantizer, bits: int) -> torch.Tensor:
    """Steps [channels, 1, ...] of a layer's weights that cannot overflow the accumulator.

    source: the quantizer of what the layer reads.
    """
    assert isinstance(layer, LAYERS)
    weight = layer.weight.detach().numpy()
    rows = np.ascontiguousarray(weight.reshape(len(weight), -1), np.float32)
    biases = np.zeros(len(rows), np.float32)
    if layer.bias is not None:
        biases = layer.bias.detach().numpy().astype(np.float32)
    reach = max(int(source.zero_point.max()), source.high - int(source.zero_point.min()))
    scales = channel_scales(rows, biases, bits, float(source.scale().detach().amin()), reach)
    return torch.from_numpy(scales).reshape(-1, *[1] * (weight.ndim - 1))


def _replace(graph: fx.GraphModule, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(graph.get_submodule(parent), child, module)
