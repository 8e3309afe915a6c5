"""One page of HTML about an exploration: fronts, all points side by side, what each axis does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zapdeploy import version
from zapdeploy.benchmarks.report.blocks import Cell, Chart, Section, Table
from zapdeploy.benchmarks.report.page import page_html
from zapdeploy.errors import UsageError
from zapdeploy.explore.axes import OPTIONS
from zapdeploy.explore.effects import effects
from zapdeploy.explore.outcome import AT_RATE, DONE, columns
from zapdeploy.explore.pareto import Front, front
from zapdeploy.explore.pictures import factors, named, parallel, shares, shown, standings
from zapdeploy.explore.query import tables_in
from zapdeploy.extras import load
from zapdeploy.files import atomic_write

MOST_IN_TABLE = 200
SURE, OPEN, OUT = "on the front for sure", "perhaps on the front", "dominated for sure"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Goals:
    """Columns to make small and columns to make large."""

    minimize: tuple[str, ...]
    maximize: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.minimize, *self.maximize)


@dataclass(frozen=True, eq=False)
class Group:
    """Points that compete with each other, and their front."""

    name: str
    rows: tuple[Row, ...]
    front: Front

    def standing(self, index: int) -> str:
        if self.front.out[index]:
            return OUT
        return SURE if self.front.sure[index] else OPEN


def write_page(
    folder: str | Path,
    path: Path | None = None,
    *,
    table: str | None = None,
    minimize: Sequence[str] = (),
    maximize: Sequence[str] = (),
) -> Path:
    """The page of a table of a folder of `explore`, by default its newest, beside it.

    Raises UsageError for columns that are not there, and where Plotly is not installed.
    """
    source = _source(folder, table)
    rows = load("pyarrow.parquet", "explore", "read an exploration").read_table(source).to_pylist()
    done = [row for row in rows if row["status"] == DONE]
    if not done:
        raise UsageError(f"table must have a point that was done, not none ({source})")
    goals = _goals(done, tuple(minimize), tuple(maximize))
    sections = tuple(_sections(rows, done, goals))
    target = path or Path(folder) / f"{source.stem}.html"
    page = page_html(source.stem, version(), sections, brushed=True)
    with atomic_write(target) as file:
        file.write(page.encode())
    return target


def _source(folder: str | Path, name: str | None) -> Path:
    found = {path.stem: path for path in tables_in(folder)}
    if name is not None and name not in found:
        raise UsageError(f"--table must be one of {', '.join(found)}, not '{name}'")
    return found[name] if name is not None else tables_in(folder)[-1]


def _goals(done: Sequence[Row], minimize: tuple[str, ...], maximize: tuple[str, ...]) -> Goals:
    """What was asked for; else the error, where there is one, or the latency, and the energy."""
    for name in (*minimize, *maximize):
        if not isinstance(done[0].get(name), int | float) or name not in columns():
            known = [key for key in columns() if isinstance(done[0].get(key), float)]
            raise UsageError(f"objectives must be of {', '.join(known)}, not '{name}'")
    if minimize or maximize:
        return Goals(minimize, maximize)
    energy = AT_RATE if done[0].get(AT_RATE) is not None else "energy_per_frame_j"
    other = "mae" if any(row.get("mae") is not None for row in done) else "latency_s"
    return Goals((energy, other))


def groups(done: Sequence[Row], goals: Goals) -> list[Group]:
    """Fronts of each model by itself; of all models together where an error compares them."""
    together = "mae" in goals.all
    names = ["all"] if together else list(dict.fromkeys(str(row["model"]) for row in done))
    found = []
    for name in names:
        rows = tuple(
            row
            for row in done
            if (together or row["model"] == name)
            and all(row.get(goal) is not None for goal in goals.all)
        )
        if rows:
            found.append(Group(Path(name).name, rows, front(*_ends(rows, goals))))
    return found


def _ends(rows: Sequence[Row], goals: Goals) -> tuple[Any, Any, Any]:
    """Values, best ends and worst ends, all smaller-is-better [points, objectives]."""
    signs = np.array([1.0] * len(goals.minimize) + [-1.0] * len(goals.maximize))

    def of(end: str) -> Any:
        return np.array([[_value(row, f"{g}{end}", g) for g in goals.all] for row in rows]) * signs

    low, high = of("_low"), of("_high")
    return of(""), np.minimum(low, high), np.maximum(low, high)


def _value(row: Row, name: str, otherwise: str) -> float:
    return float(row[otherwise] if row.get(name) is None else row[name])


def axes_of(rows: Sequence[Row]) -> list[str]:
    """Names of what varies in a table."""
    names = [*OPTIONS, *(key for key in rows[0] if "." in key)]
    varied = [name for name in names if len({str(row.get(name)) for row in rows}) > 1]
    if "model" in varied and (parts := _parts_of_models(rows)):
        at = varied.index("model")
        varied[at : at + 1] = parts
    return varied


def _parts_of_models(rows: Sequence[Row]) -> list[str]:
    """What tells models from each other, where it is their network and context alone."""
    known = {(row["model"], row.get("network"), row.get("context")) for row in rows}
    if len({of[1:] for of in known}) < len(known) or any(of[2] is None for of in known):
        return []
    return [n for n in ("network", "context") if len({row[n] for row in rows}) > 1]


def _sections(rows: Sequence[Row], done: Sequence[Row], goals: Goals) -> Iterator[Section]:
    axes, found = axes_of(rows), groups(done, goals)
    statuses = [row["status"] for row in rows]
    counts = ", ".join(f"{statuses.count(one):,} {one}" for one in dict.fromkeys(statuses))
    kinds = ", ".join(sorted({str(row["timing_kind"]) for row in done}))
    yield Section(
        "answer",
        "What cannot be bettered",
        (
            f"{len(rows):,} points: {counts}. Times are {kinds}, energies modelled, with 90 % over "
            "the chips' assumptions; errors of forecasts have 95 % over stretches of time.",
            f"Looked for: {_sought(goals)}.",
            "A point is dominated for sure if another is better even with its worst ends against "
            "this one's best, and on the front for sure if no other could be better with its best "
            "ends against this one's worst. Ends are taken as independent; as points share a "
            "chip's assumptions and a recording's frames, the truth is less open than that.",
        ),
        (
            Chart(
                "front",
                "Fronts, with the intervals of their points",
                "The same points are in the table.",
                standings([_standing_rows(group, axes) for group in found], goals.all, axes),
                _front_table(found, goals, axes),
            ),
        ),
    )
    yield Section(
        "points",
        "All points",
        ("Drag along an axis to keep the points in a range of it; click to let go.",),
        (
            Chart(
                "parallel",
                "Every point that was done, from left to right",
                f"Parallel coordinates of {len(done):,} points; the table has the first.",
                parallel(done, axes, goals.all),
                _points_table(done, goals, axes),
            ),
        ),
    )
    yield Section("axes", "What each axis does", (_EFFECTS,), tuple(_effects(done, axes, goals)))


_EFFECTS = (
    "Shares of the variance of the logarithm, over points that were done; a pair's share is what "
    "its axes do beyond each alone."
)


def _sought(goals: Goals) -> str:
    least = [f"little {named(goal)}" for goal in goals.minimize]
    return ", ".join([*least, *(f"much {named(goal)}" for goal in goals.maximize)])


def _standing_rows(group: Group, axes: Sequence[str]) -> dict[tuple[str, str, bool], list[Row]]:
    """Rows by what they are called, where they stand, and whether their stated values are on the
    front: then they are drawn with their intervals."""
    found: dict[tuple[str, str, bool], list[Row]] = {}
    for index, row in enumerate(group.rows):
        name = str(row[axes[0]]) if group.name == "all" and axes else group.name
        stated = bool(group.front.stated[index])
        found.setdefault((Path(name).name, group.standing(index), stated), []).append(row)
    return found


def _effects(done: Sequence[Row], axes: Sequence[str], goals: Goals) -> Iterator[Chart]:
    for goal in goals.all:
        found = effects(done, axes, goal)
        yield Chart(
            f"shares-{goal}",
            f"{named(goal)}: what its differences are due to",
            "The same shares are in the table.",
            shares(found),
            _table(
                "shares of the variance",
                ("axes", "share"),
                [(" x ".join(e.names), f"{e.share:.1%}") for e in found],
            ),
        )
        yield Chart(
            f"factors-{goal}",
            f"{named(goal)} at each value, over its geometric mean",
            "The same factors are in the table.",
            factors(found, goal),
            _table(
                "factors",
                ("value", "times the mean"),
                [
                    (f"{e.names[0]}: {value}", f"{factor:.3f}")
                    for e in found
                    for value, factor in e.factors.items()
                ],
            ),
        )


def _front_table(found: Sequence[Group], goals: Goals, axes: Sequence[str]) -> Table:
    rows = [
        (*_cells(group.rows[i], axes, goals), group.standing(int(i)))
        for group in found
        for i in np.flatnonzero(group.front.stated)
    ]
    title = f"the front of the stated values, {min(len(rows), MOST_IN_TABLE)} of {len(rows)} points"
    columns = (*axes, *map(named, goals.all), "with intervals")
    return _table(title, columns, rows[:MOST_IN_TABLE], folded=False)


def _points_table(done: Sequence[Row], goals: Goals, axes: Sequence[str]) -> Table:
    rows = [_cells(row, axes, goals) for row in done[:MOST_IN_TABLE]]
    title = f"{len(rows)} of {len(done)} points; explore query has all"
    return _table(title, (*axes, *map(named, goals.all)), rows)


def _cells(row: Row, axes: Sequence[str], goals: Goals) -> tuple[str, ...]:
    return (*(Path(str(row[n])).name for n in axes), *(shown(row, goal) for goal in goals.all))


def _table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, folded: bool = True
) -> Table:
    cells = tuple(tuple(map(Cell, row)) for row in rows)
    return Table(title, tuple(columns), cells, folded=folded)
