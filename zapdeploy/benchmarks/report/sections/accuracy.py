"""Accuracy over the forecast horizon, of rows that have it."""

from __future__ import annotations

from typing import Any

from zapdeploy.benchmarks.report.blocks import Chart, Section, table
from zapdeploy.benchmarks.report.data import ReportData, model_name
from zapdeploy.benchmarks.report.figures import LEGEND_BELOW, label
from zapdeploy.benchmarks.rows import Row


def accuracy(data: ReportData) -> Section | None:
    """None without a trained network: random weights have no accuracy."""
    rows = [row for row in data.result.rows if row.accuracy is not None and _steps(row)]
    if not rows:
        return None
    models = dict.fromkeys(row.model for row in rows)
    charts = tuple(
        _chart(model, index, [row for row in rows if row.model == model])
        for index, model in enumerate(models)
    )
    text = "Mean absolute error in dF/F at each step of the forecast, lower is better."
    return Section("accuracy", "Accuracy over the horizon", (text,), charts)


def _steps(row: Row) -> list[float]:
    return list((row.configuration or {}).get("mae_per_step", ()))


def _chart(model: str, index: int, rows: list[Row]) -> Chart:
    figure = {
        "data": [_trace(row) for row in rows],
        "layout": {
            "height": 420,
            "xaxis": {"title": {"text": "forecast step (frames)"}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": "MAE (dF/F)"}, "rangemode": "tozero"},
            "legend": LEGEND_BELOW,
        },
    }
    shown = [step for step in (1, 4, 8, 16, 32) if step <= min(len(_steps(row)) for row in rows)]
    columns = ("device", *(f"step {step}" for step in shown), "mean")
    cells = [
        (_name(row), *(f"{_steps(row)[step - 1]:.4f}" for step in shown), f"{row.accuracy:.4f}")
        for row in rows
    ]
    said = "; ".join(f"{_name(row)} {row.accuracy:.4f} on average" for row in rows)
    title = f"{model_name(model)}: error over the horizon"
    return Chart(
        f"accuracy-{index}", title, f"{title}: {said}", figure, table(title, columns, cells)
    )


def _name(row: Row) -> str:
    return f"{row.target} {row.precision}"


def _trace(row: Row) -> dict[str, Any]:
    steps = _steps(row)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": label(_name(row)),
        "x": list(range(1, len(steps) + 1)),
        "y": steps,
        "hovertemplate": "step %{x}: %{y:.4f}<extra></extra>",
    }
