"""What the page of an exploration draws: figures as plotly has them, without colours, which are the
page's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import log10
from pathlib import Path
from typing import Any

from zapdeploy.benchmarks.report.figures import (
    LEGEND_BELOW,
    label,
    log_axis,
    names_axis,
    names_height_px,
    wrapped,
)
from zapdeploy.explore.effects import Effect, levels_of
from zapdeploy.formatting import count, quantity

_SHOWN = 12  # axes of a picture
_LEAST_SHARE, _MOST_SHARES = 0.001, 20
_APART = 3.0  # values that lie further apart have a logarithmic axis
_UNITS = {"j": "J", "s": "s", "w": "W", "bytes": "B", "fps": "frames/s"}
_ENDING = re.compile(rf"(.+)_({'|'.join(_UNITS)})")
Row = Mapping[str, Any]
Standing = Mapping[tuple[str, str, bool], Sequence[Row]]
Figure = dict[str, Any]


def named(column: str) -> str:
    """A column as people call it: energy_per_frame_j is "energy per frame"."""
    if column == "mae":
        return "mean absolute error"
    found = _ENDING.fullmatch(column)
    return (found[1] if found else column).replace("_", " ")


def shown(row: Row, column: str) -> str:
    """A value with its unit, and its interval where it has one."""
    unit = _unit(column)

    def text(value: float) -> str:
        if unit == "frames/s":
            return f"{count(value)}/s"
        return quantity(value, unit) if unit else f"{value:.4g}"

    low, high = row.get(f"{column}_low"), row.get(f"{column}_high")
    ends = "" if low is None or high is None else f" [{text(low)}, {text(high)}]"
    return text(row[column]) + ends


def _unit(column: str) -> str:
    found = _ENDING.fullmatch(column)
    return _UNITS[found[2]] if found else ""


def _title(column: str) -> str:
    unit = _unit(column)
    return f"{named(column)} ({unit})" if unit else named(column)


def standings(groups: Sequence[Standing], goals: Sequence[str], axes: Sequence[str]) -> Figure:
    """The first two goals, or the first twice where there is no second; a colour for each name."""
    x, y = (tuple(goals) * 2)[:2]
    names = list(dict.fromkeys(name for group in groups for name, _, _ in group))
    traces = [
        _points(rows, (x, y), axes, name, standing, stated, names.index(name))
        for group in groups
        for (name, standing, stated), rows in sorted(group.items(), key=lambda item: item[0][2])
    ]
    layout = {"height": 520, "legend": LEGEND_BELOW, "margin": {"l": 10, "r": 14, "t": 16, "b": 90}}
    rows = [row for group in groups for of in group.values() for row in of]
    return {"data": traces, "layout": {**layout, "xaxis": _axis(x, rows), "yaxis": _axis(y, rows)}}


def _points(
    rows: Sequence[Row],
    goals: tuple[str, str],
    axes: Sequence[str],
    name: str,
    standing: str,
    stated: bool,
    colour: int,
) -> Figure:
    x, y = goals
    bars = {"error_x": _bars(rows, x), "error_y": _bars(rows, y)} if stated else {}
    sure = standing.endswith("front for sure")
    marker = {
        "symbol": "star" if sure else "circle" if stated else "circle-open",
        "size": 11 if sure else 9 if stated else 7,
        "color": _COLOURS[colour % len(_COLOURS)],
        "opacity": 0.45 if standing.startswith("dominated") else 1.0,
    }
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [row[x] for row in rows],
        "y": [row[y] for row in rows],
        "text": [_words(row, axes, goals) for row in rows],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": marker,
        "name": label(f"{name}, {'stated best' if stated else 'others'}, {standing}"),
        **bars,
    }


# Of the middle of their range, to be seen on white and on black.
_COLOURS = ("#3b82c4", "#d9772b", "#2f9e6e", "#b15fc0", "#c9504d", "#8a8f2d", "#4aa5b5", "#9a7356")


def _axis(goal: str, rows: Sequence[Row]) -> Figure:
    values = [
        row[name] for row in rows for name in (goal, f"{goal}_low", f"{goal}_high") if row.get(name)
    ]
    if min(values) > 0 and max(values) > _APART * min(values):
        return log_axis(_title(goal), values)
    return {"title": {"text": _title(goal)}, "exponentformat": "SI"}


def _bars(rows: Sequence[Row], name: str) -> Figure:
    def ends(end: str) -> list[float]:
        return [row[name] if row.get(name + end) is None else row[name + end] for row in rows]

    up = [high - row[name] for high, row in zip(ends("_high"), rows, strict=True)]
    down = [row[name] - low for low, row in zip(ends("_low"), rows, strict=True)]
    return {"type": "data", "array": up, "arrayminus": down, "thickness": 0.8, "width": 0}


def _words(row: Row, axes: Sequence[str], goals: Sequence[str]) -> str:
    of_axes = [f"{name}: {Path(str(row[name])).name}" for name in axes]
    return "<br>".join(map(label, [*of_axes, *(f"{named(g)}: {shown(row, g)}" for g in goals)]))


def parallel(done: Sequence[Row], axes: Sequence[str], goals: Sequence[str]) -> Figure:
    """Every point as a line through its values."""
    dimensions = []
    for name in axes[:_SHOWN]:
        known = levels_of(done, name)
        place = {value: index for index, value in enumerate(known)}
        dimensions.append(
            {
                "label": label(name.rpartition(".")[2] if len(name) > 16 else name),
                "values": [place[str(row[name])] for row in done],
                "tickvals": list(range(len(known))),
                "ticktext": [label(Path(value).name) for value in known],
            }
        )
    for goal in goals:
        logs = [log10(row[goal]) if (row.get(goal) or 0) > 0 else None for row in done]
        dimensions.append({"label": label(named(goal)), "values": logs, **_ticks(logs, goal)})
    line = {"color": dimensions[-1]["values"], "colorscale": "Viridis"}
    trace = {"type": "parcoords", "line": line, "dimensions": dimensions, "labelangle": -15}
    layout = {"height": 460, "margin": {"l": 60, "r": 60, "t": 70, "b": 24}}
    return {"data": [trace], "layout": layout}


def _ticks(logs: Sequence[float | None], goal: str) -> Figure:
    found = [value for value in logs if value is not None]
    low, high = min(found, default=0.0), max(found, default=1.0)
    at = [low + (high - low) * step / 4 for step in range(5)]
    return {"tickvals": at, "ticktext": [shown({goal: 10**value}, goal) for value in at]}


def shares(found: Sequence[Effect]) -> Figure:
    """Bars of what axes, and pairs of them, explain."""
    most = [effect for effect in found if effect.share >= _LEAST_SHARE][:_MOST_SHARES]
    names = [" x ".join(effect.names) for effect in most]
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": [wrapped(name) for name in names],
        "x": [effect.share for effect in most],
        "marker": {"color": _COLOURS[0]},
        "hovertemplate": "%{y}: %{x:.1%}<extra></extra>",
    }
    layout = {
        "height": 90 + names_height_px(names),
        "xaxis": {"title": {"text": "share of the variance"}, "tickformat": ".0%"},
        "yaxis": names_axis(names),
    }
    return {"data": [bars], "layout": layout}


def factors(found: Sequence[Effect], goal: str) -> Figure:
    """Main effects: the result at each value of an axis over its geometric mean."""
    mains = [effect for effect in found if len(effect.names) == 1][:_SHOWN]
    names = [_valued(e, value) for e in mains for value in e.factors]
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "y": [wrapped(_valued(effect, value)) for value in effect.factors],
            "x": [float(factor) for factor in effect.factors.values()],
            "marker": {"color": _COLOURS[index % len(_COLOURS)]},
            "line": {"color": _COLOURS[index % len(_COLOURS)]},
            "hovertemplate": "%{y}: %{x:.3f}<extra></extra>",
            "name": label(effect.names[0]),
        }
        for index, effect in enumerate(mains)
    ]
    values = [float(factor) for e in mains for factor in e.factors.values()]
    wide = values and max(values) > _APART * min(values)
    title = {"title": {"text": f"{named(goal)}, times its mean"}}
    layout = {
        "height": 90 + names_height_px(names),
        "showlegend": False,
        "xaxis": log_axis(title["title"]["text"], values) if wide else title,
        "yaxis": names_axis(names),
    }
    return {"data": traces, "layout": layout}


def _valued(effect: Effect, value: Any) -> str:
    return f"{effect.names[0]}: {Path(str(value)).name}"
