"""How much noise each layer's bits add to the output: measured, one layer at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from zapdeploy.quantize.modules.build import Prepared, Quantized, assemble, outputs, silent
from zapdeploy.quantize.modules.calibration import Progress, histograms
from zapdeploy.quantize.modules.insertion import layer_steps
from zapdeploy.quantize.modules.quantizers import StepQuantizer
from zapdeploy.quantize.modules.sites import Site
from zapdeploy.quantize.ranges import Histogram, choose_quantizer
from zapdeploy.quantize.recipes import BitChoice, find_recipe

OPTIONS = (BitChoice(8, 8), BitChoice(4, 8), BitChoice(4, 4), BitChoice(2, 4))
MEASURED_SAMPLES = 16


def measure(
    prepared: Prepared,
    options: Sequence[BitChoice] = OPTIONS,
    *,
    samples: int = MEASURED_SAMPLES,
    progress: Progress = silent,
) -> tuple[dict[str, dict[BitChoice, float]], float]:
    """Noise power over output power that each layer adds at each option, and that of int8.

    One layer at a time is narrowed in the int8 network; what it adds is counted from zero.
    """
    few = tuple(values[:samples] for values in prepared.samples)
    exact = outputs(prepared.graph, few).double()
    power = float((exact**2).mean())
    quantized = assemble(prepared, find_recipe("int8"))
    seen = _input_histograms(prepared)

    def noise() -> float:
        return float(((outputs(quantized.graph, few).double() - exact) ** 2).mean()) / power

    base = noise()
    found: dict[str, dict[BitChoice, float]] = {}
    done, total = 0, len(prepared.layers) * len(options)
    for name in prepared.layers:
        found[name] = {}
        for bits in options:
            if bits == BitChoice(8, 8):
                found[name][bits] = 0.0
            else:
                with _narrowed(quantized, name, bits, seen[name]):
                    found[name][bits] = max(noise() - base, 0.0)
            done += 1
            progress("measure", done, total)
    return found, base


def _input_histograms(prepared: Prepared) -> dict[str, Histogram]:
    """What each layer reads, by its name."""
    sites = {
        str(layer.target): Site((layer.all_input_nodes[0].name,), 8)
        for layer in prepared.roles.layers
    }
    distinct = tuple(dict.fromkeys(sites.values()))
    counted = histograms(prepared.graph, distinct, prepared.samples, 8, silent)
    return {name: counted[site] for name, site in sites.items()}


@contextlib.contextmanager
def _narrowed(quantized: Quantized, name: str, bits: BitChoice, seen: Histogram) -> Iterator[None]:
    """The network with one layer at other bits."""
    layer = quantized.graph.get_submodule(name)
    proxy, bias = layer.get_submodule("weight_quant"), layer.get_submodule("bias_quant")
    kept, enabled = proxy.tensor_quant, bias.disable_quant
    assert isinstance(kept, StepQuantizer)
    chosen = choose_quantizer(seen, bits.activations)
    reader = StepQuantizer(
        torch.tensor(float(chosen.scale)),
        bits.activations,
        signed=False,
        zero_point=chosen.zero_point,
    ).eval()

    def narrow(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (reader(inputs[0])[0],)

    steps = layer_steps(layer, reader, bits.weights)
    proxy.tensor_quant = StepQuantizer(steps, bits.weights, signed=True).eval()
    bias.disable_quant = True  # type: ignore[assignment]  # its units would be another layer's
    handle = layer.register_forward_pre_hook(narrow) if bits.activations < 8 else None
    try:
        yield
    finally:
        proxy.tensor_quant, bias.disable_quant = kept, enabled
        if handle is not None:
            handle.remove()
