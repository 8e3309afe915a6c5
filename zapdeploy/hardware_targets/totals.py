"""Totals that follow from a chip's parts, against those that its file restates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, Protocol

from pydantic import ValidationError

from zapdeploy.hardware_targets.figures import Figure, Part, read_figure


class Parts(Protocol):
    """What totals follow from: the parts of a Target, which reads its totals here."""

    @property
    def core(self) -> Any: ...
    @property
    def networks(self) -> Any: ...
    @property
    def array(self) -> Any: ...
    @property
    def clock_hz(self) -> float: ...
    @property
    def sources(self) -> Any: ...
    @property
    def totals(self) -> dict[str, dict[str, Any]]: ...


class Total(Part):
    """A published total, restated so that the parts can be checked against it."""

    figure: Figure
    relation: Literal["equal", "at least"]


def derived_totals(target: Parts) -> dict[str, tuple[str, float]]:
    """Totals that follow from the parts: name -> (unit, value)."""
    unit, noc = target.core.matrix_unit, target.networks
    cores, clock_hz = target.array.usable_cores, target.clock_hz
    peak = {
        f"peak_{bits}bit": (
            "op/second",
            cores * unit.macs_per_cycle(bits) * unit.ops_per_mac.value * clock_hz,
        )
        for bits in unit.widths
    }
    own = (noc.own_model, noc.activation, noc.own_partial_sum, noc.own_instruction)
    port = target.core.memory_port.width.value
    return {
        **peak,
        "core_memory": ("byte", cores * target.core.memory.value),
        "memory_bandwidth": ("byte/second", cores * port * clock_hz),
        "wires_per_core_side": ("", sum(2 * 8 * n.width.value for n in own if n)),
    }


def totals_of(target: Parts) -> dict[str, Total]:
    """The stated totals, by name. Raises ValueError for one that cannot be read."""
    parts = derived_totals(target)
    return {name: _read(raw, parts[name][0], name) for name, raw in target.totals.items()}


def total_errors(target: Parts) -> Iterator[str]:
    """What is wrong with the stated totals, one complaint for each."""
    parts = derived_totals(target)
    for name, raw in target.totals.items():
        if name not in parts:
            yield f"totals.{name}: must be one of {', '.join(sorted(parts))}"
            continue
        unit, value = parts[name]
        try:
            stated = _read(raw, unit, name)
        except ValueError as error:
            yield str(error)
            continue
        figure = stated.figure
        if figure.source and not set(figure.source.split()) <= set(target.sources):
            yield f"totals.{name}: source must be one of [sources], not {figure.source!r}"
        enough = value >= figure.value * (1 - 1e-9)
        close = abs(value - figure.value) <= 0.01 * figure.value
        if not (enough if stated.relation == "at least" else close):
            found = f"{value:.6g} {unit}".strip()
            wanted = "at least" if stated.relation == "at least" else "equal to"
            yield f"totals.{name}: the parts give {found}, which must be {wanted} {figure.text}"


def _read(raw: dict[str, Any], unit: str, name: str) -> Total:
    """A stated total; errors name its key."""
    try:
        figure = read_figure({k: v for k, v in raw.items() if k != "relation"}, unit)
        return Total.model_validate({"figure": figure, "relation": raw.get("relation", "equal")})
    except ValidationError as error:
        first = error.errors()[0]
        part = ".".join(str(p) for p in first["loc"] if p != "figure")
        complaint = first["msg"].removeprefix("Value error, ")
        where = f"{part} {complaint}" if part else complaint
        raise ValueError(f"totals.{name}: {where}") from None
    except ValueError as error:
        raise ValueError(f"totals.{name}: {error}") from None
