"""Conditions from a table beside the recording: name, start, stop, held out; as CSV or TOML.

Start and stop are frames counted from 0, stop not included; or seconds, in columns start_s and
stop_s. Rows of one name are blocks of one condition.
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any

from zapdeploy.errors import DataError
from zapdeploy.recordings.conditions import Condition

TABLES = (".csv", ".toml")
YES, NO = {"true", "yes", "1", "y"}, {"false", "no", "0", "n", ""}
EXAMPLE = "name,start,stop,held_out"


def is_table(text: str) -> bool:
    """Whether --conditions names a file and not intervals."""
    return text.lower().endswith(TABLES)


def read_conditions(path: Path, frames: int, frame_rate_hz: float | None) -> tuple[Condition, ...]:
    """The conditions of a table. Raises DataError naming the row that is wrong."""
    rows = _rows(path)
    found: dict[str, list[tuple[int, int]]] = {}
    held: set[str] = set()
    for number, row in enumerate(rows, 1):
        name = str(row.get("name", "")).strip()
        if not name:
            raise _wrong(path, number, "must have a name, not none")
        start, stop = _span(path, number, row, frame_rate_hz)
        if not 0 <= start < stop <= frames:
            raise _wrong(
                path, number, f"must lie within frames 0 to {frames}, not {start} to {stop}"
            )
        found.setdefault(name, []).append((start, stop))
        if _held_out(path, number, row):
            held.add(name)
    blocks = sorted((block, name) for name, several in found.items() for block in several)
    for ((_, stop), one), ((start, _), other) in pairwise(blocks):
        if start < stop:
            raise DataError(
                f"conditions must not overlap, as '{one}' and '{other}' do at frame {start} "
                f"({path}); put their frames right"
            )
    return tuple(Condition(n, tuple(sorted(b)), n in held) for n, b in found.items())


def _rows(path: Path) -> Sequence[Mapping[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise DataError(
            f"--conditions must be a table that can be read, not refused: {reason} ({path}); give "
            f"a CSV file with {EXAMPLE}"
        ) from None
    if path.suffix.lower() == ".toml":
        rows = _toml(text, path)
    else:
        rows = [
            {(key or "").strip().lower(): value for key, value in row.items()}
            for row in csv.DictReader(text.splitlines())
        ]
    if not rows:
        raise DataError(
            f"--conditions must have at least one row, not none ({path}); give {EXAMPLE}"
        )
    return rows


def _toml(text: str, path: Path) -> Sequence[Mapping[str, Any]]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"--conditions must be TOML, not this: {error} ({path})") from None
    rows = next((v for v in document.values() if isinstance(v, list)), [])
    return [row for row in rows if isinstance(row, dict)]


def _span(
    path: Path, number: int, row: Mapping[str, Any], frame_rate_hz: float | None
) -> tuple[int, int]:
    """Start and stop in frames."""
    in_seconds = "start_s" in row
    try:
        names = ("start_s", "stop_s") if in_seconds else ("start", "stop")
        start, stop = (float(row[name]) for name in names)
        if not (isfinite(start) and isfinite(stop)):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise _wrong(
            path, number, "must have start and stop in frames, or start_s and stop_s in seconds"
        ) from None
    if not in_seconds:
        if start != int(start) or stop != int(stop):
            raise _wrong(path, number, "must be whole frames; name the columns start_s and stop_s")
        return int(start), int(stop)
    if frame_rate_hz is None:
        raise DataError(
            f"seconds must go with a frame rate, and none is known ({path}); give --frame-rate HZ"
        )
    return round(start * frame_rate_hz), round(stop * frame_rate_hz)


def _held_out(path: Path, number: int, row: Mapping[str, Any]) -> bool:
    text = str(row.get("held_out", row.get("held out", "")) or "").strip().lower()
    if text not in YES | NO:
        raise _wrong(path, number, f"must have held_out true or false, not '{text}'")
    return text in YES


def _wrong(path: Path, number: int, what: str) -> DataError:
    return DataError(f"row {number} of the conditions {what} ({path}); columns are {EXAMPLE}")
