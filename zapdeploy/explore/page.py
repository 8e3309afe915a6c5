"""One page of HTML about an exploration: fronts, all points side by side, what each axis does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from zapdeploy import version
from zapdeploy.errors import UsageError
from zapdeploy.explore.axes import OPTIONS
from zapdeploy.explore.effects import Effect, effects
from zapdeploy.explore.outcome import AT_RATE, DONE, columns
from zapdeploy.explore.pareto import Front, front
from zapdeploy.explore.query import tables_in
from zapdeploy.extras import load
from zapdeploy.files import atomic_write
from zapdeploy.tables import Table

MOST_IN_TABLE = 200
_SHOWN = 12  # axes of a picture
_SURE, _OPEN, _OUT = "on the front for sure", "perhaps on the front", "dominated for sure"
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
            return _OUT
        return _SURE if self.front.sure[index] else _OPEN


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
    source = _table(folder, table)
    rows = load("pyarrow.parquet", "explore", "read an exploration").read_table(source).to_pylist()
    done = [row for row in rows if row["status"] == DONE]
    if not done:
        raise UsageError(f"table must have a point that was done, not none ({source})")
    goals = _goals(done, tuple(minimize), tuple(maximize))
    page = "\n".join(_page(source.stem, rows, done, goals))
    target = path or Path(folder) / f"{source.stem}.html"
    with atomic_write(target) as file:
        file.write(page.encode())
    return target


def _table(folder: str | Path, name: str | None) -> Path:
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


def _page(name: str, rows: Sequence[Row], done: Sequence[Row], goals: Goals) -> Iterator[str]:
    graph = load("plotly.graph_objects", "explore", "draw an exploration")
    axes, found = axes_of(rows), groups(done, goals)
    style = resources.files("zapdeploy.benchmarks.report").joinpath("style.css").read_text("utf-8")
    yield "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
    yield f"<title>{escape(name)}</title><style>{style}</style></head>"
    yield f"<body><h1>{escape(name)}</h1>"
    statuses = [row["status"] for row in rows]
    counts = ", ".join(f"{statuses.count(one):,} {one}" for one in dict.fromkeys(statuses))
    kinds = ", ".join(sorted({str(row["timing_kind"]) for row in done}))
    yield f"<p>Made by zapdeploy {version()}. {len(rows):,} points: {counts}. "
    yield f"Times are {kinds}, energies modelled; intervals are 90 % over the chips' assumptions."
    yield "</p>"
    yield "<section><h2>What cannot be bettered</h2>"
    yield (
        f"<p>Objectives: {escape(', '.join(goals.all))}. A point is dominated for sure if another "
        "is better even with its worst ends against this one's best, and on the front for sure if "
        "no other could be better with its best ends against this one's worst. The ends are taken "
        "as independent; as points share a chip's assumptions, the truth is less open than that."
        "</p>"
    )
    yield _drawn(_pareto(graph, found, goals, axes), first=True)
    yield _front_table(found, goals, axes).html() + "</section>"
    yield "<section><h2>All points</h2>"
    yield _drawn(_parallel(graph, done, axes, goals)) + "</section>"
    yield "<section><h2>What each axis does</h2><p>Shares of the variance of the logarithm, over "
    yield "points that were done; a pair's share is what its axes do beyond each alone.</p>"
    for goal in goals.all:
        of_goal = effects(done, axes, goal)
        yield f"<h3>{escape(goal)}</h3>"
        yield _drawn(_shares(graph, of_goal)) + _drawn(_factors(graph, of_goal, goal))
    yield "</section></body></html>"


def _drawn(figure: Any, first: bool = False) -> str:
    """A figure as HTML; the first one brings plotly.js along."""
    figure.update_layout(template="plotly_white", margin={"t": 40})
    return str(figure.to_html(full_html=False, include_plotlyjs=first))


def _pareto(graph: Any, found: Sequence[Group], goals: Goals, axes: Sequence[str]) -> Any:
    """The first two objectives, or the first one's distribution where there is no second."""
    x, y = (goals.all * 2)[:2]
    symbols = {_SURE: "star", _OPEN: "circle", _OUT: "circle-open"}
    traces = []
    for group in found:
        for standing, symbol in symbols.items():
            at = [i for i in range(len(group.rows)) if group.standing(i) == standing]
            rows = [group.rows[i] for i in at]
            if rows:
                traces.append(
                    graph.Scatter(
                        x=[row[x] for row in rows],
                        y=[row[y] for row in rows],
                        error_x=_bars(rows, x) if standing != _OUT else None,
                        error_y=_bars(rows, y) if standing != _OUT else None,
                        text=[_words(row, axes) for row in rows],
                        mode="markers",
                        marker={"symbol": symbol, "opacity": 0.35 if standing == _OUT else 1.0},
                        name=f"{group.name}, {standing}",
                    )
                )
    figure = graph.Figure(traces)
    figure.update_xaxes(title=x, type="log")
    figure.update_yaxes(title=y, type="log")
    return figure


def _bars(rows: Sequence[Row], name: str) -> dict[str, Any]:
    up = [_value(row, f"{name}_high", name) - row[name] for row in rows]
    down = [row[name] - _value(row, f"{name}_low", name) for row in rows]
    return {"array": up, "arrayminus": down, "thickness": 0.6, "width": 0}


def _words(row: Row, axes: Sequence[str]) -> str:
    return "<br>".join(escape(f"{name}: {row[name]}") for name in axes)


def _front_table(found: Sequence[Group], goals: Goals, axes: Sequence[str]) -> Table:
    rows = [
        (
            *(str(group.rows[i][name]) for name in axes),
            *(_with_ends(group.rows[i], goal) for goal in goals.all),
            group.standing(int(i)),
        )
        for group in found
        for i in np.flatnonzero(group.front.stated)
    ]
    title = f"the front of the stated values, {min(len(rows), MOST_IN_TABLE)} of {len(rows)} points"
    return Table(title, (*axes, *goals.all, "with intervals"), rows[:MOST_IN_TABLE])


def _with_ends(row: Row, name: str) -> str:
    if row.get(f"{name}_low") is None:
        return f"{row[name]:.4g}"
    return f"{row[name]:.4g} [{row[f'{name}_low']:.3g}, {row[f'{name}_high']:.3g}]"


def _parallel(graph: Any, done: Sequence[Row], axes: Sequence[str], goals: Goals) -> Any:
    dimensions = []
    for name in axes[:_SHOWN]:
        values = [str(row[name]) for row in done]
        known = list(dict.fromkeys(values))
        place = {value: index for index, value in enumerate(known)}
        dimensions.append(
            {
                "label": name,
                "values": [place[value] for value in values],
                "tickvals": list(range(len(known))),
                "ticktext": [Path(value).name for value in known],
            }
        )
    for goal in goals.all:
        logs = [float(np.log10(row[goal])) if row.get(goal) else None for row in done]
        dimensions.append({"label": f"log10 {goal}", "values": logs})
    line = {"color": dimensions[-1]["values"], "colorscale": "Viridis", "showscale": True}
    return graph.Figure(graph.Parcoords(line=line, dimensions=dimensions))


def _shares(graph: Any, found: Sequence[Effect]) -> Any:
    shown = [effect for effect in found if effect.share >= 0.001][:20]
    figure = graph.Figure(
        graph.Bar(
            y=[" x ".join(effect.names) for effect in shown],
            x=[effect.share for effect in shown],
            orientation="h",
        )
    )
    figure.update_xaxes(title="share of the variance", tickformat=".0%")
    figure.update_yaxes(autorange="reversed", automargin=True)
    return figure


def _factors(graph: Any, found: Sequence[Effect], goal: str) -> Any:
    """Main effects: the result at each value of an axis over its geometric mean."""
    mains = [effect for effect in found if len(effect.names) == 1][:_SHOWN]
    figure = graph.Figure(
        [
            graph.Scatter(
                x=[f"{effect.names[0]}: {Path(str(value)).name}" for value in effect.factors],
                y=[float(factor) for factor in effect.factors.values()],
                mode="lines+markers",
                name=effect.names[0],
            )
            for effect in mains
        ]
    )
    figure.update_yaxes(title=f"{goal}, times its mean", type="log")
    figure.update_xaxes(automargin=True)
    return figure
