"""A language model's decoder as a network in parts: one quantized ONNX file for each card.

One layer and one share of the output layer are exported and quantized; every part is made from them
with rows of the weights in an order of its own. So no step ever holds more than one layer. Weights
are random: what is of interest is size and speed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zapdeploy.files import atomic_write
from zapdeploy.progress import Progress
from zapdeploy.quantize import quantize_onnx

if TYPE_CHECKING:
    import onnx

    from zapdeploy.forecasters.decoder import DecoderSize
    from zapdeploy.forecasters.transformers import TransformerNetwork

STATE_KEY = "zapdeploy.state"


@dataclass(frozen=True)
class DecoderPlan:
    """Layers, a card for each; the output layer's columns are shared by `output_parts` cards.

    The default is a model of 3 billion parameters: 14 layers of the size of IBM's Granite-8B-Code
    (4096 wide, 32 heads, 8 of keys and values, 14336 hidden) and its vocabulary of 49,152.
    """

    layers: int = 14
    output_parts: int = 2
    width: int = 4096
    heads: int = 32
    kv_heads: int = 8
    hidden: int = 14336
    vocabulary: int = 49_152
    tokens: int = 2048

    @property
    def size(self) -> DecoderSize:
        from zapdeploy.forecasters.decoder import DecoderSize

        return DecoderSize(1, self.width, self.heads, self.kv_heads, self.hidden, self.tokens)

    @property
    def parameters(self) -> int:
        """Weights of the layers and the output layer; the host looks embeddings up."""
        cached = self.width * self.kv_heads // self.heads
        attention = 2 * self.width * (self.width + cached)
        return self.layers * (attention + 3 * self.width * self.hidden) + (
            self.width * self.vocabulary
        )


def make_parts(
    plan: DecoderPlan,
    folder: Path,
    *,
    weights: int = 4,
    activations: int = 8,
    seed: int = 0,
    progress: Progress = lambda what, done, total: None,
) -> Path:
    """Write `folder`/parts; float and quantized templates stay beside it and are used again."""
    parts = folder / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    templates = {
        kind: _template(kind, plan, folder, weights, activations, seed)
        for kind in ("layer", "output")
    }
    number = plan.layers + plan.output_parts
    for index in range(number):
        progress("writing parts", index, number)
        kind = "layer" if index < plan.layers else "output"
        _write_part(templates[kind], parts / f"{index:02}-{kind}.onnx", _names(plan, index), seed)
    return parts


def _template(
    kind: str, plan: DecoderPlan, folder: Path, weights: int, activations: int, seed: int
) -> Path:
    """The quantized file of a layer, or of one card's share of the output layer."""
    from zapdeploy.forecasters.transformers import export_transformer, transformer_samples

    path = folder / f"{kind}-w{weights}a{activations}.onnx"
    if path.exists():
        return path
    network = _network(kind, plan, seed)
    samples = transformer_samples(network, 2, seed)
    source = folder / f"{kind}.onnx"
    if not source.exists():
        export_transformer(network, source)
    del network
    quantize_onnx(
        source,
        path,
        weights=weights,
        activations=activations,
        keep_first_last=weights,
        form="packed",
        calibration=samples,
    )
    return path


def _network(kind: str, plan: DecoderPlan, seed: int) -> TransformerNetwork:
    from torch import nn, random

    from zapdeploy.forecasters.decoder import RMSNorm
    from zapdeploy.forecasters.transformers import TransformerNetwork, decoder_network

    if kind == "layer":
        return decoder_network(plan.size, seed=seed)
    with random.fork_rng(devices=[]):
        random.manual_seed(seed)
        linear = nn.Linear(plan.width, plan.vocabulary // plan.output_parts, bias=False)
    module = nn.Sequential(RMSNorm(plan.width), linear)
    return TransformerNetwork(module.eval(), {"input": (1, plan.width)}, ("output",))


def _names(plan: DecoderPlan, index: int) -> dict[str, str]:
    """What the template's tensors are called in a part: a layer hands on to the next one."""
    if index >= plan.layers:
        return {"input": f"hidden_{plan.layers}", "output": f"logits_{index - plan.layers}"}
    caches = (f"{when}_{what}" for when in ("past", "present") for what in ("key", "value"))
    names = {f"{cache}_0": f"{cache}_{index}" for cache in caches}
    return {"input": f"hidden_{index}", "output": f"hidden_{index + 1}", **names}


def _write_part(template: Path, path: Path, names: Mapping[str, str], seed: int) -> None:
    import onnx

    model = onnx.load(template)
    _rename(model, names)
    random = np.random.default_rng((seed, *path.name.encode()))
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 2 and tensor.raw_data:
            rows = np.frombuffer(tensor.raw_data, np.uint8).reshape(tensor.dims[0], -1)
            tensor.raw_data = rows[random.permutation(len(rows))].tobytes()
    with atomic_write(path) as file:
        file.write(model.SerializeToString(deterministic=True))


def _rename(model: onnx.ModelProto, names: Mapping[str, str]) -> None:
    """Give inputs, outputs and state other names, wherever they stand."""
    for value in (*model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for entry in model.metadata_props:
        if entry.key == STATE_KEY:
            pairs = json.loads(entry.value).items()
            entry.value = json.dumps({names[before]: names[after] for before, after in pairs})
