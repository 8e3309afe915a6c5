"""Numbers in a chip's file: text with a unit, a kind, where it comes from, how far it may be off.

After loading, code reads plain SI floats (`target.core.memory.value`, bytes); reports read the
provenance.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from zapdeploy.quantities import parse

P = TypeVar("P", bound=BaseModel)
FigureKind = Literal["published", "reported", "derived", "assumed"]


class Part(BaseModel):
    """Base of every table of the file: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Figure(Part):
    """One number: what it is, how it is known, and how far it may be off.

    `low` and `high` bound an assumed value: given, or from the relative `error`.
    """

    text: str = Field(alias="is")
    unit: str
    value: float
    low: float
    high: float
    kind: FigureKind
    source: str | None = None
    derivation: str | None = Field(default=None, alias="from")
    error: str | None = None
    why: str | None = None
    note: str | None = None

    def __int__(self) -> int:
        return round(self.value)

    @model_validator(mode="after")
    def _has_provenance(self) -> Figure:
        if self.kind in ("published", "reported") and not self.source:
            raise ValueError(f"a {self.kind} number must name its source")
        if self.kind == "derived" and not self.derivation:
            raise ValueError("a derived number must say from what ('from')")
        if self.kind == "assumed" and not self.why:
            raise ValueError("an assumed number must say why")
        if self.kind == "assumed" and self.low == self.high != 0:
            raise ValueError("an assumed number must have an error ('error', or 'low' and 'high')")
        if not self.low <= self.value <= self.high:
            raise ValueError(f"must lie between its low and its high, not {self.text!r}")
        return self

    def at(self, value: float) -> Figure:
        """The same number with another value, known for sure."""
        return self.model_copy(update={"value": value, "low": value, "high": value})


def read_figure(raw: Any, unit: str) -> Any:
    """A figure from what a file has in its place. Raises ValueError for anything else."""
    if isinstance(raw, Figure):
        return raw
    if not isinstance(raw, dict) or not isinstance(raw.get("is"), str):
        raise ValueError('must be a table { is = "NUMBER UNIT", kind = ... }')
    if {"unit", "value"} & set(raw):
        raise ValueError("must give its number in 'is' alone")
    value = parse(raw["is"], unit)
    if value < 0:
        raise ValueError(f"must be 0 or more, not {raw['is']!r}")
    error = _read_error(raw.get("error"))
    low = parse(raw["low"], unit) if "low" in raw else value * max(0.0, 1 - error)
    high = parse(raw["high"], unit) if "high" in raw else value * (1 + error)
    return {**raw, "unit": unit, "value": value, "low": low, "high": high}


def _read_error(text: Any) -> float:
    if text is None:
        return 0.0
    if not isinstance(text, str) or not text.endswith("%"):
        raise ValueError(f'error must be a percentage such as "30 %", not {text!r}')
    return parse(text[:-1], "") / 100


def quantity(unit: str) -> BeforeValidator:
    """A figure in this unit."""
    return BeforeValidator(lambda raw: read_figure(raw, unit))


def _rate(unit: str) -> BeforeValidator:
    """A quantity that something is divided by."""

    def read(raw: Any) -> Any:
        found = read_figure(raw, unit)
        if not isinstance(found, Figure) and found["value"] == 0:
            raise ValueError(f"must be above 0, not {found['is']!r}")
        return found

    return BeforeValidator(read)


def _read_count(raw: Any) -> Any:
    found = read_figure(raw, "")
    if not isinstance(found, Figure) and (found["value"] < 1 or found["value"] % 1):
        raise ValueError(f"must be a whole number of at least 1, not {found['is']!r}")
    return found


Number = Annotated[Figure, quantity("")]


def _read_schema(raw: Any) -> Any:
    if type(raw) is not int or raw not in (1, 2):
        raise ValueError(
            f"must be 1 or 2, not {raw!r:.40}; update zapdeploy, or write the file by "
            "'zapdeploy targets init'"
        )
    return raw


SchemaVersion = Annotated[Literal[1, 2], BeforeValidator(_read_schema)]
Count = Annotated[Figure, BeforeValidator(_read_count)]
Bytes = Annotated[Figure, quantity("byte")]
BytesPerCycle = Annotated[Figure, _rate("byte/cycle")]
BytesPerSecond = Annotated[Figure, _rate("byte/second")]
Cycles = Annotated[Figure, quantity("cycle")]
CyclesPerHop = Annotated[Figure, quantity("cycle/hop")]
Hertz = Annotated[Figure, _rate("cycle/second")]
Joules = Annotated[Figure, quantity("joule")]
JoulesPerByte = Annotated[Figure, quantity("joule/byte")]
JoulesPerBitHop = Annotated[Figure, quantity("joule/bit/hop")]
OpsPerCycle = Annotated[Figure, _rate("op/cycle")]
OpsPerSecond = Annotated[Figure, quantity("op/second")]
Watts = Annotated[Figure, quantity("watt")]
Seconds = Annotated[Figure, quantity("second")]
Volts = Annotated[Figure, _rate("volt")]
Celsius = Annotated[Figure, quantity("celsius")]


def figures_of(part: BaseModel, prefix: str = "") -> Iterator[tuple[str, Figure]]:
    """Every number of a part with its key."""
    for name, field in type(part).model_fields.items():
        value, key = getattr(part, name), prefix + (field.alias or name)
        if isinstance(value, Figure):
            yield key, value
        elif isinstance(value, BaseModel):
            yield from figures_of(value, f"{key}.")
        elif isinstance(value, dict):
            for inner, named in value.items():
                if isinstance(named, BaseModel):
                    yield from figures_of(named, f"{key}.{inner}.")


def with_figure(part: P, key: str, value: float) -> P:
    """A copy of a part with the number at `key` ("core.memory") changed, and known for sure."""
    first, _, rest = key.partition(".")
    named = {field.alias or name: name for name, field in type(part).model_fields.items()}
    inner = getattr(part, named[first])
    if isinstance(inner, dict):
        second, _, rest = rest.partition(".")
        changed: Any = {**inner, second: with_figure(inner[second], rest, value)}
    else:
        changed = with_figure(inner, rest, value) if rest else inner.at(value)
    return part.model_copy(update={named[first]: changed})


def seconds(figure: Figure | None) -> float:
    """Its value; what a file does not give takes no time."""
    return 0.0 if figure is None else figure.value
