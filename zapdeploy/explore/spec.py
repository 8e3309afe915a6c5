"""What a SPEC.toml says: the axes, what to compute of each point, limits, and a search."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from zapdeploy.errors import UsageError
from zapdeploy.explore.axes import Axis, read_axes
from zapdeploy.files import read_text

Bound = tuple[str, str]  # a comparison, and what with
_BOUND = re.compile(r"\s*(<=|>=|<|>|==)\s*(.+?)\s*")


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Accuracy(_Table):
    """A recording on which every network and precision is evaluated once."""

    data: str
    windows: int | None = Field(default=None, ge=1)
    neurons: int | None = Field(default=None, ge=1)


class Values(_Table):
    """Frames whose bits are counted for the energy: an .npz as of `simulate --inputs`."""

    inputs: str
    frames: int = Field(default=2, ge=1)


class Compute(_Table):
    """`timing`: the compiler's closed form, or a schedule of every unit and link."""

    timing: Literal["estimate", "schedule"] = "estimate"
    accuracy: Accuracy | None = None
    values: Values | None = None


class Limits(_Table):
    """What one point may take: `seconds`, and `memory_gb` (1e9 bytes) of a worker process."""

    seconds: float = Field(default=600.0, gt=0)
    memory_gb: float = Field(default=1.5, gt=0)


class Search(_Table):
    """A search in the place of the whole grid: `points` of it, chosen by Optuna."""

    points: int = Field(ge=1)
    minimize: tuple[str, ...] = ()
    maximize: tuple[str, ...] = ()
    sampler: Literal["nsga2", "tpe", "random"] = "tpe"
    seed: int = Field(default=0, ge=0)
    at_once: int = Field(default=8, ge=1)

    @model_validator(mode="after")
    def _some_objective(self) -> Search:
        if not self.minimize and not self.maximize:
            raise ValueError("must name a column in minimize or maximize")
        return self


class Spec(_Table):
    """A whole exploration. `axes`: what varies, in the order of the table's columns; what is not
    named among them has one value."""

    name: str
    axes: tuple[Axis, ...]
    compute: Compute = Compute()
    constraints: dict[str, tuple[Bound, ...]] = Field(default={})
    limits: Limits = Limits()
    search: Search | None = None

    @field_validator("constraints", mode="before")
    @classmethod
    def _bounds(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            raise ValueError("must be a table of bounds")
        return {key: tuple(_bound(one) for one in _as_list(texts)) for key, texts in raw.items()}

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of everything that is given."""
        return tuple(name for axis in self.axes for name in axis.names)

    @property
    def models(self) -> tuple[str, ...]:
        """Every value of the model's axis."""
        axis = next(axis for axis in self.axes if "model" in axis.names)
        return tuple(str(step[axis.names.index("model")]) for step in axis.values)

    @property
    def varied(self) -> tuple[str, ...]:
        """Names of what has several values."""
        several = (axis for axis in self.axes if len(axis.values) > 1)
        return tuple(name for axis in several for name in axis.names)


def load_spec(path: str | Path) -> Spec:
    """A SPEC.toml. Raises UsageError with the file, the key and what must change."""
    path = Path(path)
    where = f"file '{path}'"
    try:
        raw = tomllib.loads(read_text(path, UsageError, "exploration"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"exploration must be TOML: {error} ({where})") from None
    return read_spec({"name": path.stem, **raw}, where, path.parent)


def read_spec(raw: dict[str, Any], where: str = "spec", folder: Path = Path()) -> Spec:
    """A spec from its tables. Files that it names by relative paths lie in `folder`."""
    raw = dict(raw)
    axes, linked = raw.pop("axes", {}), raw.pop("linked", [])
    try:
        raw["axes"] = read_axes(axes, linked, folder)
        return _beside(Spec.model_validate(raw), folder)
    except ValidationError as error:
        texts = "; ".join(_complaint(item) for item in error.errors())
        raise UsageError(f"{texts} ({where})") from None
    except ValueError as error:
        raise UsageError(f"{error} ({where})") from None


def _beside(spec: Spec, folder: Path) -> Spec:
    """Files that are named by relative paths, where they lie beside the spec."""
    accuracy, values = spec.compute.accuracy, spec.compute.values

    def found(name: str) -> str:
        return str(folder / name) if (folder / name).exists() else name

    if accuracy is not None:
        accuracy = accuracy.model_copy(update={"data": found(accuracy.data)})
    if values is not None:
        values = values.model_copy(update={"inputs": found(values.inputs)})
        if not Path(values.inputs).is_file():
            raise ValueError(f"compute.values.inputs must be a file, not '{values.inputs}'")
    compute = spec.compute.model_copy(update={"accuracy": accuracy, "values": values})
    return spec.model_copy(update={"compute": compute})


def _complaint(item: Any) -> str:
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"key '{key}' must be one of those known; remove it or correct its spelling"
    text = str(item["msg"]).removeprefix("Value error, ")
    given = item.get("input")
    shown = f", not {given!r}" if isinstance(given, str | int | float) else ""
    return f"{key} {text[0].lower()}{text[1:]}{shown}" if key else text


def _as_list(texts: Any) -> list[Any]:
    return texts if isinstance(texts, list) else [texts]


def _bound(text: Any) -> Bound:
    if isinstance(text, list | tuple):
        return (str(text[0]), str(text[1]))
    found = _BOUND.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f'must be a comparison such as "<= 192 MiB", not {text!r}')
    return (found[1], found[2])
