"""The inputs that a network is calibrated on: checked, drawn, identified."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from zapdeploy.arrays import Arrays
from zapdeploy.errors import DataError
from zapdeploy.quantize.network import Network
from zapdeploy.simplify.onnx_operators import COPIES, MOVES

RANDOM_SAMPLES = 8


def random_samples(network: Network, seed: int) -> dict[str, NDArray[Any]]:
    """Standard normal inputs, for when the user has none: fine for speed, not for accuracy.

    Integers are drawn from what the network can look up with them, bools are true.
    """
    random = np.random.default_rng(seed)
    shapes, types = input_shapes(network), input_types(network)
    runs = -(-RANDOM_SAMPLES // next((shape[0] or 1 for shape in shapes.values() if shape), 1))
    samples: dict[str, NDArray[Any]] = {}
    for name, shape in shapes.items():
        size = (runs, *(length or 1 for length in shape[1:]))
        if shape:
            size = ((shape[0] or 1) * runs, *size[1:])
        if types[name].kind == "f":
            samples[name] = random.standard_normal(size, np.float32)
        elif types[name].kind == "b":
            samples[name] = np.ones(size, bool)
        else:
            drawn = random.integers(0, index_limit(network, name), size)
            samples[name] = drawn.astype(types[name])
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
        check_values(name, samples[name], input_types(network)[name])
    check_varied(samples)
    counts = run_counts(network, samples)
    if len({count for count in counts.values() if count > 1}) > 1:
        raise DataError(
            f"calibration must hold equally many samples of every input, not {counts}; "
            "cut them to the same count"
        )


def _check_shape(name: str, values: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Samples one behind the other along the first dimension or along one more before it, or one
    value for all of them, in the input's own shape."""
    where = f"(calibration input {name!r})"
    if not _fits(values, shape):
        wanted = ", ".join(["count", *(str(size) if size else "any" for size in shape[1:])])
        raise DataError(f"shape must be [{wanted}], not {list(values.shape)} {where}; reshape it")
    if values.size == 0:
        raise DataError(
            f"samples must be at least one, not none {where}; give representative inputs"
        )
    if shape and not _is_stacked(values, shape) and shape[0] and len(values) % shape[0]:
        raise DataError(
            f"samples must be a multiple of the model's batch of {shape[0]}, not {len(values)} "
            f"{where}; cut or repeat them"
        )


def _alike(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether lengths agree; 0 is any."""
    return len(found) == len(wanted) and all(
        not want or want == got for want, got in zip(wanted, found, strict=True)
    )


def _fits(values: NDArray[Any], shape: tuple[int, ...]) -> bool:
    return (
        _alike(values.shape, shape)
        or _alike(values.shape[1:], shape)
        or (bool(shape) and values.ndim == len(shape) and _alike(values.shape[1:], shape[1:]))
    )


def _is_stacked(values: NDArray[Any], shape: tuple[int, ...]) -> bool:
    """Whether samples lie along a dimension before the input's own, not along its first."""
    return values.ndim > len(shape)


def _runs(values: NDArray[Any], shape: tuple[int, ...]) -> int:
    """Samples in an array, in units of the network's own batch."""
    if values.ndim == 0:
        return 1
    return len(values) if _is_stacked(values, shape) or not shape[0] else len(values) // shape[0]


def run_counts(network: Network, samples: Arrays) -> dict[str, int]:
    """Samples of each input, in units of the network's own batch."""
    return {name: _runs(samples[name], shape) for name, shape in input_shapes(network).items()}


def take_runs(
    values: NDArray[Any], shape: tuple[int, ...], runs: int, chosen: NDArray[np.int64]
) -> NDArray[Any]:
    """The chosen ones of `runs` samples of an input; all of what every run reads alike."""
    if _runs(values, shape) != runs:
        return values
    if _is_stacked(values, shape) or not shape[0]:
        return values[chosen]
    grouped = values.reshape(runs, shape[0], *values.shape[1:])
    return grouped[chosen].reshape(-1, *values.shape[1:])


def sample_count(network: Network, samples: Arrays) -> int:
    """How many samples there are, counting every row of the network's own batch."""
    shapes = input_shapes(network)
    runs = {name: _runs(samples[name], shape) for name, shape in shapes.items()}
    most = max(runs.values(), default=1)
    counting = [name for name in runs if runs[name] == most]
    plain = [n for n in counting if shapes[n] and not _is_stacked(samples[n], shapes[n])]
    return len(samples[plain[0]]) if plain else most


def sample_runs(
    network: Network, samples: Arrays, size: int
) -> Iterator[tuple[float, dict[str, NDArray[Any]]]]:
    """Inputs for each run, `size` samples where the batch is open, and their share of all.

    An input with a single sample has it in every run.
    """
    shapes, types = input_shapes(network), input_types(network)
    runs = {name: _runs(samples[name], shape) for name, shape in shapes.items()}
    most = max(runs.values(), default=1)
    whole = any(_is_stacked(samples[n], shapes[n]) and runs[n] == most for n in runs)
    step = 1 if whole or all(shape[0] for shape in shapes.values() if shape) else size
    for start in range(0, most, step):
        feeds = {}
        for name, shape in shapes.items():
            values = samples[name]
            if _is_stacked(values, shape):
                values = values[start if runs[name] == most else 0]
            elif runs[name] == most and shape:
                each = shape[0] or 1
                values = values[start * each : (start + step) * each]
            feeds[name] = np.asarray(values, types[name], order="C")
        yield min(step, most - start) / most, feeds


def check_values(name: str, values: NDArray[Any], dtype: np.dtype[Any] | None = None) -> None:
    """Raise DataError unless the values are finite numbers of the input's kind."""
    where = f"(calibration input {name!r})"
    kind = "f" if dtype is None else dtype.kind
    if kind == "f" and values.dtype.kind != "f":
        raise DataError(f"values must be floating point, not {values.dtype} {where}; convert them")
    if kind != "f" and values.dtype.kind not in "iub":
        raise DataError(f"values must be {dtype}, not {values.dtype} {where}; convert them")
    if kind == "f" and not np.isfinite(values).all():
        raise DataError(f"values must be finite, not NaN or infinite {where}; replace them")


def check_varied(samples: Arrays) -> None:
    """Raise DataError unless something varies; masks, states and settings need not."""
    if any(values.min() != values.max() for values in samples.values()):
        return
    name, values = next(iter(samples.items()))
    raise DataError(
        f"values must vary, not be all {float(values.flat[0]):g} (calibration input {name!r}); "
        "give representative inputs"
    )


def digest(samples: Arrays) -> str:
    """SHA-256 over names, shapes and values (float32 or whole), whatever the order of names."""
    hasher = hashlib.sha256()
    for name in sorted(samples):
        values = np.ascontiguousarray(samples[name])
        if values.dtype.kind == "f":
            values = values.astype(np.float32)
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


def input_types(network: Network) -> dict[str, np.dtype[Any]]:
    """NumPy type of every network input, by name."""
    return {
        value.name: helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        for value in network.model.graph.input
        if value.name in network.input_names
    }


_CARRIES_INDICES = (MOVES - {"Gather"}) | COPIES | {"Clip"}
_COMPARES = frozenset(("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"))


def index_limit(network: Network, name: str) -> int:
    """How many values an integer input can take: as many as a table that is looked up with it has
    entries, or as it is compared with; 2 where nothing says."""
    found, names = 2, [name]
    for current in names:
        for node in network.consumers.get(current, ()):
            if node.op_type == "Gather" and node.input[1] == current:
                table = network.initializers.get(node.input[0])
                axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
                return int(table.dims[axis]) if table is not None else found
            others = [n for n in node.input if n != current and n in network.initializers]
            if node.op_type in _COMPARES and others:
                found = max(found, int(network.array(others[0]).max(initial=1)) + 1)
            elif node.op_type in _CARRIES_INDICES and node.output[0] not in names:
                names.append(node.output[0])
    return found
