"""The rest of the comparison for people, on demand: tail latency, deadlines, transistors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from zapdeploy.benchmarks.results.comparison import Comparison, Line, ModelComparison
from zapdeploy.benchmarks.results.deadlines import DEADLINES
from zapdeploy.benchmarks.results.rows import TOP1
from zapdeploy.benchmarks.results.table import NOTHING, rate_text, si_text, yes_or_no

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Cell = Callable[[Line], str]


def print_more(comparison: Comparison, console: Console) -> None:
    """Print every model's second table and what the deadlines are."""
    for model in comparison.models:
        if model.lines:
            console.print(_table(model))
    for deadline in DEADLINES:
        console.print(f"within {deadline.text}: {deadline.what}.", markup=False, highlight=False)


def _table(model: ModelComparison) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    title = escape(f"{model.model}: latency and what limits it")
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    columns = _columns()
    table.add_column("device")
    for header in columns:
        table.add_column(header, justify="right")
    for line in model.lines:
        table.add_row(escape(line.device), *(escape(cell(line)) for cell in columns.values()))
    return table


def _columns() -> dict[str, Cell]:
    return {
        "p50": lambda line: _latency(line.single_stream and line.single_stream.latency_s),
        "p99": lambda line: _latency(line.single_stream and line.single_stream.latency_p99_s),
        **{f"within\n{d.text}": _within(d.seconds) for d in DEADLINES},
        "frames/s per\nbillion transistors": _per_transistors,
        "accuracy": accuracy_text,
        "limited by": lambda line: line.main.limiter.replace("_", " ") or NOTHING,
    }


def _latency(seconds: float | None) -> str:
    return NOTHING if seconds is None else si_text(seconds, "s")


def _within(deadline_s: float) -> Cell:
    return lambda line: yes_or_no(line.meets(deadline_s))


def _per_transistors(line: Line) -> str:
    return rate_text(line.main.frames_per_s_per_billion_transistors)


def accuracy_text(line: Line) -> str:
    """In short: "MAE 0.0234", "top-1 as fp32 84%", or nothing where none is known."""
    row = line.judged
    if row.accuracy is None:
        return NOTHING
    if row.accuracy_metric == TOP1:
        return f"top-1 as fp32 {row.accuracy:.0%}"
    return f"{row.accuracy_metric} {row.accuracy:.4g}".strip()
