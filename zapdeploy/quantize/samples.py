"""The inputs that a network is calibrated on: checked, drawn, identified."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import DataError
from zapdeploy.quantize.network import Network

Arrays = Mapping[str, NDArray[Any]]

RANDOM_SAMPLES = 8


def random_samples(network: Network, seed: int) -> dict[str, NDArray[np.float32]]:
    """Standard normal inputs, for when the user has none: fine for speed, not for accuracy."""
    random = np.random.default_rng(seed)
    samples = {}
    for name, shape in input_shapes(network).items():
        batch = shape[0] or 1
        count = batch * -(-RANDOM_SAMPLES // batch)
        rest = tuple(size or 1 for size in shape[1:])
        samples[name] = random.standard_normal((count, *rest), np.float32)
    return samples


def check_samples(network: Network, samples: Arrays) -> None:
    """Raise DataError unless `samples` has exactly the network's inputs, in usable shape."""
    shapes = input_shapes(network)
    if set(samples) != set(shapes):
        raise DataError(
            f"calibration must hold the inputs {sorted(shapes)}, not {sorted(samples)}; "
            "name the arrays as the ONNX file names its inputs"
        )
    for name, shape in shapes.items():
        _check_shape(name, samples[name], shape)
        check_values(name, samples[name])
    counts = {name: len(samples[name]) for name in shapes}
    if len(set(counts.values())) > 1:
        raise DataError(
            f"calibration must hold equally many samples of every input, not {counts}; "
            "cut them to the same count"
        )


def _check_shape(name: str, values: NDArray[Any], shape: tuple[int, ...]) -> None:
    where = f"(calibration input {name!r})"
    fits = values.ndim == len(shape) and all(
        not want or want == got for want, got in zip(shape[1:], values.shape[1:], strict=True)
    )
    if not fits:
        wanted = ", ".join(["count", *(str(size) if size else "any" for size in shape[1:])])
        raise DataError(f"shape must be [{wanted}], not {list(values.shape)} {where}; reshape it")
    if values.size == 0:
        raise DataError(
            f"samples must be at least one, not none {where}; give representative inputs"
        )
    if shape[0] and len(values) % shape[0]:
        raise DataError(
            f"samples must be a multiple of the model's batch of {shape[0]}, not {len(values)} "
            f"{where}; cut or repeat them"
        )


def check_values(name: str, values: NDArray[Any]) -> None:
    """Raise DataError unless the values are finite floating-point numbers that vary."""
    where = f"(calibration input {name!r})"
    if values.dtype.kind != "f":
        raise DataError(f"values must be floating point, not {values.dtype} {where}; convert them")
    if not np.isfinite(values).all():
        raise DataError(f"values must be finite, not NaN or infinite {where}; replace them")
    if values.min() == values.max():
        raise DataError(
            f"values must vary, not be all {float(values.flat[0]):g} {where}; "
            "give representative inputs"
        )


def digest(samples: Arrays) -> str:
    """SHA-256 over names, shapes and float32 values, independent of the order of names."""
    hasher = hashlib.sha256()
    for name in sorted(samples):
        values = np.ascontiguousarray(samples[name], np.float32)
        hasher.update(f"{name} {values.shape}\n".encode())
        hasher.update(values.data)
    return hasher.hexdigest()


def input_shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """Shape of every network input, by name; 0 where the model leaves a size open."""
    return {
        value.name: tuple(int(size.dim_value) for size in value.type.tensor_type.shape.dim)
        for value in network.model.graph.input
        if value.name in network.input_names
    }
