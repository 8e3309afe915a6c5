"""Axes: lists, ranges, and several names that move together."""

from __future__ import annotations

import glob
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zapdeploy.hardware_targets.changes import is_number
from zapdeploy.quantities import parse

Value = str | int | float | bool | tuple[Any, ...] | None
STAGES, SPACE = "stages", "space"
SUITED = "suited"  # the grid of so many chips that has least to send
# What is no key of a target, with the value that holds where nothing is said.
OPTIONS: dict[str, Value] = {
    "model": None,
    "precision": None,
    "neurons": None,
    "width": None,
    "batch": 1,
    "target": "northpole-sim",
    "chips": None,
    "split": STAGES,
    "chip_grid": SUITED,
    "micro_batch": None,
    "objective": "throughput",
    "effort": "normal",
    "frame_rate": None,
}
_WHOLE = {"neurons", "width", "batch", "chips", "micro_batch"}
_TEXTS = {"model", "precision", "target", "objective", "effort", "split", "chip_grid"}
_NUMBER = re.compile(r"\s*([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\s*(\S.*)?")
MOST_VALUES = 100_000
_FEW = 4  # whole numbers: a range without steps between closer ends is one of fractions


@dataclass(frozen=True)
class Axis:
    """`values` [steps][names]: what the names are set to, all at once. `span`: the ends of a range
    without steps, from which a search draws; "linear" or "log"."""

    names: tuple[str, ...]
    values: tuple[tuple[Value, ...], ...]
    span: Range | None = None


@dataclass(frozen=True)
class Range:
    """From `low` to `high` in one unit, both ends included."""

    low: float
    high: float
    unit: str
    is_log: bool
    is_whole: bool

    def at(self, share: float) -> Value:
        """The value at a share of the way, 0 to 1."""
        if self.is_log:
            found = self.low * (self.high / self.low) ** share
        else:
            found = self.low + (self.high - self.low) * share
        return self.text(found)

    def text(self, found: float) -> Value:
        """A value as an axis has it: with its unit, where there is one."""
        number: int | float = round(found) if self.is_whole else float(f"{found:.12g}")
        return f"{number} {self.unit}" if self.unit else number


def read_axes(axes: Any, linked: Any, folder: Path) -> tuple[Axis, ...]:
    """The axes of a spec, options first. Raises ValueError, or TargetError for an unknown key."""
    if not isinstance(axes, dict) or not isinstance(linked, list):
        raise ValueError("axes must be a table, and linked a list of tables ([[linked]])")
    found = [_axis(name, raw, folder) for name, raw in _leaves(axes)]
    found += [_linked(raw, folder) for raw in linked]
    names = [name for axis in found for name in axis.names]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"axes must each be given once, not twice: {', '.join(twice)}")
    if "model" not in names:
        raise ValueError("axes must name a model; add model = [...] to [axes]")
    order = list(OPTIONS)
    places = [min((order.index(n) for n in a.names if n in order), default=99) for a in found]
    return tuple(axis for _, axis in sorted(zip(places, found, strict=True), key=lambda p: p[0]))


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names with what is given for them; `core.memory = [...]` is a table in a table."""
    for name, raw in table.items():
        if isinstance(raw, dict) and "from" not in raw:
            yield from _leaves(raw, f"{prefix}{name}.")
        else:
            yield prefix + name, raw


def _axis(name: str, raw: Any, folder: Path) -> Axis:
    if isinstance(raw, dict):
        values, span = _range(name, raw)
        return Axis((name,), tuple((value,) for value in values), span)
    each_once = dict.fromkeys(_values(name, raw, folder))
    return Axis((name,), tuple((value,) for value in each_once))


def _linked(raw: Any, folder: Path) -> Axis:
    if not isinstance(raw, dict):
        raise ValueError("linked must be a list of tables ([[linked]])")
    lists = {
        name: _range(name, given)[0] if isinstance(given, dict) else _values(name, given, folder)
        for name, given in _leaves(raw)
    }
    if len({len(values) for values in lists.values()}) != 1:
        lengths = ", ".join(f"{name} {len(values)}" for name, values in lists.items())
        raise ValueError(f"linked names must have equally many values, not {lengths}")
    return Axis(tuple(lists), tuple(zip(*lists.values(), strict=True)))


def _values(name: str, raw: Any, folder: Path) -> list[Value]:
    """What one axis is set to; a single value is a list of one."""
    given = raw if isinstance(raw, list) else [raw]
    if not given:
        raise ValueError(f"axis {name} must have a value, not none")
    found = [_checked(name, value) for value in given]
    if name == "model":
        found = [one for value in found for one in _models(str(value), folder)]
    if name == "target":
        found = [_beside(str(value), folder) for value in found]
    return found


def _checked(name: str, value: Any) -> Value:
    if name in _WHOLE:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"axis {name} must have whole numbers from 1, not {value!r}")
    elif name in _TEXTS:
        if not isinstance(value, str):
            raise ValueError(f"axis {name} must have texts, not {value!r}")
        if name == "split" and value not in (STAGES, SPACE):
            raise ValueError(f"axis split must be of {STAGES} and {SPACE}, not '{value}'")
    elif name == "frame_rate":
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise ValueError(f"axis frame_rate must have numbers above 0 (Hz), not {value!r}")
    elif "." not in name:
        raise ValueError(
            f"axis {name} must be one of {', '.join(OPTIONS)}, or a key of a chip's file such as "
            "core.memory"
        )
    elif is_number(name) and not isinstance(value, str | int | float):
        raise ValueError(f'axis {name} must have numbers such as "256 KiB", not {value!r}')
    return tuple(value) if isinstance(value, list) else value


def _models(name: str, folder: Path) -> list[Value]:
    """A network's name, a file or a folder; a pattern stands for all files that it matches."""
    if any(sign in name for sign in "*?["):
        matched = sorted(glob.glob(str(folder / name)))
        if not matched:
            raise ValueError(f"axis model must match a file, not '{name}'; check the path")
        return list(matched)
    return [_beside(name, folder)]


def _beside(name: str, folder: Path) -> str:
    """A file or a folder named by a relative path lies beside the spec."""
    is_path = name.endswith((".onnx", ".toml")) or "/" in name
    return str(folder / name) if is_path and (folder / name).exists() else name


def _range(name: str, raw: Mapping[str, Any]) -> tuple[list[Value], Range | None]:
    unknown = set(raw) - {"from", "to", "steps", "scale"}
    if unknown or "to" not in raw:
        raise ValueError(f"axis {name} must have from, to, steps and scale, not {sorted(raw)}")
    scale, steps = raw.get("scale", "linear"), raw.get("steps")
    if scale not in ("linear", "log"):
        raise ValueError(f"axis {name} must have a scale of linear or log, not {scale!r}")
    if steps is not None and (not isinstance(steps, int) or not 2 <= steps <= MOST_VALUES):
        raise ValueError(f"axis {name} must have 2 to {MOST_VALUES:,} steps, not {steps!r}")
    span = _ends(name, raw["from"], raw["to"], scale == "log", steps or _FEW)
    shares = [0.0, 1.0] if steps is None else [i / (steps - 1) for i in range(steps)]
    values = list(dict.fromkeys(_checked(name, span.at(share)) for share in shares))
    return values, span if steps is None else None


def _ends(name: str, first: Any, last: Any, is_log: bool, steps: int) -> Range:
    """The ends in the first one's unit. Between whole ends that lie apart, values are whole."""
    (low, unit), (high, other) = _number(name, first), _number(name, last)
    if unit != other:
        try:
            high = parse(f"{high!r} {other}", unit)
        except ValueError as error:
            raise ValueError(f"axis {name}: its end {error}") from None
    apart = low % 1 == 0 and high % 1 == 0 and high - low >= steps - 1
    whole = name in _WHOLE or (name != "frame_rate" and apart)
    if not low < high or (is_log and low <= 0) or not math.isfinite(high):
        above = " from above 0" if is_log else ""
        raise ValueError(f"axis {name} must rise{above}, not {first!r} to {last!r}")
    return Range(low, high, unit, is_log, whole)


def _number(name: str, given: Any) -> tuple[float, str]:
    found = _NUMBER.fullmatch(str(given))
    if found is None or isinstance(given, bool):
        raise ValueError(f"axis {name} must have a range between numbers, not {given!r}")
    return float(found[1]), found[2] or ""


def combinations(axes: Sequence[Axis]) -> int:
    """How many points the whole grid has."""
    return math.prod(len(axis.values) for axis in axes)
