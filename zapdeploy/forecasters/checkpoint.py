"""A user's trained weights: read without unpickling code, and checked name by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zapdeploy.errors import DataError
from zapdeploy.files import require_regular

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

LISTED_AT_MOST = 8
WEIGHTS_FILE = "weights.safetensors"  # of a folder that training wrote


def check_and_fill(
    module: nn.Module, state: Mapping[str, Tensor], path: Path, model: str, advice: str = ""
) -> None:
    """Fill `module` with tensors read from `path`, naming all faults at once.

    advice: what else the user can do about faults.
    """
    expected = {name: value for name, value in module.state_dict().items() if _counts(name)}
    given = {name: value for name, value in state.items() if _counts(name)}
    faults = _faults(expected, given)
    if faults:
        raise DataError(
            f"checkpoint must hold the tensors of {model}, not {'; '.join(faults)} ({path}); "
            f"export it from the same network at the same size{advice and ', '}{advice}"
        )
    module.load_state_dict(given, strict=False)


def _counts(name: str) -> bool:
    """BatchNorm's batch counter takes no part in inference, and older files lack it."""
    return not name.endswith("num_batches_tracked")


def _faults(expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    import torch

    shared = [name for name in expected if name in given]
    missing = [name for name in expected if name not in given]
    unknown = [name for name in given if name not in expected]
    misshapen = [
        f"{name} {list(given[name].shape)} for {list(expected[name].shape)}"
        for name in shared
        if given[name].shape != expected[name].shape
    ]
    broken = [name for name in shared if not bool(torch.isfinite(given[name]).all())]
    groups = (
        ("missing", missing),
        ("unknown", unknown),
        ("of the wrong shape", misshapen),
        ("with NaN or infinity", broken),
    )
    return [f"{len(names)} {what} ({_listed(names)})" for what, names in groups if names]


def _listed(names: list[str]) -> str:
    more = len(names) - LISTED_AT_MOST
    return ", ".join(names[:LISTED_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file or a torch state_dict; no code in it is executed."""
    if not path.is_file():
        raise DataError(f"checkpoint must be a file, not missing ({path}); check the path")
    require_regular(path, DataError, "checkpoint")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    import torch

    if not isinstance(content, dict) or not all(
        isinstance(value, torch.Tensor) for value in content.values()
    ):
        raise DataError(
            f"checkpoint must be a state_dict of tensors, not other Python objects ({path}); "
            "save it with torch.save(model.state_dict(), file)"
        )
    return content


def _read_safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error


def _read_torch(path: Path) -> object:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's own unpickler meets damage with errors of every type
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return DataError(
        f"checkpoint must be a safetensors file or a torch state_dict, not unreadable: {reason} "
        f"({path}); save it again with safetensors or torch.save(model.state_dict(), file)"
    )
