"""Networks of attention as ONNX files: BERT's encoder, a decoder layer with its cache, POCO's kind.

Weights are random. A decoder's file names its caches as state in its metadata, so that a chip keeps
them from one token to the next.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zapdeploy.errors import UsageError
from zapdeploy.exporter import quiet_exporter
from zapdeploy.files import replacing
from zapdeploy.forecasters.registry import ZAPBENCH_NEURONS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from zapdeploy.forecasters.decoder import DecoderSize
    from zapdeploy.forecasters.registry import ModelInfo

OPSET = 17
STATE_KEY = "zapdeploy.state"
TOKENS, WIDTH = 128, 768  # of bert-base
POCO_CONTEXT, POCO_WIDTH = 4, 128

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class TransformerNetwork:
    """A module with the names and shapes of its inputs, without the batch, and of its outputs.

    `state`: names of inputs and of the outputs that they are in the next frame.
    """

    module: nn.Module
    inputs: Mapping[str, Shape]
    outputs: tuple[str, ...]
    state: Mapping[str, str] = field(default_factory=dict)


def build_transformer(name: str, *, neurons: int, seed: int) -> TransformerNetwork:
    """bert-base, decoder-layer or poco-c4, with weights drawn from `seed` alone."""
    from zapdeploy.forecasters.decoder import DecoderSize

    if name == "bert-base":
        return encoder_network(seed=seed)
    if name == "decoder-layer":
        return decoder_network(DecoderSize(), seed=seed)
    return poco_network(neurons, seed=seed)


def check_transformer(
    info: ModelInfo, neurons: int, width: int | None, checkpoint: str | Path | None
) -> None:
    """Raise UsageError for what these networks do not take."""
    given = {"width": width, "checkpoint": checkpoint}
    if ZAPBENCH_NEURONS not in info.input_shape and neurons != ZAPBENCH_NEURONS:
        given["neurons"] = neurons
    for what, value in given.items():
        if value is not None:
            raise UsageError(
                f"{what} must be left out for {info.name}, not {value}; its size is fixed and its "
                "weights are random"
            )


def encoder_network(
    layers: int = 12,
    width: int = WIDTH,
    heads: int = 12,
    hidden: int = 3072,
    *,
    tokens: int = TOKENS,
    seed: int = 0,
) -> TransformerNetwork:
    """BERT's encoder at any size."""
    import torch

    from zapdeploy.forecasters.bert import Encoder, randomize

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = Encoder(layers, width, heads, hidden)
        randomize(module)
    return TransformerNetwork(module.eval(), {"input": (tokens, width)}, ("output",))


def decoder_network(size: DecoderSize, *, seed: int = 0) -> TransformerNetwork:
    """Decoder layers at any size; inputs: a token's features, its position and the caches."""
    import torch

    from zapdeploy.forecasters.bert import randomize
    from zapdeploy.forecasters.decoder import Decoder, cache_names

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = Decoder(size)
        randomize(module)
    state = dict(cache_names(size))
    caches = {before: size.cache_shapes[before.split("_")[1]] for before in state}
    inputs = {"input": (1, size.width), "position": (1, 1, 1), **caches}
    return TransformerNetwork(module.eval(), inputs, ("output", *state.values()), state)


def poco_network(
    neurons: int, context: int = POCO_CONTEXT, width: int = POCO_WIDTH, *, seed: int = 0
) -> TransformerNetwork:
    """A forecaster of POCO's kind at any size, as torch initialises it."""
    import torch

    from zapdeploy.forecasters.poco import PocoForecaster

    if neurons < 1:
        raise UsageError(f"neurons must be at least 1, not {neurons} (poco); give a size")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = PocoForecaster(neurons, context, width)
    return TransformerNetwork(module.eval(), {"input": (context, neurons)}, ("output",))


def export_transformer(network: TransformerNetwork, path: str | Path, *, batch: int = 1) -> Path:
    """Write a network as float32 ONNX (opset 17), whole or not at all; returns the path."""
    import torch

    target = Path(path)
    if not target.parent.is_dir():
        raise UsageError(
            f"path must be in an existing folder, not {str(target)!r}; create it first"
        )
    inputs = {name: torch.zeros(batch, *shape) for name, shape in network.inputs.items()}
    with replacing(target) as temporary:
        with quiet_exporter(), torch.no_grad():
            torch.onnx.export(
                network.module,
                tuple(inputs.values()),
                str(temporary),
                input_names=list(inputs),
                output_names=list(network.outputs),
                opset_version=OPSET,
                dynamo=False,
            )
        if network.state:
            _append_state(temporary, network.state)
    return target


def _append_state(path: Path, state: Mapping[str, str]) -> None:
    """Add metadata to a file: a protobuf message behind another is merged into it."""
    import onnx

    added = onnx.ModelProto()
    added.metadata_props.add(key=STATE_KEY, value=json.dumps(dict(state)))
    with path.open("ab") as file:
        file.write(added.SerializeToString())


def transformer_samples(
    network: TransformerNetwork, count: int, seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """`count` inputs [count, *shape] by name.

    Features are standard normal, traces small; a decoder stands at any position, its caches hold
    what it would remember of normal tokens up to there.
    """
    rng = np.random.default_rng(seed)
    scale = 0.1 if type(network.module).__name__ == "PocoForecaster" else 1.0
    shape = (count, *network.inputs["input"])
    samples = {"input": np.float32(scale) * rng.standard_normal(shape, np.float32)}
    if "position" in network.inputs:
        samples |= _cached_samples(network, count, rng)
    return samples


def _cached_samples(
    network: TransformerNetwork, count: int, rng: np.random.Generator
) -> dict[str, NDArray[np.float32]]:
    import torch

    from zapdeploy.forecasters.decoder import Decoder, DecoderLayer

    module = network.module
    assert isinstance(module, Decoder)
    size = module.size
    position = rng.integers(0, size.tokens, (count, 1, 1, 1))
    found = {"position": position.astype(np.float32)}
    past = np.arange(size.tokens) < position
    names = (name for name in network.inputs if name.startswith("past_"))
    for layer in module.layers:
        assert isinstance(layer, DecoderLayer)
        tokens = torch.from_numpy(rng.standard_normal((count, size.tokens, size.width), np.float32))
        with torch.no_grad():
            key, value = layer.attention.remember(layer.norm1(tokens))
        found[next(names)] = np.where(past, key.numpy(), np.float32(0))
        found[next(names)] = np.where(past.swapaxes(2, 3), value.numpy(), np.float32(0))
    return found
