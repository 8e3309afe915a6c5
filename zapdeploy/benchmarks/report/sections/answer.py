"""What was asked, first: does it keep up, with what margin, and what does a frame cost then."""

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
from zapdeploy.benchmarks.report.words import SYMBOLS, energy_cell, is_here, row_kind
from zapdeploy.benchmarks.results.comparison import Line, ModelComparison
from zapdeploy.benchmarks.results.published import MODEL as YARDSTICK
from zapdeploy.benchmarks.results.rows import Row, frames_per_joule
from zapdeploy.benchmarks.results.table import interval_text, si_text
from zapdeploy.quantities import Estimate

_SHOWN = 2  # devices a sentence names: the best of the simulated chips and the best measured one


def answer(data: ReportData) -> Section | None:
    """One sentence for each network that was run here, and one chart of what a frame costs."""
    rate = data.result.frame_rate_hz
    models = [m for m in ordered(data) if any(is_here(line.main) for line in m.lines)]
    if not models:
        return None
    text = tuple(_sentence(model, rate) for model in models)
    charts = () if rate is None else _charts(models, rate)
    return Section("answer", "Does it keep up, and what does a frame cost?", text, charts)


def ordered(data: ReportData) -> list[ModelComparison]:
    """The networks of the question first, the yardstick after them."""
    return sorted(data.comparison.models, key=lambda model: model.model == YARDSTICK)


def _sentence(model: ModelComparison, rate: float | None) -> str:
    chosen = _chosen(model)
    name = model_name(model.model)
    if model.model == YARDSTICK or rate is None:
        said = "; ".join(_efficiency(line) for line in chosen)
        return f"{name}: {said}." if said else f"{name}: not run here."
    return f"{name} at {rate:g} Hz: {'; '.join(_kept(line, rate) for line in chosen)}."


def _chosen(model: ModelComparison) -> list[Line]:
    """The first line of each kind of device that was run here: chips, and what was measured."""
    found: dict[str, Line] = {}
    for line in model.lines:
        if is_here(line.main):
            found.setdefault(row_kind(line.main), line)
    return list(found.values())[:_SHOWN]


def _efficiency(line: Line) -> str:
    per_joule = frames_per_joule(line.energy)
    rate = line.main.frames_per_s
    speed = "" if rate is None else f"{rate:,.0f} frames/s ({row_kind(line.main)})"
    if per_joule is None or line.energy is None:
        return f"{line.device} {speed}"
    words = f"{per_joule['value']:,.3g} frames/J ({line.energy.kind.value}, {line.main.boundary})"
    return f"{line.device} {speed}, {words}"


def _kept(line: Line, rate: float) -> str:
    """Whether one device keeps up, its margin, and a frame's joules with the waiting."""
    row = line.single_stream
    if row is None or row.latency_s is None:
        return f"{line.device}: no latency of single frames is known"
    slow, words = _slowest(row)
    share = slow * rate
    verdict = "keeps up" if row.meets_deadline(rate) else "does not keep up"
    said = (
        f"{line.device} {verdict}: {si_text(slow, 's')} {words} ({row_kind(row)}), "
        f"{share:.2g} of the {si_text(1 / rate, 's')} between frames"
    )
    energy = row.energy_at_frame_rate
    if energy is None:
        return said
    return (
        f"{said}; a frame costs {interval_text(energy)} with the waiting "
        f"({energy.kind.value}, {row.boundary})"
    )


def _slowest(row: Row) -> tuple[float, str]:
    """The latency that a verdict rests on, and what it is."""
    if row.paced is not None:
        tail = "at p99.9" if row.paced.count >= 1000 else "the slowest"
        words = f"{tail} of {row.paced.count} frames that came at that rate"
        return row.paced.tail_s, f"{words}{_back_to_back(row)}"
    if row.latency is not None:
        return row.latency.tail_s, f"at p99 of {row.latency.count:,} back to back"
    assert row.latency_s is not None
    return row.latency_s, "each time, host transfer included"


def _back_to_back(row: Row) -> str:
    """The usual latency at the frame rate beside that of calls without a pause between them."""
    if row.paced is None or row.latency is None:
        return ""
    paced, hurried = si_text(row.paced.p50_s, "s"), si_text(row.latency.p50_s, "s")
    return f", {paced} at p50 against {hurried} back to back"


def _charts(models: list[ModelComparison], rate: float) -> tuple[Chart, ...]:
    """Of the first network that has energies at the frame rate."""
    for model in models:
        found = [(line, e) for line in model.lines if (e := _at_rate(line)) is not None]
        if found:
            return (_chart(model, found, rate),)
    return ()


def _at_rate(line: Line) -> Estimate | None:
    return None if line.single_stream is None else line.single_stream.energy_at_frame_rate


def _chart(model: ModelComparison, found: list[tuple[Line, Estimate]], rate: float) -> Chart:
    names = [line.device for line, _ in found]
    ends = [end for _, energy in found for end in (energy.low or energy.value, energy.high)]
    figure = {
        "data": [_trace(found, kind) for kind in {energy.kind.value: 0 for _, energy in found}],
        "layout": {
            "height": 130 + names_height_px(names),
            "xaxis": log_axis("energy of a frame, waiting included (J)", ends),
            "yaxis": names_axis(names),
            "legend": LEGEND_BELOW,
        },
    }
    rows = [
        (line.device, energy_cell(energy), line.main.boundary, _verdict(line, rate))
        for line, energy in found
    ]
    title = f"{model_name(model.model)}: energy of a frame at {rate:g} Hz, waiting included"
    columns = ("device", "energy of a frame", "boundary", "keeps up")
    summary = "; ".join(f"{line.device} {si_text(energy.value, 'J')}" for line, energy in found)
    numbers = table(f"{title}, as a table", columns, rows, folded=True)
    return Chart("answer-energy", title, f"{title}: {summary}", figure, numbers)


def _verdict(line: Line, rate: float) -> str:
    row = line.single_stream
    return "yes" if row is not None and row.meets_deadline(rate) else "no"


def _trace(found: list[tuple[Line, Estimate]], kind: str) -> dict[str, Any]:
    shown = [(line, energy) for line, energy in found if energy.kind.value == kind]
    lows = [energy.low if energy.low > 0 else energy.value for _, energy in shown]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": kind,
        "showlegend": True,
        "meta": {"kind": kind},
        "x": [energy.value for _, energy in shown],
        "y": [wrapped(line.device) for line, _ in shown],
        "marker": {"size": 10, "symbol": SYMBOLS[kind]},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [energy.high - energy.value for _, energy in shown],
            "arrayminus": [e.value - low for (_, e), low in zip(shown, lows, strict=True)],
        },
        "hovertemplate": "%{y}: %{x:.3s}J<extra></extra>",
    }
