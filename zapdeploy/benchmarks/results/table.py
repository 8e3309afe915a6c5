"""The comparison for people: tables that say of every number what it is, and notes below them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from zapdeploy.benchmarks.results.comparison import Comparison, Line, ModelComparison
from zapdeploy.benchmarks.results.deadlines import DEADLINES, tightest
from zapdeploy.benchmarks.results.published import MODEL
from zapdeploy.benchmarks.results.published_ratios import Ratio
from zapdeploy.benchmarks.results.rows import NOISY, NOT_STATED, Row, frames_per_joule
from zapdeploy.formatting import prefix_of, quantity
from zapdeploy.quantities import Estimate

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

WIDE, NARROW = 200, 100
NOTHING = "-"
KIND_WORDS = {
    "measured": "a clock or a meter, on this machine",
    "simulated": "counted by zapdeploy's simulator",
    "modelled": "a formula over assumptions; the brackets are their interval",
    "recorded": "measured in the same way on another machine, which the JSON names",
    "published": "someone else's figure; its source is in the JSON",
}
BOUNDARY_WORDS = {
    "core array": "the cores and their networks alone",
    "cores in use": "the share of a CPU package that the cores in use have, nothing else",
    "chip": "the chip or CPU package: no memory modules, board or power supply",
    "card": "the whole card or module: chip, its memory, its regulators",
    "system": "the whole computer at the wall plug",
    NOT_STATED: "the source does not say what its power covers",
}


@dataclass(frozen=True)
class _Column:
    """groups: the tables that have the column when one would be too wide."""

    header: str
    groups: tuple[Literal["answer", "speed", "energy"], ...]
    cell: Callable[[Line], str]


def print_comparison(
    comparison: Comparison, console: Console, ratios: Sequence[Ratio] = ()
) -> None:
    """Print every model's tables, what was not run, and the notes that make them readable."""
    for model in comparison.models:
        for part in _model_parts(model, comparison.frame_rate_hz, console.width):
            console.print(part)
    for note in _notes(comparison, ratios):
        console.print(note, markup=False, highlight=False)


def print_answers(comparison: Comparison, console: Console) -> None:
    """Print whether each network keeps up and what a frame costs; nothing without a frame rate."""
    rate = comparison.frame_rate_hz
    if rate is None:
        return
    for model in comparison.models:
        console.print(_answer(model, _columns(model.baseline, rate), rate))


def si_text(value: float, unit: str) -> str:
    """A number with an SI prefix."""
    return quantity(value, unit)


def _model_parts(
    model: ModelComparison, frame_rate_hz: float | None, width: int
) -> list[RenderableType]:
    from rich.text import Text

    columns = _columns(model.baseline, frame_rate_hz)
    if width >= WIDE:
        parts: list[RenderableType] = [_table(model, columns, model.model)]
    else:
        parts = [] if frame_rate_hz is None else [_answer(model, columns, frame_rate_hz)]
        for group in ("speed", "energy"):
            shown = [column for column in columns if group in column.groups]
            parts.append(_table(model, shown, f"{model.model}: {group}"))
    return [*parts, *(Text(f"  {device}: not run: {why}") for device, why in model.not_run)]


def _answer(model: ModelComparison, columns: Sequence[_Column], frame_rate_hz: float) -> Table:
    shown = [column for column in columns if "answer" in column.groups]
    return _table(_here(model), shown, f"{model.model}: does it keep up with {frame_rate_hz:g} Hz?")


def _here(model: ModelComparison) -> ModelComparison:
    """Without published rows, which say nothing of a frame now and then."""
    return replace(model, lines=tuple(one for one in model.lines if one.kind != "published"))


def _table(model: ModelComparison, columns: Sequence[_Column], title: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("device")
    for column in columns:
        table.add_column(escape(column.header), justify="right")
    before = None
    for line in model.lines:
        if before is not None and line.main.kind != before and line.main.kind.value == "published":
            table.add_section()
        before = line.main.kind
        table.add_row(escape(line.device), *(escape(column.cell(line)) for column in columns))
    return table


def _columns(baseline: str | None, frame_rate_hz: float | None) -> list[_Column]:
    columns: list[_Column] = []
    if frame_rate_hz is not None:
        rate = f"{frame_rate_hz:g} Hz"
        columns.append(_Column(f"keeps up,\n{rate}", ("answer",), _deadline))
        columns.append(_Column(f"energy/frame,\n{rate}", ("answer",), _energy_at_rate))
    columns += [
        _Column("latency,\nbatch 1", ("answer", "speed"), _latency),
        _Column("frames/s", ("speed",), _rate),
        _Column("batch", ("speed",), _batch),
        _Column("within", ("speed",), _tightest),
        _Column("speed is", ("answer", "speed"), lambda line: line.kind),
        _Column("energy/frame", ("energy",), _energy),
        _Column("frames/s/W", ("energy",), _per_watt),
        _Column("energy is", ("answer", "energy"), _energy_kind),
        _Column("boundary", ("answer", "energy"), _boundary),
    ]
    if baseline is not None:
        columns.append(_Column(f"speed /\n{baseline}", ("speed",), _speed_ratio))
        columns.append(_Column(f"frames/J /\n{baseline}", ("energy",), _energy_ratio))
    return columns


def _rate(line: Line) -> str:
    return rate_text(line.main.frames_per_s) + _spread(line.main)


def _spread(row: Row) -> str:
    """Of a short measurement: how much it varied within the run."""
    short = (row.configuration or {}).get("short", False)
    return f" ±{row.noise:.0%}" if short and row.noise is not None else ""


def _boundary(line: Line) -> str:
    return line.main.boundary if line.energy else NOTHING


def rate_text(rate: float | None) -> str:
    """Frames per second to three digits or more: "45,779"."""
    if rate is None:
        return NOTHING
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def _batch(line: Line) -> str:
    row = line.main
    streams = (row.configuration or {}).get("streams", 1)
    many = f" x {streams}" if streams > 1 else ""
    return NOTHING if row.batch is None else f"{row.batch}{many}"


def _latency(line: Line) -> str:
    row = line.single_stream
    return (
        NOTHING
        if row is None or row.latency_s is None
        else si_text(row.latency_s, "s") + _spread(row)
    )


def _deadline(line: Line) -> str:
    return yes_or_no(line.deadline_met)


def yes_or_no(met: bool | None) -> str:
    """In a word; a dash where it cannot be said."""
    return NOTHING if met is None else "yes" if met else "no"


def _tightest(line: Line) -> str:
    found = tightest(line.meets)
    return NOTHING if found is None else found.text


def _energy(line: Line) -> str:
    energy = line.energy
    if energy is None:
        return NOTHING
    if line.main.energy_is_bound:
        return f"<= {si_text(energy.value, 'J')}"
    return interval_text(energy)


def interval_text(energy: Estimate) -> str:
    """A value with its interval, if it has one: "1.6 [0.5, 2.2] mJ"."""
    if energy.low == energy.high:
        return si_text(energy.value, "J")
    scale, prefix = prefix_of(energy.value)
    low, high = energy.low / scale, energy.high / scale
    return f"{energy.value / scale:.3g} [{low:.3g}, {high:.3g}] {prefix}J"


def _per_watt(line: Line) -> str:
    found = frames_per_joule(line.energy)
    if found is None:
        return NOTHING
    value = float(found["value"] or 0.0)
    text = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f">= {text}" if line.main.energy_is_bound else text


def _energy_kind(line: Line) -> str:
    return NOTHING if line.energy is None else line.energy.kind.value


def _energy_at_rate(line: Line) -> str:
    row = line.single_stream
    if row is None or row.energy_at_frame_rate is None:
        return NOTHING
    return interval_text(row.energy_at_frame_rate)


def _speed_ratio(line: Line) -> str:
    return NOTHING if line.speed_ratio is None else times_text(line.speed_ratio)


def _energy_ratio(line: Line) -> str:
    if line.energy_ratio is None:
        return NOTHING
    bound = ">= " if line.main.energy_is_bound else ""
    return f"{bound}{times_text(line.energy_ratio[0])}" + ("" if line.same_boundary else " *")


def times_text(ratio: float) -> str:
    """A ratio to two digits: "5.1x"."""
    return f"{ratio:,.0f}x" if ratio >= 100 else f"{ratio:.2g}x" if ratio < 10 else f"{ratio:.0f}x"


def _notes(comparison: Comparison, ratios: Sequence[Ratio]) -> list[str]:
    lines = [line for model in comparison.models for line in model.lines]
    words = {line.kind for line in lines} | {_energy_kind(line) for line in lines}
    boundaries = [line.main.boundary for line in lines if line.energy]
    notes = [f"{word}: {text}." for word, text in KIND_WORDS.items() if word in words]
    notes += [
        f"boundary {name}: {text}." for name, text in BOUNDARY_WORDS.items() if name in boundaries
    ]
    if any(not line.same_boundary and line.energy_ratio for line in lines):
        notes.append("* compares different boundaries: read it as an orientation only.")
    if any(line.main.precision == NOT_STATED for line in lines):
        notes.append("a device without a precision: its source does not state one.")
    if any(line.main.energy_is_bound for line in lines):
        notes.append(
            "<=, >=: a limit, not a measurement: a datasheet's power, or an older chip's prices."
        )
    if any(_spread(line.main) for line in lines):
        notes.append("±: a short measurement, and how much its rate varied within the run.")
    if any(tightest(line.meets) for line in lines):
        times = ", ".join(f"{one.seconds * 1e3:.0f}" for one in DEADLINES)
        notes.append(f"within: the shortest of {times} ms that one frame is done in.")
    if comparison.frame_rate_hz is not None:
        notes.append(
            f"keeps up at {comparison.frame_rate_hz:g} Hz: one frame at a time (99th percentile "
            "where measured) is done before the next one comes; its energy includes the waiting."
        )
    notes += [
        f"{line.main.model}, {line.device}: varied by {noise:.0%} within the run; repeat it on an "
        "idle machine."
        for line in lines
        if (noise := line.noise) > NOISY
    ]
    shown = ratios if any(line.main.model == MODEL for line in lines) else ()
    return notes + [_ratio_note(ratio) for ratio in shown]


def _ratio_note(ratio: Ratio) -> str:
    text = f"{ratio.device} against {ratio.other}: {ratio.value:.3g}x the frames/J ({ratio.kind})"
    if ratio.claimed is None:
        return f"{text}; {ratio.note}."
    verdict = {True: "agrees", False: "does not agree", None: "cannot be checked"}[ratio.agrees]
    return f"{text}; claimed: {ratio.claimed:g}x, which {verdict} ({ratio.note})."
