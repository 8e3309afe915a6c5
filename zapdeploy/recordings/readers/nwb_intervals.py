"""Tables of intervals in an NWB file: epochs, trials, stimulus presentations."""

from __future__ import annotations

from typing import Any

from zapdeploy.errors import DataError

# Columns that say what an interval is, best first.
LABELS = ("condition", "stimulus_name", "stimulus", "stimulus_type", "trial_type", "label", "name",
          "tags")  # fmt: skip
Interval = tuple[str, float, float]


def read_intervals(file: Any, name: str, where: str) -> list[Interval]:
    """(label, start, stop) in seconds, of the table of that name, in time order."""
    tables = {table: file.intervals[table] for table in (file.intervals or {})}
    for known in ("epochs", "trials"):
        if getattr(file, known, None) is not None:
            tables.setdefault(known, getattr(file, known))
    if name not in tables:
        there = ", ".join(tables) or "none"
        raise DataError(
            f"--conditions must be a CSV or TOML file, or intervals of the file ({there}), not "
            f"'{name}' ({where})"
        )
    table = tables[name]
    column = next((label for label in LABELS if label in table.colnames), None)
    found = []
    for row in range(len(table)):
        label = name if column is None else _text(table[column][row]) or name
        found.append((label, float(table["start_time"][row]), float(table["stop_time"][row])))
    return sorted(found, key=lambda one: one[1])


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode()
    return str(value) if isinstance(value, str) else " ".join(map(str, _listed(value)))


def _listed(value: Any) -> list[Any]:
    try:
        return list(value)
    except TypeError:
        return [value]
