"""Latency of one frame against the deadlines of microscopes."""

from __future__ import annotations

from math import log10
from typing import Any

from zapdeploy.benchmarks.report.blocks import Chart, Section, table
from zapdeploy.benchmarks.report.data import ReportData, model_name
from zapdeploy.benchmarks.report.figures import (
    LEGEND_BELOW,
    log_axis,
    names_axis,
    names_height_px,
    wrapped,
)
from zapdeploy.benchmarks.report.words import SYMBOLS, latency_cells, row_kind
from zapdeploy.benchmarks.results.comparison import ModelComparison
from zapdeploy.benchmarks.results.deadlines import DEADLINES
from zapdeploy.benchmarks.results.rows import Row
from zapdeploy.benchmarks.results.table import si_text

Timed = tuple[str, Row, float]  # device, its row, its median latency [s]


def latency(data: ReportData) -> Section | None:
    charts = tuple(
        _chart(model.model, index, timed)
        for index, model in enumerate(data.comparison.models)
        if (timed := _timed(model))
    )
    if not charts:
        return None
    names = "; ".join(f"{one.text}, {one.what}" for one in DEADLINES)
    text = (
        "One frame at a time, from the frame at the host to the result there. A measured latency's "
        "bar ends at its 99th percentile, which is what has to meet a deadline."
    )
    return Section("latency", "Latency", (text, f"The dotted lines: {names}."), charts)


def _timed(model: ModelComparison) -> list[Timed]:
    """The fastest first."""
    found = [
        (line.device, line.single_stream, line.single_stream.latency_s)
        for line in model.lines
        if line.single_stream is not None and line.single_stream.latency_s is not None
    ]
    return sorted(found, key=lambda one: one[2])


def _chart(model: str, index: int, timed: list[Timed]) -> Chart:
    names = [device for device, _, _ in timed]
    seen = [
        seconds for _, row, median in timed for seconds in (median, row.latency_p99_s or median)
    ]
    figure = {
        "data": [trace for kind in SYMBOLS if (trace := _trace(timed, kind))],
        "layout": {
            "height": 190 + names_height_px(names),
            "xaxis": log_axis("latency (s)", [*seen, *(one.seconds for one in DEADLINES)]),
            "yaxis": names_axis(names),
            "legend": LEGEND_BELOW,
            "margin": {"l": 10, "r": 24, "t": 62, "b": 10},
            **_deadline_lines(),
        },
    }
    title = f"{model_name(model)}: latency of one frame"
    rows = [(device, *latency_cells(row), row.source) for device, row, _ in timed]
    columns = ("device", "median", "99th percentile", "source")
    said = "; ".join(f"{device} {si_text(seconds, 's')}" for device, _, seconds in timed)
    summary = f"Latency of one frame of {model}, fastest first: {said}"
    numbers = table(f"{title}, as a table", columns, rows, folded=True)
    return Chart(f"latency-{index}", title, summary, figure, numbers)


def _trace(timed: list[Timed], kind: str) -> dict[str, Any] | None:
    """The devices whose latency is of that kind; None where there are none."""
    found = [one for one in timed if row_kind(one[1]) == kind]
    if not found:
        return None
    tails = [(row.latency_p99_s or seconds) - seconds for _, row, seconds in found]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": kind,
        "showlegend": True,
        "meta": {"kind": kind},
        "x": [seconds for _, _, seconds in found],
        "y": [wrapped(device) for device, _, _ in found],
        "marker": {"size": 10, "symbol": SYMBOLS[kind]},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [max(tail, 0.0) for tail in tails],
            "arrayminus": [0.0] * len(found),
        },
        "hovertemplate": "%{y}: %{x:.3s}s<extra></extra>",
    }


def _deadline_lines() -> dict[str, Any]:
    """A line for each deadline, named above the chart."""
    line = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "line": {"dash": "dot", "width": 1}}
    name = {"yref": "paper", "y": 1, "yanchor": "bottom", "showarrow": False, "textangle": -90}
    return {
        "shapes": [{**line, "x0": one.seconds, "x1": one.seconds} for one in DEADLINES],
        # An annotation on a logarithmic axis is placed by the exponent.
        "annotations": [{**name, "x": log10(one.seconds), "text": one.text} for one in DEADLINES],
    }
