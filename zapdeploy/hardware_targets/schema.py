"""What a core-array chip's file must say, and the checks it must pass.

Every number is a `Figure`: text with a unit, a kind, and where it comes from. After loading, code
reads plain SI floats (`target.core.memory.value`, bytes); reports read the provenance.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from zapdeploy.quantities import parse

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


def _read_figure(raw: Any, unit: str) -> Any:
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
    return BeforeValidator(lambda raw: _read_figure(raw, unit))


def _rate(unit: str) -> BeforeValidator:
    """A quantity that something is divided by."""

    def read(raw: Any) -> Any:
        found = _read_figure(raw, unit)
        if not isinstance(found, Figure) and found["value"] == 0:
            raise ValueError(f"must be above 0, not {found['is']!r}")
        return found

    return BeforeValidator(read)


def _read_count(raw: Any) -> Any:
    found = _read_figure(raw, "")
    if not isinstance(found, Figure) and (found["value"] < 1 or found["value"] % 1):
        raise ValueError(f"must be a whole number of at least 1, not {found['is']!r}")
    return found


Number = Annotated[Figure, quantity("")]
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


class CoreArray(Part):
    rows: Count
    columns: Count
    clock: Hertz
    transistors: Number | None = None

    @property
    def cores(self) -> int:
        return int(self.rows) * int(self.columns)


class MatrixUnit(Part):
    """Multiplies a vector of `input_width` bytes by a matrix of `outputs` columns every cycle."""

    input_width: BytesPerCycle
    outputs: Count
    widths: tuple[Literal[8, 4, 2], ...]
    ops_per_mac: Number
    accumulators: Bytes
    latency: Cycles

    def inputs(self, bits: int) -> int:
        """Values of this width in one input vector."""
        return int(self.input_width) * 8 // bits

    def macs_per_cycle(self, bits: int) -> int:
        return self.inputs(bits) * int(self.outputs)


class SimdUnit(Part):
    rate: OpsPerCycle
    latency: Cycles
    format: Literal["float16", "float32"]


class MemoryPort(Part):
    width: BytesPerCycle


class Core(Part):
    memory: Bytes
    matrix_unit: MatrixUnit
    vector_unit: SimdUnit
    activation_unit: SimdUnit
    memory_port: MemoryPort


class Network(Part):
    """A mesh: every core has a link of `width` to each neighbour and one port, each direction."""

    width: BytesPerCycle
    hop_latency: CyclesPerHop


class Networks(Part):
    model: Network
    activation: Network
    partial_sum: Network
    instruction: Network


class Framebuffer(Part):
    memory: Bytes
    width: BytesPerCycle


class Host(Part):
    bandwidth: BytesPerSecond


class Programs(Part):
    """The program of one layer: stored once, sent to all cores while the layer before runs."""

    bytes_per_layer: Bytes
    start_latency: Cycles


class HopPrices(Part):
    model: JoulesPerBitHop
    activation: JoulesPerBitHop
    partial_sum: JoulesPerBitHop
    instruction: JoulesPerBitHop


class Energy(Part):
    """Prices of events, and the power drawn while nothing happens.

    `calibration` places every price and the static power inside its bracket: 0 is the low end, 0.5
    the stated value, 1 the high end. It is one number, common to all.
    """

    boundary: Literal["core array", "chip", "card", "system"]
    mac_8bit: Joules
    mac_4bit: Joules
    mac_2bit: Joules
    vector_op: Joules
    activation_op: Joules
    accumulator_byte: JoulesPerByte
    memory_byte: JoulesPerByte
    framebuffer_byte: JoulesPerByte
    host_byte: JoulesPerByte
    core_cycle: Joules
    noc_bit_hop: HopPrices
    static_power: Watts
    idle_power: Watts
    calibration: Number

    @model_validator(mode="after")
    def _calibration_is_a_share(self) -> Energy:
        if not self.calibration.value <= 1:
            raise ValueError(f"calibration must be between 0 and 1, not {self.calibration.text!r}")
        return self

    def price(self, figure: Figure) -> float:
        """The calibrated value of a price: low at 0, its own value at 0.5, high at 1.

        In between it moves on a logarithmic scale (on a linear one where an end is 0).
        """
        away = 2 * self.calibration.value - 1
        end, share = (figure.high, away) if away > 0 else (figure.low, -away)
        if min(figure.value, end) <= 0:
            return figure.value + share * (end - figure.value)
        return float(figure.value ** (1 - share) * end**share)


class Total(Part):
    """A published total, restated so that the parts can be checked against it."""

    figure: Figure
    relation: Literal["equal", "at least"]


class Target(Part):
    """A core-array chip, as its file describes it."""

    schema_version: Literal[1] = Field(alias="schema")
    name: str
    summary: str
    sources: dict[str, str]
    array: CoreArray
    core: Core
    networks: Networks
    framebuffer: Framebuffer
    host: Host
    programs: Programs
    energy: Energy
    totals: dict[str, dict[str, Any]] = {}
    published: dict[str, dict[str, Number]] = {}

    @property
    def cores(self) -> int:
        return self.array.cores

    @property
    def clock_hz(self) -> float:
        return self.array.clock.value

    @model_validator(mode="after")
    def _consistent(self) -> Target:
        for key, figure in self.figures():
            self._check_source(key, figure)
        for network, results in self.published.items():
            for key, figure in results.items():
                self._check_source(f"published.{network}.{key}", figure)
        for name, raw in self.totals.items():
            self._check_total(name, raw)
        return self

    def _check_source(self, key: str, figure: Figure) -> None:
        if figure.source and not set(figure.source.split()) <= set(self.sources):
            raise ValueError(f"{key}: source must be one of [sources], not {figure.source!r}")

    def _check_total(self, name: str, raw: dict[str, Any]) -> None:
        parts = self.derived_totals()
        if name not in parts:
            raise ValueError(f"totals.{name}: must be one of {', '.join(sorted(parts))}")
        unit, value = parts[name]
        stated = _read_total(raw, unit, f"totals.{name}")
        figure = stated.figure
        self._check_source(f"totals.{name}", figure)
        enough = value >= figure.value * (1 - 1e-9)
        close = abs(value - figure.value) <= 0.01 * figure.value
        if not (enough if stated.relation == "at least" else close):
            found = f"{value:.6g} {unit}".strip()
            wanted = "at least" if stated.relation == "at least" else "equal to"
            raise ValueError(
                f"totals.{name}: the parts give {found}, which must be {wanted} {figure.text}"
            )

    def stated_totals(self) -> dict[str, Total]:
        """The published totals, by name."""
        parts = self.derived_totals()
        return {
            name: _read_total(raw, parts[name][0], f"totals.{name}")
            for name, raw in self.totals.items()
        }

    def derived_totals(self) -> dict[str, tuple[str, float]]:
        """Totals that follow from the parts: name -> (unit, value)."""
        unit = self.core.matrix_unit
        peak = {
            f"peak_{bits}bit": (
                "op/second",
                self.cores * unit.macs_per_cycle(bits) * unit.ops_per_mac.value * self.clock_hz,
            )
            for bits in unit.widths
        }
        noc = self.networks
        widths = (noc.model, noc.activation, noc.partial_sum, noc.instruction)
        return {
            **peak,
            "core_memory": ("byte", self.cores * self.core.memory.value),
            "memory_bandwidth": (
                "byte/second",
                self.cores * self.core.memory_port.width.value * self.clock_hz,
            ),
            "wires_per_core_side": ("", sum(2 * 8 * n.width.value for n in widths)),
        }

    def figures(self) -> Iterator[tuple[str, Figure]]:
        """Every number with its key, in the file's order."""
        yield from figures_of(self)


def _read_total(raw: dict[str, Any], unit: str, key: str) -> Total:
    """A stated total; errors name its key."""
    try:
        figure = _read_figure({k: v for k, v in raw.items() if k != "relation"}, unit)
        return Total.model_validate({"figure": figure, "relation": raw.get("relation", "equal")})
    except ValidationError as error:
        first = error.errors()[0]
        part = ".".join(str(p) for p in first["loc"] if p != "figure")
        complaint = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{key}: {part} {complaint}" if part else f"{key}: {complaint}") from None
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def figures_of(part: BaseModel, prefix: str = "") -> Iterator[tuple[str, Figure]]:
    """Every number of a part with its key."""
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, Figure):
            yield prefix + name, value
        elif isinstance(value, BaseModel):
            yield from figures_of(value, f"{prefix}{name}.")
