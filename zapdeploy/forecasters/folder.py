"""A trained forecaster's folder: what it is (forecaster.json) and its weights (safetensors)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zapdeploy.errors import DataError
from zapdeploy.files import atomic_write
from zapdeploy.forecasters.build import build_model, check_options
from zapdeploy.forecasters.checkpoint import WEIGHTS_FILE
from zapdeploy.forecasters.extras import require
from zapdeploy.forecasters.registry import ModelInfo, find_forecaster

if TYPE_CHECKING:
    from torch import Tensor, nn

DESCRIPTION = "forecaster.json"
WEIGHTS = WEIGHTS_FILE


@dataclass(frozen=True)
class ForecasterSpec:
    """What it takes to build a forecaster again; other arguments as for `build_model`."""

    name: str
    neurons: int
    width: int | None = None
    revin: bool = True
    nlinear: bool = False

    @property
    def info(self) -> ModelInfo:
        return find_forecaster(self.name)[0]

    @property
    def context(self) -> int:
        """Frames that it is given."""
        return find_forecaster(self.name)[1]

    def build(self, seed: int = 0, checkpoint: Path | None = None) -> nn.Module:
        """The network in evaluation mode."""
        return build_model(
            self.name,
            neurons=self.neurons,
            width=self.width,
            seed=seed,
            checkpoint=checkpoint,
            revin=self.revin,
            nlinear=self.nlinear,
        )

    def check(self) -> None:
        """Raise UsageError unless there is such a forecaster."""
        check_options(self.info, self.neurons, self.width, nlinear=self.nlinear)


@dataclass(frozen=True, eq=False)
class Trained:
    """A forecaster read from its folder: what it is, the network, and how it was trained."""

    spec: ForecasterSpec
    network: nn.Module
    record: Mapping[str, Any]


def is_forecaster_folder(path: Path) -> bool:
    """Whether a forecaster was saved there."""
    return (path / DESCRIPTION).is_file()


def save_forecaster(
    folder: Path, spec: ForecasterSpec, network: nn.Module, record: Mapping[str, Any]
) -> None:
    """Write a folder for `load_forecaster`; `record` says where the weights are from."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / WEIGHTS, network.state_dict(), {})
    write_description(folder, spec, record)


def write_description(folder: Path, spec: ForecasterSpec, record: Mapping[str, Any]) -> None:
    """Write forecaster.json."""
    text = json.dumps({"forecaster": asdict(spec), "training": dict(record)}, indent=2)
    with atomic_write(folder / DESCRIPTION) as file:
        file.write(text.encode() + b"\n")


def read_description(folder: Path) -> tuple[ForecasterSpec, dict[str, Any]]:
    """What forecaster.json says. Raises DataError when it says it badly."""
    path = folder / DESCRIPTION
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        given = document["forecaster"]
        spec = ForecasterSpec(**{f.name: given[f.name] for f in fields(ForecasterSpec)})
        record = dict(document["training"])
    except OSError as error:
        raise DataError(
            f"folder must hold {DESCRIPTION}, not lack it: {error.strerror} ({folder}); "
            "give a folder that zapdeploy train wrote"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{DESCRIPTION} must describe a forecaster, not {type(error).__name__}: {error} "
            f"({path}); train or import it again"
        ) from None
    return spec, record


def load_forecaster(folder: str | Path) -> Trained:
    """The forecaster that `zapdeploy train` or an import wrote to `folder`, in evaluation mode."""
    require("torch", "safetensors")
    place = Path(folder)
    spec, record = read_description(place)
    return Trained(spec, spec.build(checkpoint=place / WEIGHTS), record)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> None:
    """Write a safetensors file, or nothing."""
    from safetensors.torch import save

    held = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with atomic_write(path) as file:
        file.write(save(held, metadata=dict(notes)))
