"""Trained forecasters as networks: from their folder, or from weights of any known form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zapdeploy.forecasters.build import build_forecaster, check_forecaster
from zapdeploy.forecasters.extras import require
from zapdeploy.forecasters.folder import WEIGHTS, ForecasterSpec, read_description, save_forecaster
from zapdeploy.forecasters.importing import fill_from
from zapdeploy.forecasters.path_maps import PathMap

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, eq=False)
class Trained:
    """A forecaster read from its folder: what it is, the network, and how it was trained."""

    spec: ForecasterSpec
    network: nn.Module
    record: Mapping[str, Any]


def load_forecaster(folder: str | Path) -> Trained:
    """The forecaster that `zapdeploy train` or an import wrote to `folder`, in evaluation mode."""
    require("torch", "safetensors")
    place = Path(folder)
    spec, record = read_description(place)
    return Trained(spec, build_forecaster(spec, checkpoint=place / WEIGHTS), record)


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
    check_forecaster(spec)
    network = build_forecaster(spec)
    path = Path(source)
    fill_from(network, path, spec.name, path_map)
    save_forecaster(Path(folder), spec, network, {"imported from": path.name})
    return network.eval()
