"""The table of an exploration: what each point is, and what it gave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from zapdeploy.explore.outcome import (
    ACCURACY,
    DONE,
    FAILED,
    OF_THE_RUN,
    WHY_NO_MAE,
    columns,
    no_row,
)
from zapdeploy.explore.plan import Plan
from zapdeploy.explore.points import Point
from zapdeploy.explore.store import Row
from zapdeploy.extras import load
from zapdeploy.files import atomic_write, replacing
from zapdeploy.formatting import count, quantity
from zapdeploy.tables import Answer, Table

TABLES = "tables"
_MISSING = "not computed"
MOST_SHOWN = 10


@dataclass(frozen=True, eq=False, repr=False)
class Exploration(Answer):
    """Every point of a spec with its result, in the order of the axes.

    `rows`: axes and options, then results in SI units; a value with an interval has NAME_low and
    NAME_high beside it.
    """

    name: str
    varied: tuple[str, ...]
    rows: tuple[Row, ...]
    folder: Path

    def __repr__(self) -> str:
        found = ", ".join(f"{number} {status}" for status, number in self.counts.items())
        return f"<Exploration {self.name}: {found or 'no points'}>"

    @cached_property
    def counts(self) -> dict[str, int]:
        """Points by what became of them."""
        statuses = [row["status"] for row in self.rows]
        return {status: statuses.count(status) for status in dict.fromkeys(statuses)}

    def records(self) -> list[dict[str, Any]]:
        """The rows."""
        return [dict(row) for row in self.rows]

    def as_json(self) -> dict[str, Any]:
        """The JSON document of `explore`."""
        return {
            "name": self.name,
            "folder": str(self.folder),
            "varied": list(self.varied),
            "counts": self.counts,
            "rows": self.records(),
        }

    def tables(self) -> tuple[Table, ...]:
        """The points that take least energy, of those that were done."""
        done = [row for row in self.rows if row["status"] == DONE]
        best = sorted(done, key=lambda row: float(row["energy_per_frame_j"]))[:MOST_SHOWN]
        heads = (*self.varied, "frames/s", "latency", "energy per frame", "cycles from")
        shown = f"least energy per frame: {len(best)} of {len(done)}"
        return (Table(f"{self.name}, {shown}", heads, [self._cells(row) for row in best]),)

    def _figure(self, graph_objects: Any) -> Any:
        """Energy per frame over frames per second, a point for each that was done."""
        done = [row for row in self.rows if row["status"] == DONE]
        points = graph_objects.Scatter(
            x=[row["throughput_fps"] for row in done],
            y=[row["energy_per_frame_j"] for row in done],
            text=[", ".join(f"{name} {row[name]}" for name in self.varied) for row in done],
            mode="markers",
        )
        figure = graph_objects.Figure(points)
        figure.update_layout(
            title=self.name,
            xaxis={"title": "frames per second", "type": "log"},
            yaxis={"title": "energy per frame (J, modelled)", "type": "log"},
            template="plotly_white",
        )
        return figure

    def _cells(self, row: Row) -> tuple[str, ...]:
        found = (_interval(row, "throughput_fps", ""), _interval(row, "latency_s", "s"))
        energy = _interval(row, "energy_per_frame_j", "J")
        return (*(str(row[name]) for name in self.varied), *found, energy, row["timing_kind"])


def _interval(row: Row, name: str, unit: str) -> str:
    ends = [row[f"{name}{end}"] for end in ("", "_low", "_high") if row.get(f"{name}{end}")]
    value, *others = (quantity(one, unit) if unit else count(one) for one in ends)
    return f"{value} [{', '.join(others)}]" if others else value


def joined(plan: Plan, results: Mapping[str, Row]) -> Iterator[Row]:
    """Every point of a plan with its result."""
    for point in plan.points:
        found = results.get(point.digest)
        accuracy = plan.accuracy.get(point.network)
        judged = results.get(accuracy.digest) if accuracy is not None else None
        yield table_row(point, found, judged, plan.facts.get(point.network, {}))


def table_row(
    point: Point,
    found: Row | None,
    judged: Row | None = None,
    facts: Mapping[str, str | int | None] | None = None,
) -> Row:
    """A point with its result, its network's accuracy, and what its network is."""
    if point.error:
        found = no_row(FAILED, point.error)
    elif found is None:
        found = no_row(_MISSING, "")
    kept = [name for name in columns() if name not in ("digest", *OF_THE_RUN, *ACCURACY)]
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in point.values.items()}
    mae = {name: None if judged is None else judged.get(name) for name in ACCURACY}
    mae[WHY_NO_MAE] = None if judged is None else judged["reason"]
    results = {name: found.get(name) for name in kept}
    return {**values, **(facts or {}), **results, **mae, "digest": point.digest}


def save(found: Exploration) -> Path:
    """Write the table as Parquet beside the results; the file is replaced whole."""
    parquet = load("pyarrow.parquet", "explore", "keep a table of an exploration")
    arrow = load("pyarrow", "explore", "keep a table of an exploration")
    path = found.folder / TABLES / f"{found.name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    table = arrow.Table.from_pylist(_typed(found.rows))
    with replacing(path) as temporary:
        parquet.write_table(table, temporary)
    return path


def _typed(rows: Sequence[Row]) -> list[Row]:
    """Rows whose columns each have one type: axes of several types become text."""
    mixed = {
        name
        for name in (rows[0] if rows else ())
        if len({type(r[name]) for r in rows if r[name] is not None} - {int, float}) > 1
        or {str, float} <= {type(r[name]) for r in rows}
        or {str, int} <= {type(r[name]) for r in rows}
    }
    return [
        {k: str(v) if k in mixed and v is not None else v for k, v in row.items()} for row in rows
    ]


def save_csv(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Rows as CSV, whole or not at all."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [])
    writer.writeheader()
    writer.writerows(rows)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())
