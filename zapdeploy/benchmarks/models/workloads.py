"""Models to benchmark: a name that zapdeploy can build, a trained forecaster's folder, or a user's
ONNX file.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from zapdeploy.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from zapdeploy.forecasters.folder import ForecasterSpec

FLOAT, FLOAT16, INT8, INT4 = "fp32", "fp16", "int8", "int4"
PRECISIONS = (FLOAT, FLOAT16, INT8, INT4)
IMAGE, TRACES = "image", "traces"  # kinds of networks in the registry


@dataclass(frozen=True)
class ModelSize:
    """How to build networks by name. neurons and width apply to forecasters alone; None: as
    published, or as trained.
    """

    neurons: int | None = None
    width: int | None = None
    seed: int = 0


class InputOptions(TypedDict, total=False):
    """What a forecaster's inputs depend on; left out where it is as published."""

    neurons: int


class SizeOptions(InputOptions, total=False):
    """What the network itself depends on."""

    width: int


@dataclass(frozen=True)
class Workload:
    """A model of a benchmark, named as it was asked for.

    network: the known network that it is; empty for a user's ONNX file, which is at `path`.
    trained: the folder that has the network's weights; without one they are random.
    `identity` changes when what is measured changes: the recipe of a network by name, or the
    content of a folder or a file.
    """

    name: str
    identity: str
    size: ModelSize
    network: str = ""
    trained: Path | None = None
    path: Path | None = None

    @property
    def kind(self) -> str:
        """The network's, as in the registry; empty for a user's file."""
        from zapdeploy.forecasters.registry import find_model

        return find_model(self.network).kind if self.network else ""

    @property
    def is_forecaster(self) -> bool:
        return self.kind == TRACES

    @property
    def has_module(self) -> bool:
        """Whether the network is one torch module with one output."""
        return self.kind in (TRACES, IMAGE)

    @property
    def has_weights(self) -> bool:
        """Whether its weights are somebody's, and not random."""
        return self.path is not None or self.trained is not None

    @property
    def input_options(self) -> InputOptions:
        if not self.is_forecaster or self.size.neurons is None:
            return {}
        return {"neurons": self.size.neurons}

    @property
    def size_options(self) -> SizeOptions:
        options: SizeOptions = {}
        if self.is_forecaster and self.size.neurons is not None:
            options["neurons"] = self.size.neurons
        if self.is_forecaster and self.size.width is not None:
            options["width"] = self.size.width
        return options

    @property
    def stem(self) -> str:
        """File name without precision: the name and the size, or the name and the content."""
        if self.has_weights:
            given = self.path.stem if self.path is not None else Path(self.name).name
            return f"{given or self.network}-{self.identity[:12]}"
        sizes = (f"{name[0]}{value}" for name, value in self.size_options.items())
        return "-".join((self.name, *sizes, f"s{self.size.seed}"))

    @property
    def note(self) -> str:
        """What its figures are not good for, where that is so."""
        if self.has_weights:
            return ""
        random = f"random weights (seed {self.size.seed})"
        return random if self.kind == IMAGE else f"{random}: speed and energy only, no accuracy"

    @property
    def windows(self) -> Path | None:
        """The inputs that training kept to quantize the forecaster with; None where it did not."""
        from zapdeploy.forecasters.calibration import CALIBRATION

        kept = None if self.trained is None else self.trained / CALIBRATION
        return kept if kept is not None and kept.is_file() else None

    def samples(self, count: int) -> dict[str, NDArray[np.float32]] | None:
        """Inputs by name: all windows that training kept, else `count` made ones; None for a
        user's file, whose inputs nobody knows.
        """
        from zapdeploy.arrays import load_arrays
        from zapdeploy.forecasters import sample_inputs

        if not self.network:
            return None
        if self.windows is not None:
            return load_arrays(self.windows)
        return sample_inputs(self.network, count, self.size.seed, **self.input_options)

    def export(self, path: Path) -> None:
        """Write the network as a float ONNX file, its normalisation left to the host."""
        from zapdeploy.forecasters import export_model

        seed, trained = self.size.seed, self.trained
        export_model(self.network, path, seed=seed, checkpoint=trained, **self.size_options)

    def build(self) -> nn.Module:
        """The network in torch, without its normalisation, as `export` has it."""
        from zapdeploy.forecasters.build import build_model
        from zapdeploy.forecasters.tsmixer import take_out_norm

        seed, trained = self.size.seed, self.trained
        module = build_model(self.network, seed=seed, checkpoint=trained, **self.size_options)
        take_out_norm(module)
        return module


def find_workload(name: str, size: ModelSize) -> Workload:
    """The workload of a name, of a path ending in .onnx, or of a folder that training wrote.

    A folder that is called like a network is told from it by a slash ("./tsmixer-c4"). Raises
    UsageError or DataError for anything else.
    """
    path = Path(name)
    if name.endswith(".onnx"):
        if not path.is_file():
            raise UsageError(f"model must be a file, not missing ({path}); check the path")
        from zapdeploy.simplify import network_digest

        return Workload(name, network_digest(path), size, path=path)
    from zapdeploy.forecasters.registry import find_model, list_models

    is_known = name in {info.name for info in list_models()}
    if not is_known and (os.sep in name or path.is_dir()):
        return _trained(name, path, size)
    find_model(name)
    text = json.dumps({"name": name, **asdict(size)}, sort_keys=True)
    return Workload(name, hashlib.sha256(text.encode()).hexdigest(), size, network=name)


def _trained(name: str, folder: Path, size: ModelSize) -> Workload:
    from zapdeploy.forecasters.folder import is_forecaster_folder, read_description

    if not is_forecaster_folder(folder):
        raise UsageError(
            f"model must be a network's name, an .onnx file or a folder that zapdeploy train "
            f"wrote, not '{name}'; check the path"
        )
    spec = read_description(folder)[0]
    width = spec.info.width if spec.width is None else spec.width
    for what, asked, own in (
        ("--neurons", size.neurons, spec.neurons),
        ("width", size.width, width),
    ):
        if asked not in (None, own):
            raise UsageError(f"{what} must be {own}, not {asked}; {name} was trained so")
    own_size = replace(size, neurons=spec.neurons, width=spec.width)
    identity = _folder_digest(folder, spec)
    return Workload(name, identity, own_size, network=spec.name, trained=folder)


def _folder_digest(folder: Path, spec: ForecasterSpec) -> str:
    """Of what the forecaster is, its weights, and what it is quantized with."""
    from zapdeploy.forecasters.calibration import CALIBRATION
    from zapdeploy.forecasters.folder import WEIGHTS

    if not (folder / WEIGHTS).is_file():
        raise DataError(f"folder must hold {WEIGHTS}, not lack it ({folder}); train it again")
    parts = [json.dumps(spec.as_json(), sort_keys=True), file_digest(folder / WEIGHTS)]
    if (folder / CALIBRATION).is_file():
        parts.append(file_digest(folder / CALIBRATION))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
