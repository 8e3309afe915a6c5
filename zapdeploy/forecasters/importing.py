"""Weights under other names and in other layouts: Flax trees in .npz or Orbax, other torch names.

Flax kernels are (in, out) and torch's are (out, in), so an array whose path ends in "kernel" is
transposed. Names in the benchmark's own style are known; for others a path map says what becomes of
what: a JSON file beside the checkpoint, NAME.map.json, or an argument.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import load_arrays
from zapdeploy.errors import DataError
from zapdeploy.forecasters.checkpoint import check_and_fill, read_tensors
from zapdeploy.forecasters.folder import ForecasterSpec, save_forecaster
from zapdeploy.forecasters.orbax import find_orbax, read_orbax

if TYPE_CHECKING:
    from torch import nn

MAP_ENDING = ".map.json"
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Piece:
    """What one of our tensors is made of: an array of the checkpoint, or some of its rows.

    rows: first and last + 1 along the first axis (a Flax kernel's inputs). swap: (a, b) where the
    axis of length a b counts b fastest there and a fastest here.
    """

    source: str
    rows: tuple[int, int] | None = None
    swap: tuple[int, int] | None = None


PathMap = Mapping[str, Piece]  # our tensor's name -> what it is made of


def import_forecaster(
    source: str | Path,
    spec: ForecasterSpec,
    folder: str | Path,
    path_map: PathMap | None = None,
) -> nn.Module:
    """Read weights of any known form into `folder`, a forecaster's; returns the network.

    source: an Orbax folder, .npz, .safetensors, or a torch state_dict. Raises DataError naming at
    once all arrays that are missing, unknown, of a wrong shape or not finite.
    """
    spec.check()
    network = spec.build()
    path = Path(source)
    fill_from(network, path, spec.name, path_map)
    save_forecaster(Path(folder), spec, network, {"imported from": path.name})
    return network.eval()


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
        path_map = default_map(model, tuple(arrays))
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    given = {name: value for name, value in arrays.items() if name not in _sources(path_map)}
    for name, piece in path_map.items():
        if piece.source in arrays:
            given[name] = _fitted(arrays[piece.source], piece, shapes.get(name, ()))
    tensors = {name: torch.from_numpy(np.array(value, np.float32)) for name, value in given.items()}
    check_and_fill(network, tensors, path, model)


def read_arrays(path: Path) -> Arrays:
    """The arrays of a checkpoint by their names there."""
    orbax = find_orbax(path)
    if orbax is not None:
        return read_orbax(orbax)
    if path.suffix == ".npz":
        return load_arrays(path)
    return {name: value.detach().float().numpy() for name, value in read_tensors(path).items()}


def read_path_map(path: Path) -> dict[str, Piece]:
    """{"our name": "their name"}, or {"our name": {"source": ..., "rows": ..., "swap": ...}}."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return {name: _piece(entry) for name, entry in document.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"path map must be JSON of our names and theirs, not {type(error).__name__}: {error} "
            f'({path}); write {{"forecast.weight": "Dense_0/kernel", ...}}'
        ) from None


def default_map(model: str, names: tuple[str, ...]) -> dict[str, Piece]:
    """The path map for names in the benchmark's style; names already ours are kept.

    Blocks are taken in the order of their numbers, whatever the first number is.
    """
    known = {name: name for name in names if not name.endswith("kernel") and "/" not in name}
    known |= _benchmark_names(names, tsmixer=model.startswith("tsmixer"))
    return {ours: Piece(theirs) for ours, theirs in known.items()}


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


def _piece(entry: Any) -> Piece:
    if isinstance(entry, str):
        return Piece(entry)
    rows, swap = entry.get("rows"), entry.get("swap")
    return Piece(
        str(entry["source"]),
        None if rows is None else (int(rows[0]), int(rows[1])),
        None if swap is None else (int(swap[0]), int(swap[1])),
    )


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
