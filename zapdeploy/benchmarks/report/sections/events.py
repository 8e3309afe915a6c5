"""What change costs: event-driven chips over their thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zapdeploy.benchmarks.report.blocks import Cell, Chart, Section, table
from zapdeploy.benchmarks.report.data import ReportData, model_name
from zapdeploy.benchmarks.report.figures import LEGEND_BELOW, label
from zapdeploy.benchmarks.report.words import energy_cell, percent
from zapdeploy.benchmarks.results.rows import Row
from zapdeploy.benchmarks.results.table import NOTHING, rate_text, si_text


def events(data: ReportData) -> Section | None:
    if not data.event_rows:
        return None
    networks = dict.fromkeys((row.model, row.precision) for row in data.event_rows)
    charts = tuple(
        _chart(f"{model_name(model)} {precision}", index, _rows_of(data, model, precision))
        for index, (model, precision) in enumerate(networks)
    )
    text = (
        "A neuron sends when its code has moved by the threshold or more: what is paid for is "
        "change. Events are counted in Lava's simulation (simulated) and priced as Loihi 1's: the "
        "energy is at most that, and leaves static power out (modelled)."
    )
    return Section("events", "Events", (text,), charts)


def _rows_of(data: ReportData, model: str, precision: str) -> list[Row]:
    found = [row for row in data.event_rows if (row.model, row.precision) == (model, precision)]
    return sorted(found, key=lambda row: _facts(row)["threshold"])


def _facts(row: Row) -> Mapping[str, Any]:
    return row.configuration or {}


def _chart(name: str, index: int, rows: list[Row]) -> Chart:
    trained = all(row.accuracy is not None for row in rows)
    title = f"{name}: events per frame by threshold"
    layout: dict[str, Any] = {
        "height": 420,
        "xaxis": {"title": {"text": "synaptic operations per frame"}, "type": "log"},
        "yaxis": {"title": {"text": "energy of the events, at most (J)"}, "exponentformat": "SI"},
        "legend": LEGEND_BELOW,
    }
    layout["yaxis"]["rangemode"] = "tozero"
    energies = [row.energy_per_frame.value if row.energy_per_frame else None for row in rows]
    traces = [_trace(rows, energies, "energy, at most", "%{y:.3s}J")]
    if trained:
        traces.append(
            {**_trace(rows, [row.accuracy for row in rows], "MAE", "MAE %{y:.4f}"), "yaxis": "y2"}
        )
        layout["yaxis2"] = {"title": {"text": "MAE (dF/F)"}, "overlaying": "y", "side": "right"}
        layout["yaxis2"] |= {"rangemode": "tozero", "showgrid": False}
    columns = ("threshold", "synaptic operations", "saved", "messages", "energy", "a step", "MAE")
    said = "; ".join(
        f"threshold {_facts(row)['threshold']}: {rate_text(_facts(row)['synaptic_ops'])} operations"
        for row in rows
    )
    numbers = table(title, columns, [_row(row) for row in rows])
    return Chart(f"events-{index}", title, said, {"data": traces, "layout": layout}, numbers)


def _trace(rows: list[Row], values: list[float | None], name: str, hover: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": label(name),
        "x": [_facts(row)["synaptic_ops"] for row in rows],
        "y": values,
        "text": [f"threshold {_facts(row)['threshold']}" for row in rows],
        "hovertemplate": f"%{{text}}: %{{x:.3s}} operations, {hover}<extra></extra>",
    }


def _row(row: Row) -> tuple[Cell | str, ...]:
    facts = _facts(row)
    return (
        str(facts["threshold"]),
        Cell(rate_text(facts["synaptic_ops"]), "simulated"),
        percent(facts["saved_share"]),
        Cell(rate_text(facts["messages"]), "simulated"),
        energy_cell(row.energy_per_frame, is_bound=row.energy_is_bound),
        Cell(si_text(facts["step_s"], "s"), "modelled"),
        NOTHING if row.accuracy is None else f"{row.accuracy:.4f}",
    )
