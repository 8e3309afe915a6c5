"""Every layer under the roof that memory and arithmetic set, per chip."""

from __future__ import annotations

from itertools import cycle
from typing import Any

from zapdeploy.benchmarks.report.blocks import Chart, Section, table
from zapdeploy.benchmarks.report.data import ReportData, Simulated
from zapdeploy.benchmarks.report.figures import LEGEND_BELOW, label
from zapdeploy.benchmarks.report.words import percent
from zapdeploy.benchmarks.results.table import NOTHING

_SYMBOLS = ("circle", "square", "diamond", "cross", "x", "triangle-up", "star", "hexagon")
_ROOF_COLOUR = "#8591a3"  # to be seen on light and on dark paper


def roofline(data: ReportData) -> Section | None:
    targets = dict.fromkeys(one.details.target for one in data.simulated if one.details.roofline)
    if not targets:
        return None
    charts = tuple(
        _chart(target, index, [s for s in data.simulated if s.details.target == target])
        for index, target in enumerate(targets)
    )
    text = (
        "A point is a layer with matrix work: its operations per byte through the cores' memory "
        "ports, and the rate that its schedule attains (simulated). The slope is the memory ports' "
        "bandwidth, the ceilings are the matrix units' peaks at each width. A point far below its "
        "roof waits for something else: the table of layers names it."
    )
    return Section("roofline", "Roofline", (text,), charts)


def _chart(target: str, index: int, simulated: list[Simulated]) -> Chart:
    drawn = [one for one in simulated if one.details.roofline]
    points = [_points(one, symbol) for one, symbol in zip(drawn, cycle(_SYMBOLS), strict=False)]
    figure = {
        "data": [*_roofs(simulated), *points],
        "layout": {
            "height": 520 + 18 * len(points),
            "xaxis": {"title": {"text": "operations per byte"}, "type": "log"},
            "yaxis": {
                "title": {"text": "operations/s"},
                "type": "log",
                "exponentformat": "SI",
            },
            "legend": LEGEND_BELOW,
        },
    }
    rows = [
        (
            one.name,
            str(len(one.details.roofline)),
            *_shares(one),
            one.details.limiter.replace("_", " "),
        )
        for one in simulated
    ]
    columns = (
        "network",
        "layers",
        "best layer, of its roof",
        "median layer",
        "what limits the network",
    )
    title = f"{target}: roofline"
    said = "; ".join(f"{row[0]}: best layer at {row[2]} of its roof" for row in rows)
    return Chart(
        f"roofline-{index}", title, f"Roofline. {said}", figure, table(title, columns, rows)
    )


def _points(one: Simulated, symbol: str) -> dict[str, Any]:
    roofs = one.details.roofline
    return {
        "type": "scatter",
        "mode": "markers",
        "name": label(one.short_name),
        "x": [roof.operations_per_byte for roof in roofs],
        "y": [roof.attained_ops_s for roof in roofs],
        "text": [label(roof.layer) for roof in roofs],
        "marker": {"size": 8, "opacity": 0.8, "symbol": symbol},
        "hovertemplate": "%{text}<br>%{x:.3g} op/B<br>%{y:.3s} op/s<extra></extra>",
    }


def _roofs(simulated: list[Simulated]) -> list[dict[str, Any]]:
    """One line per width of the multipliers, over the range of the points."""
    details = simulated[0].details
    found = [roof.operations_per_byte for one in simulated for roof in one.details.roofline]
    knees = [peak / details.bandwidth_bytes_s for peak in details.peak_ops_s.values()]
    low, high = min(found + knees) / 3, max(found + knees) * 3
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": f"{bits}-bit roof",
            "x": [low, peak / details.bandwidth_bytes_s, high],
            "y": [low * details.bandwidth_bytes_s, peak, peak],
            "line": {"width": 1.5, "dash": dash, "color": _ROOF_COLOUR},
            "hoverinfo": "skip",
        }
        for (bits, peak), dash in zip(
            details.peak_ops_s.items(), ("solid", "dash", "dot", "dashdot"), strict=False
        )
    ]


def _shares(one: Simulated) -> tuple[str, str]:
    """Best and median layer, as shares of their roofs."""
    shares = sorted(roof.attained_ops_s / roof.roof_ops_s for roof in one.details.roofline)
    if not shares:
        return NOTHING, NOTHING
    return percent(shares[-1]), percent(shares[len(shares) // 2])
