"""Energy per frame of every device, with its interval."""

from __future__ import annotations

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
from zapdeploy.benchmarks.report.words import SYMBOLS, energy_cell
from zapdeploy.benchmarks.results.comparison import Line, ModelComparison
from zapdeploy.benchmarks.results.table import si_text
from zapdeploy.quantities import Estimate, Provenance

_LIMIT_SYMBOL = "triangle-left"


def energy(data: ReportData) -> Section | None:
    charts = tuple(
        _chart(model, index)
        for index, model in enumerate(data.comparison.models)
        if any(line.energy for line in model.lines)
    )
    if not charts:
        return None
    text = (
        "Energy per frame at full speed. A bar is the interval that the assumptions leave open; a "
        "triangle is a limit: the energy is at most that. Boundaries differ; the table has them."
    )
    return Section("energy", "Energy", (text,), charts)


def _chart(model: ModelComparison, index: int) -> Chart:
    lines = [line for line in model.lines if line.energy]
    names = [line.device for line in lines]
    seen = [end for line in lines if line.energy for end in _ends(line, line.energy)]
    figure = {
        "data": [trace for kind in Provenance if (trace := _trace(lines, kind))],
        "layout": {
            "height": 140 + names_height_px(names),
            "xaxis": log_axis("energy per frame (J)", seen),
            "yaxis": names_axis(names),
            "legend": LEGEND_BELOW,
        },
    }
    rows = [
        (
            line.device,
            energy_cell(line.energy, is_bound=line.main.energy_is_bound),
            line.main.boundary,
            line.main.source,
        )
        for line in lines
    ]
    title = f"{model_name(model.model)}: energy per frame"
    columns = ("device", "energy per frame", "boundary", "source")
    numbers = table(f"{title}, as a table", columns, rows, folded=True)
    return Chart(f"energy-{index}", title, _summary(model.model, lines), figure, numbers)


def _trace(lines: list[Line], kind: Provenance) -> dict[str, Any] | None:
    """The devices whose energy is of that kind; None where there are none."""
    found = [(line, line.energy) for line in lines if line.energy and line.energy.kind is kind]
    if not found:
        return None
    ends = [_ends(line, one) for line, one in found]
    limits = [line.main.energy_is_bound for line, _ in found]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": kind.value,
        "showlegend": True,
        "meta": {"kind": kind.value},
        "x": [one.value for _, one in found],
        "y": [wrapped(line.device) for line, _ in found],
        "marker": {
            "size": 10,
            "symbol": [_LIMIT_SYMBOL if limit else SYMBOLS[kind.value] for limit in limits],
        },
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [high - one.value for (_, high), (_, one) in zip(ends, found, strict=True)],
            "arrayminus": [one.value - low for (low, _), (_, one) in zip(ends, found, strict=True)],
        },
        "hovertemplate": "%{y}: %{x:.3s}J<extra></extra>",
    }


def _ends(line: Line, energy: Estimate) -> tuple[float, float]:
    """Both ends of the bar. A limit has none, and zero has no place on a logarithmic axis."""
    if line.main.energy_is_bound:
        return energy.value, energy.value
    return energy.low if energy.low > 0 else energy.value, energy.high


def _summary(model: str, lines: list[Line]) -> str:
    said = [f"{line.device} {si_text(line.energy.value, 'J')}" for line in lines if line.energy]
    return f"Energy per frame of {model}, lowest first: {'; '.join(said)}"
