"""Accuracy over the forecast horizon, of rows that have it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

from zapdeploy.benchmarks.models.workloads import PRECISIONS
from zapdeploy.benchmarks.report.blocks import Cell, Chart, Section, table
from zapdeploy.benchmarks.report.data import ReportData, model_name
from zapdeploy.benchmarks.report.figures import LEGEND_BELOW, label
from zapdeploy.benchmarks.report.words import row_kind
from zapdeploy.benchmarks.results.comparison import ModelComparison
from zapdeploy.benchmarks.results.rows import Horizon, Row

STEPS = (1, 4, 8, 16, 32, 64, 128)  # of the forecast, counted from 1
NAIVE = "naive mean of the last frames"
# Open, so that marks on the same spot are all seen.
SYMBOLS = ("circle-open", "square-open", "diamond-open", "cross-open", "triangle-up-open")
Curve = tuple[str, str, Sequence[float]]  # name, kind, the error at each step


def accuracy(data: ReportData) -> Section | None:
    """None without a trained network: random weights have no accuracy."""
    found = [one for model in data.comparison.models for one in _groups(model)]
    if not found:
        return None
    charts = tuple(_chart(*one, index) for index, one in enumerate(found))
    text = (
        "Mean absolute error in dF/F at each step of the forecast, lower is better; means over "
        "neurons and the windows that are named."
    )
    return Section("accuracy", "Accuracy over the horizon", (text,), charts)


def _groups(model: ModelComparison) -> list[tuple[str, str, list[Curve]]]:
    """Curves over the same windows, which are comparable, under the model's name; float first."""
    groups: dict[str, tuple[Horizon, list[Curve]]] = {}
    for line in sorted(model.lines, key=lambda line: _rank(line.judged)):
        row = line.judged
        if row.horizon is not None:
            _, curves = groups.setdefault(row.horizon.windows, (row.horizon, []))
            curves.append((line.device, row_kind(row), row.horizon.mae))
    return [
        (model_name(model.model), windows, [*curves, *_naive(horizon)])
        for windows, (horizon, curves) in groups.items()
    ]


def _rank(row: Row) -> int:
    return PRECISIONS.index(row.precision) if row.precision in PRECISIONS else len(PRECISIONS)


def _naive(horizon: Horizon) -> list[Curve]:
    return [(NAIVE, "measured", horizon.naive)] if horizon.naive else []


def _chart(model: str, windows: str, curves: list[Curve], index: int) -> Chart:
    figure = {
        "data": [_trace(*curve, symbol) for curve, symbol in zip(curves, cycle(SYMBOLS))],
        "layout": {
            "height": 420,
            "xaxis": {"title": {"text": "forecast step (frames)"}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": "mean absolute error"}, "rangemode": "tozero"},
            "legend": LEGEND_BELOW,
        },
    }
    steps = tuple(step for step in STEPS if step <= len(curves[0][2]))
    columns = ("device", *(f"step {step}" for step in steps), "mean")
    cells = [_cells(*curve, steps) for curve in curves]
    said = "; ".join(f"{name} {_mean(mae):.4f} on average" for name, _, mae in curves)
    title = f"{model}: error over the horizon ({windows})"
    return Chart(
        f"accuracy-{index}", title, f"{title}: {said}", figure, table(title, columns, cells)
    )


def _cells(name: str, kind: str, mae: Sequence[float], steps: Sequence[int]) -> list[Cell | str]:
    shown = (*(mae[step - 1] for step in steps), _mean(mae))
    return [name, *(Cell(f"{value:.4f}", kind) for value in shown)]


def _mean(mae: Sequence[float]) -> float:
    return sum(mae) / len(mae)


def _trace(name: str, kind: str, mae: Sequence[float], symbol: str) -> dict[str, Any]:
    """Simulated curves are dashed, as they often lie on a measured one."""
    return {
        "type": "scatter",
        "mode": "lines" if name == NAIVE else "lines+markers",
        "name": label(name),
        "x": list(range(1, len(mae) + 1)),
        "y": list(mae),
        "line": {"dash": "dot" if name == NAIVE else "dash" if kind == "simulated" else "solid"},
        "marker": {"symbol": symbol, "size": 8},
        "hovertemplate": "step %{x}: %{y:.4f}<extra></extra>",
    }
