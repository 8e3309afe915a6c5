"""A trained forecaster's folder: what it is (forecaster.json) and its weights (safetensors)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zapdeploy.errors import DataError
from zapdeploy.files import atomic_write
from zapdeploy.forecasters.checkpoint import WEIGHTS_FILE
from zapdeploy.forecasters.registry import NO_SCALING, ModelInfo, find_forecaster
from zapdeploy.forecasters.wiring import WiringSpec, read_wiring
from zapdeploy.host_part.golden import KEY as GOLDEN_KEY
from zapdeploy.host_part.golden import Golden, noted_golden
from zapdeploy.recordings.columns import Columns, columns_notes, columns_text, parse_columns
from zapdeploy.recordings.description import Description
from zapdeploy.recordings.description import read_description as read_recording
from zapdeploy.recordings.options import ReadOptions, read_options
from zapdeploy.recordings.zapbench import HORIZON
from zapdeploy.typed import mapping, other_schema, read_json, typed

if TYPE_CHECKING:
    from torch import Tensor, nn

DESCRIPTION = "forecaster.json"
SCHEMA_VERSION = 1
WEIGHTS = WEIGHTS_FILE
GOLDEN = "golden.json"
MOST_OF_ANY = 10**9  # neurons, frames, hidden units
READ_KEY = "zapdeploy.read"  # in the metadata of files: how the recording was read


@dataclass(frozen=True)
class ForecasterSpec:
    """What it takes to build a forecaster again; other arguments as for `build_model`.

    columns: which columns of the recording its neurons are; None: the first so many, or unknown.
    horizon: frames that it forecasts. covariates: how many it reads, where it does; None: as many
    as the benchmark's. scaling: "robust" or "none", what the host does around it. wiring: what it
    is held to, where it is.
    """

    name: str
    neurons: int
    width: int | None = None
    revin: bool = True
    nlinear: bool = False
    columns: Columns | None = None
    horizon: int = HORIZON
    covariates: int | None = None
    scaling: str = NO_SCALING
    wiring: WiringSpec | None = None

    @property
    def info(self) -> ModelInfo:
        return find_forecaster(self.name)[0]

    @property
    def context(self) -> int:
        """Frames that it is given."""
        return find_forecaster(self.name)[1]

    def as_json(self) -> dict[str, Any]:
        """What forecaster.json says; nothing of columns that are the first so many, or unknown."""
        found = asdict(self)
        columns = found.pop("columns")
        plain = {"horizon": HORIZON, "covariates": None, "scaling": NO_SCALING, "wiring": None}
        found = {name: v for name, v in found.items() if name not in plain or v != plain[name]}
        return found if columns is None else {**found, "columns": columns_text(columns)}


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
    document = {
        "schema": SCHEMA_VERSION,
        "forecaster": spec.as_json(),
        "training": dict(record),
    }
    text = json.dumps(document, indent=2)
    with atomic_write(folder / DESCRIPTION) as file:
        file.write(text.encode() + b"\n")


def read_description(folder: Path) -> tuple[ForecasterSpec, dict[str, Any]]:
    """What forecaster.json says. Raises DataError when it says it badly."""
    path = folder / DESCRIPTION
    try:
        document = mapping(read_json(path.read_text(encoding="utf-8")))
        if wrong := other_schema(document, SCHEMA_VERSION):
            raise DataError(
                f"{DESCRIPTION} must have {wrong} ({path}); read it with the zapdeploy that wrote "
                "it, or train it again"
            )
        spec = _read_spec(mapping(document["forecaster"]))
        record = dict(mapping(document["training"]))
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


def _read_spec(given: Mapping[str, Any]) -> ForecasterSpec:
    plain = {"columns": None, "horizon": HORIZON, "covariates": None, "scaling": NO_SCALING}
    kept = {**plain, **given, "wiring": read_wiring(given.get("wiring"))}
    spec = typed(
        ForecasterSpec,
        {**{f.name: kept[f.name] for f in fields(ForecasterSpec)}, "columns": None},
    )
    for name in ("neurons", "horizon", "width", "covariates"):
        size = getattr(spec, name)
        if size is not None and not 0 <= size - (name != "covariates") < MOST_OF_ANY:
            raise ValueError(f"{name} {size}")
    if kept["columns"] is None:
        return spec
    columns = parse_columns(str(kept["columns"]))
    if len(columns) != spec.neurons:
        raise ValueError(f"{len(columns)} columns for {spec.neurons} neurons")
    return replace(spec, columns=columns)


def trained_spec(folder: str | Path) -> ForecasterSpec | None:
    """What the forecaster of a folder is; None where the path is no such folder."""
    path = Path(folder)
    return read_description(path)[0] if is_forecaster_folder(path) else None


def read_training_data(folder: Path) -> tuple[Description | None, ReadOptions]:
    """What the recording was that a folder's forecaster was trained on, and how it was read.

    None and no options in folders that were written before this was written down.
    """
    found = read_description(folder)[1].get("recording")
    if found is None:
        return None, ReadOptions()
    try:
        return read_recording(found["description"]), read_options(found.get("read", {}))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{DESCRIPTION} must describe its recording, not {type(error).__name__}: {error} "
            f"({folder}); train it again"
        ) from None


def folder_notes(folder: str | Path | None) -> dict[str, str]:
    """What the metadata of a file made from that folder is to say; nothing where it is no folder
    that training wrote.
    """
    if folder is None or not is_forecaster_folder(Path(folder)):
        return {}
    place = Path(folder)
    notes = columns_notes(read_description(place)[0].columns)
    known, options = read_training_data(place)
    if known is not None:
        notes |= {**known.notes(), READ_KEY: json.dumps(options.as_json())}
    golden = read_golden(place)
    return notes if golden is None else notes | golden.notes()


def write_golden(folder: Path, golden: Golden) -> None:
    """Write golden.json."""
    with atomic_write(folder / GOLDEN) as file:
        file.write(golden.notes()[GOLDEN_KEY].encode())


def read_golden(folder: Path) -> Golden | None:
    """The folder's golden input and output; None in folders that have none."""
    path = folder / GOLDEN
    if not path.is_file():
        return None
    return noted_golden({GOLDEN_KEY: path.read_text(encoding="utf-8")}, str(path))


def write_tensors(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> None:
    """Write a safetensors file, or nothing."""
    from safetensors.torch import save

    held = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with atomic_write(path) as file:
        file.write(save(held, metadata=dict(notes)))
