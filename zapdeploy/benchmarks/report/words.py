"""Numbers as text, each with its kind."""

from __future__ import annotations

from zapdeploy.benchmarks.report.blocks import Cell
from zapdeploy.benchmarks.results.comparison import Line
from zapdeploy.benchmarks.results.rows import Row, frames_per_joule
from zapdeploy.benchmarks.results.table import NOTHING, interval_text, rate_text, si_text
from zapdeploy.quantities import Estimate, Provenance

EMPTY = Cell(NOTHING)
# What marks a kind in a figure, beside its colour.
SYMBOLS = {
    "measured": "circle",
    "recorded": "circle-open",
    "simulated": "square",
    "modelled": "diamond",
    "published": "cross",
}


def row_kind(row: Row) -> str:
    """The word for a row's times: "recorded" for what was measured on another machine."""
    return "recorded" if row.recorded_on else row.kind.value


def rate_cell(row: Row, rate: float | None) -> Cell:
    """Frames per second, or an empty cell."""
    return EMPTY if rate is None else Cell(rate_text(rate), row_kind(row))


def latency_cells(row: Row | None) -> tuple[Cell, Cell]:
    """Median and 99th percentile. A published latency is a mean, and has no percentile."""
    if row is None or row.latency_s is None:
        return EMPTY, EMPTY
    kind, tail_s = row_kind(row), row.latency_p99_s
    median = Cell(si_text(row.latency_s, "s"), kind)
    return median, EMPTY if tail_s is None else Cell(si_text(tail_s, "s"), kind)


def energy_cell(energy: Estimate | None, *, is_bound: bool = False) -> Cell:
    """Joules with their interval, or an empty cell."""
    if energy is None:
        return EMPTY
    if is_bound:
        return Cell(f"at most {si_text(energy.value, 'J')}", energy.kind.value)
    return Cell(interval_text(energy), energy.kind.value)


def per_watt_cell(line: Line) -> Cell:
    """Frames per joule, or an empty cell."""
    found = frames_per_joule(line.energy)
    if found is None or line.energy is None:
        return EMPTY
    text = rate_text(float(found["value"] or 0.0))
    return Cell(f"at least {text}" if line.main.energy_is_bound else text, line.energy.kind.value)


def percent(share: float) -> str:
    """In percent: "43%", and "0.2%" where a whole number would say too little."""
    return f"{share:.0%}" if share == 0 or share >= 0.095 else f"{share:.1%}"


def is_here(row: Row) -> bool:
    """Whether a row was run, not published."""
    return row.kind is not Provenance.PUBLISHED
