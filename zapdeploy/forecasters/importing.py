"""Weights under other names and in other layouts: Flax trees in .npz or Orbax, other torch names.

Flax kernels are (in, out) and torch's are (out, in), so an array whose path ends in "kernel" is
transposed. What becomes of what is said by a path map (see `path_maps`): that of the benchmark's
own names, a JSON file beside the checkpoint, NAME.map.json, or an argument.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import Arrays, load_arrays
from zapdeploy.forecasters.checkpoint import WEIGHTS_FILE, check_and_fill, read_tensors
from zapdeploy.forecasters.flax_names import benchmark_map
from zapdeploy.forecasters.orbax import find_orbax, read_orbax
from zapdeploy.forecasters.path_maps import PathMap, Piece, read_path_map

if TYPE_CHECKING:
    from torch import nn

MAP_ENDING = ".map.json"


def load_checkpoint(module: nn.Module, path: Path, model: str) -> None:
    """Fill `module` with the tensors of a safetensors file, a torch state_dict, or of a folder
    that training wrote; or of an .npz or Orbax checkpoint in the benchmark's naming.

    Raises DataError when the file cannot be read, naming at once every tensor that is missing,
    unknown, of a wrong shape or not finite.
    """
    if is_foreign(path):
        fill_from(module, path, model)
        return
    state = read_tensors(path / WEIGHTS_FILE if path.is_dir() else path)
    check_and_fill(module, state, path, model)


def is_foreign(path: Path) -> bool:
    """Whether a checkpoint is of another form than our own names in torch's layout."""
    if path.suffix == ".npz" or map_file(path).is_file():
        return True
    return path.is_dir() and find_orbax(path) is not None


def map_file(path: Path) -> Path:
    """Where a checkpoint's path map is looked for."""
    return path.with_name(path.name + MAP_ENDING)


def fill_from(network: nn.Module, path: Path, model: str, path_map: PathMap | None = None) -> None:
    """Fill a network with a checkpoint's arrays, by the path map or the benchmark's names."""
    import torch

    arrays = _without_prefix(read_arrays(path))
    if path_map is None and map_file(path).is_file():
        path_map = read_path_map(map_file(path))
    if path_map is None:
        path_map, arrays = benchmark_map(model, arrays)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    given = {name: value for name, value in arrays.items() if name not in _sources(path_map)}
    for name, piece in path_map.items():
        if piece.source in arrays:
            given[name] = _fitted(arrays[piece.source], piece, shapes.get(name, ()))
    tensors = {name: torch.from_numpy(np.array(value, np.float32)) for name, value in given.items()}
    advice = f"or say what is what in {map_file(path).name}, beside it"
    check_and_fill(network, tensors, path, model, advice)


def read_arrays(path: Path) -> Arrays:
    """The arrays of a checkpoint by their names there."""
    orbax = find_orbax(path)
    if orbax is not None:
        return read_orbax(orbax)
    if path.suffix == ".npz":
        return load_arrays(path)
    return {name: value.detach().float().numpy() for name, value in read_tensors(path).items()}


def _sources(path_map: PathMap) -> set[str]:
    return {piece.source for piece in path_map.values()}


def _without_prefix(arrays: Arrays) -> Arrays:
    """Paths below "params", where there are any: the optimizer's state is left aside."""
    below = {
        name.split("params/")[-1]: value for name, value in arrays.items() if "params/" in name
    }
    return below or arrays


def _fitted(values: NDArray[Any], piece: Piece, shape: tuple[int, ...]) -> NDArray[Any]:
    """The array as torch holds it; left as it is where it cannot be, for the check to name it."""
    if piece.rows is not None:
        values = values[slice(*piece.rows)]
    if piece.swap is not None:
        values = _swapped(values, piece.swap)
    if piece.source.endswith("kernel") and values.ndim == 2:
        values = values.T
    filled = values.shape + (1,) * (len(shape) - values.ndim)
    return values.reshape(shape) if filled == shape else values


def _swapped(values: NDArray[Any], sizes: tuple[int, int]) -> NDArray[Any]:
    """Reorder the axis of length a b from b fastest to a fastest."""
    axes = [axis for axis, size in enumerate(values.shape) if size == sizes[0] * sizes[1]]
    if not axes:
        return values
    axis = axes[0]
    split = values.reshape(*values.shape[:axis], *sizes, *values.shape[axis + 1 :])
    return split.swapaxes(axis, axis + 1).reshape(values.shape)
