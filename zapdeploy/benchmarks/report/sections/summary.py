"""Every device of every model side by side, and the deadlines it meets."""

from __future__ import annotations

from zapdeploy.benchmarks.report.blocks import Cell, Section, Table, table
from zapdeploy.benchmarks.report.data import ReportData, model_name
from zapdeploy.benchmarks.report.sections.answer import ordered
from zapdeploy.benchmarks.report.words import (
    EMPTY,
    energy_cell,
    is_here,
    latency_cells,
    per_watt_cell,
    rate_cell,
    row_kind,
)
from zapdeploy.benchmarks.results.comparison import Line, ModelComparison
from zapdeploy.benchmarks.results.deadlines import DEADLINES
from zapdeploy.benchmarks.results.published import MODEL
from zapdeploy.benchmarks.results.table import BOUNDARY_WORDS, NOTHING, times_text
from zapdeploy.benchmarks.results.wide_table import accuracy_text

Cells = tuple[Cell | str, ...]


def summary(data: ReportData) -> Section:
    models = [model for model in ordered(data) if model.lines]
    blocks: list[Table] = []
    for model in models:
        here = [line for line in model.lines if is_here(line.main)]
        others = [line for line in model.lines if not is_here(line.main)]
        if here:
            blocks += [*_numbers(model, here, data, ""), _deadlines(model)]
        if others:
            blocks += _numbers(model, others, data, " of others, published", folded=bool(here))
    if any(model.model == MODEL for model in models):
        blocks.append(_ratios(data))
    return Section("summary", "All devices", _notes(data), tuple(blocks))


def _numbers(
    model: ModelComparison, lines: list[Line], data: ReportData, whose: str, folded: bool = False
) -> list[Table]:
    """Speed and energy of these lines."""
    name, rate = model_name(model.model), data.result.frame_rate_hz
    return [
        table(f"{name}: {what}{whose}", columns, rows, folded=folded)
        for what, columns, rows in (
            ("speed", *_speed(model, lines)),
            ("energy", *_energy(model, lines, rate)),
        )
        if rows
    ]


def _speed(model: ModelComparison, lines: list[Line]) -> tuple[tuple[str, ...], list[Cells]]:
    columns = (
        *("device", "frames/s", "batch", "latency p50", "latency p99", "limited by"),
        *("frames/s per billion transistors", "accuracy"),
        *((f"speed / {model.baseline}",) if model.baseline else ()),
    )
    return columns, [(*_speed_cells(line), *_speed_ratio(model, line)) for line in lines]


def _speed_cells(line: Line) -> Cells:
    row = line.main
    return (
        line.device,
        rate_cell(row, row.frames_per_s),
        NOTHING if row.batch is None else str(row.batch),
        *latency_cells(line.single_stream),
        row.limiter.replace("_", " ") or NOTHING,
        rate_cell(row, row.frames_per_s_per_billion_transistors),
        _accuracy_cell(line),
    )


def _accuracy_cell(line: Line) -> Cell:
    judged = line.judged
    return EMPTY if judged.accuracy is None else Cell(accuracy_text(line), row_kind(judged))


def _speed_ratio(model: ModelComparison, line: Line) -> tuple[str, ...]:
    if model.baseline is None:
        return ()
    return (NOTHING if line.speed_ratio is None else times_text(line.speed_ratio),)


def _energy(
    model: ModelComparison, lines: list[Line], frame_rate_hz: float | None
) -> tuple[tuple[str, ...], list[Cells]]:
    at_rate = () if frame_rate_hz is None else (f"J/frame at {frame_rate_hz:g} Hz, idle included",)
    ratio = (f"frames/J / {model.baseline}",) if model.baseline else ()
    columns = ("device", "J/frame, active", *at_rate, "frames/s/W", *ratio, "boundary")
    return columns, [_energy_cells(model, line, frame_rate_hz) for line in lines if line.energy]


def _energy_cells(model: ModelComparison, line: Line, frame_rate_hz: float | None) -> Cells:
    single = line.single_stream
    at_rate = energy_cell(None if single is None else single.energy_at_frame_rate)
    return (
        line.device,
        energy_cell(line.energy, is_bound=line.main.energy_is_bound),
        *(() if frame_rate_hz is None else (at_rate,)),
        per_watt_cell(line),
        *(() if model.baseline is None else (_energy_ratio(line),)),
        line.main.boundary,
    )


def _energy_ratio(line: Line) -> str:
    if line.energy_ratio is None:
        return NOTHING
    bound = "at least " if line.main.energy_is_bound else ""
    return f"{bound}{times_text(line.energy_ratio[0])}{'' if line.same_boundary else ' *'}"


def _deadlines(model: ModelComparison) -> Table:
    columns = ("one frame at a time", *(f"{one.text}: {one.what}" for one in DEADLINES))
    lines = [line for line in model.lines if line.meets(1.0) is not None]
    rows: list[Cells] = [
        (line.device, *(_verdict(line, one.seconds) for one in DEADLINES)) for line in lines
    ]
    return table(f"{model_name(model.model)}: deadlines", columns, rows)


def _verdict(line: Line, deadline_s: float) -> Cell:
    kind = "" if line.single_stream is None else row_kind(line.single_stream)
    return Cell("met" if line.meets(deadline_s) else "missed", kind)


def _ratios(data: ReportData) -> Table:
    words = {True: "agrees", False: "does not agree", None: "cannot be checked"}
    rows = [
        (
            one.device,
            one.other,
            Cell(times_text(one.value), one.kind),
            NOTHING if one.claimed is None else times_text(one.claimed),
            NOTHING if one.claimed is None else words[one.agrees],
            one.note,
        )
        for one in data.ratios
    ]
    columns = ("device", "against", "frames/J", "claimed", "verdict", "source, boundary")
    return table(f"{MODEL}: efficiency beside published GPUs", columns, rows)


def _notes(data: ReportData) -> tuple[str, ...]:
    lines = [line for model in data.comparison.models for line in model.lines]
    used = {line.main.boundary for line in lines if line.energy}
    found = [f"{name}: {text}" for name, text in BOUNDARY_WORDS.items() if name in used]
    notes = [f"What an energy covers, its boundary. {'; '.join(found)}."] if found else []
    if any(not line.same_boundary and line.energy_ratio for line in lines):
        notes.append("A ratio with * compares different boundaries: an orientation only.")
    if data.result.frame_rate_hz is None:
        notes.append(
            "No frame rate was given, so there is no energy with idle time included: "
            "zapdeploy bench --frame-rate."
        )
    return tuple(notes)
