"""The names of ZAPBench's own models in a Flax checkpoint.

They follow from how Flax names what it makes: modules of one class are counted in the order in
which they are called (github.com/google-research/zapbench: models/tsmixer.py, nlinear.py, tide.py).
"""

from __future__ import annotations

import re
from typing import Any

from numpy.typing import NDArray

from zapdeploy.arrays import Arrays
from zapdeploy.forecasters.path_maps import Piece
from zapdeploy.forecasters.registry import find_model
from zapdeploy.recordings.zapbench import HORIZON

Rows = tuple[int, int]

# Of TiDE: features of a frame's stimuli, and of the decoder for each frame of the horizon.
TIDE_FEATURES = 32
TIDE_ENCODER = "StackedMLPResidual_0/MLPResidual_0"
TIDE_DECODER = "StackedMLPResidual_1/MLPResidual_0"
# The published configuration zeroes past stimuli and static embeddings: the layers that read them
# have weights in a checkpoint, but no part in a forecast.
TIDE_DEAD, TIDE_COVARIATES, TIDE_TEMPORAL = "MLPResidual_0/", "MLPResidual_1", "MLPResidual_2"


def benchmark_map(model: str, arrays: Arrays) -> tuple[dict[str, Piece], dict[str, NDArray[Any]]]:
    """The path map for names in the benchmark's style, and the arrays that have a part in it.

    Names that are ours already are kept. Blocks are taken in the order of their numbers, whatever
    the first number is.
    """
    info = find_model(model)
    encoder = arrays.get(f"{TIDE_ENCODER}/Dense_0/kernel")
    if info.family == "tide" and encoder is not None:
        live = {name: value for name, value in arrays.items() if not name.startswith(TIDE_DEAD)}
        return tide_map(info.context or 0, len(encoder)), live
    names = tuple(arrays)
    known = {name: name for name in names if not name.endswith("kernel") and "/" not in name}
    known |= _benchmark_names(names, tsmixer=info.family == "tsmixer")
    return {ours: Piece(theirs) for ours, theirs in known.items()}, dict(arrays)


def tide_map(context: int, inputs: int) -> dict[str, Piece]:
    """The path map of TiDE, whose encoder reads `inputs` numbers.

    They are the traces, then what is zeroed (static embedding, past stimuli), then the stimuli to
    come, frame by frame. Ours are counted feature by feature, and so is what the decoder makes.
    """
    frames, by_frame = HORIZON * TIDE_FEATURES, (HORIZON, TIDE_FEATURES)
    coming = (max(inputs - frames, 0), inputs)
    temporal = ((0, TIDE_FEATURES), (TIDE_FEATURES, 2 * TIDE_FEATURES))
    return {
        **_split_mlp("encoder", TIDE_ENCODER, (0, context), coming, by_frame),
        **_split_mlp("temporal", TIDE_TEMPORAL, *temporal),
        **_mlp("decoder", TIDE_DECODER, by_frame),
        **_mlp("covariates", TIDE_COVARIATES),
        **_layer("skip", "Dense_0"),
    }


def _layer(ours: str, theirs: str, swap: Rows | None = None) -> dict[str, Piece]:
    return {
        f"{ours}.weight": Piece(f"{theirs}/kernel", swap=swap),
        f"{ours}.bias": Piece(f"{theirs}/bias", swap=swap),
    }


def _mlp(ours: str, theirs: str, swap: Rows | None = None) -> dict[str, Piece]:
    """A residual MLP: hidden, output and residual layer are counted in this order."""
    return {
        **_layer(f"{ours}.down", f"{theirs}/Dense_0"),
        **_layer(f"{ours}.up", f"{theirs}/Dense_1", swap),
        **_layer(f"{ours}.skip", f"{theirs}/Dense_2", swap),
    }


def _split_mlp(
    ours: str, theirs: str, traces: Rows, frame: Rows, swap: Rows | None = None
) -> dict[str, Piece]:
    """The same, with the rows that read the neuron's traces and those that read the frame apart."""
    found = _layer(f"{ours}.up", f"{theirs}/Dense_1")
    for layer, source in (("down", "Dense_0"), ("skip", "Dense_2")):
        kernel = f"{theirs}/{source}/kernel"
        found[f"{ours}.{layer}_traces.weight"] = Piece(kernel, rows=traces)
        found[f"{ours}.{layer}_frame.weight"] = Piece(kernel, rows=frame, swap=swap)
        found[f"{ours}.{layer}_frame.bias"] = Piece(f"{theirs}/{source}/bias")
    return found


_BLOCK = re.compile(r"(?:block(\d+)/TimeMix_0|TimeMix_(\d+)|block(\d+))/Dense_0/(kernel|bias)")
_FEATURE = re.compile(r"block(\d+)/FeatureMix_0/Dense_([01])/(kernel|bias)")
_NORM = re.compile(r"ReversibleInstanceNorm_0/(scale|bias)")
_HEAD = re.compile(r"Dense_0/(kernel|bias)")


def _benchmark_names(names: tuple[str, ...], *, tsmixer: bool) -> dict[str, str]:
    """Our names and the benchmark's for a linear, time-mix or TSMixer forecaster."""
    found: dict[str, str] = {}
    blocks = [(m, n) for n in names if (m := _BLOCK.fullmatch(n))]
    numbers = sorted({_number(match) for match, _ in blocks})
    stride = 2 if tsmixer else 1
    for match, name in blocks:
        order = stride * numbers.index(_number(match))
        found[f"blocks.{order}.dense.{_ending(match[4])}"] = name
    for name in names:
        feature, norm, head = (p.fullmatch(name) for p in (_FEATURE, _NORM, _HEAD))
        if feature and int(feature[1]) in numbers:
            layer = ("down", "up")[int(feature[2])]
            order = stride * numbers.index(int(feature[1])) + 1
            found[f"blocks.{order}.{layer}.{_ending(feature[3])}"] = name
        elif norm:
            found[f"norm.{norm[1]}"] = name
        elif head:
            found[f"forecast.{_ending(head[1])}"] = name
    return found


def _number(match: re.Match[str]) -> int:
    return int(match[1] or match[2] or match[3])


def _ending(flax: str) -> str:
    return "weight" if flax == "kernel" else flax
