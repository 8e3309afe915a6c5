"""Two runs of the same benchmark: what became faster, slower or thirstier, beyond the noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from zapdeploy.benchmarks.results.results import BenchmarkResult
from zapdeploy.benchmarks.results.rows import MAE, Row
from zapdeploy.documents import Document
from zapdeploy.errors import UsageError
from zapdeploy.quantities import Provenance

# A clock's figures differ by a few percent between runs even on an idle machine.
LEAST_NOISE = 0.05
SIMULATED_NOISE = 1e-9

# +1: more is better; -1: less is.
_QUANTITIES = {"frames_per_s": 1, "latency_s": -1, "energy_per_frame_j": -1, "accuracy": 1}


class Verdict(Enum):
    """What became of a figure from one result to another."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "within noise"
    NOT_COMPARABLE = "not comparable"
    MISSING = "missing"


@dataclass(frozen=True)
class Change(Document):
    """One quantity of one row, before and after. change: relative, after / before - 1."""

    also: ClassVar[tuple[str, ...]] = ("change",)

    label: str
    quantity: str
    before: float
    after: float | None
    noise: float
    verdict: Verdict
    note: str = ""

    @property
    def change(self) -> float | None:
        return None if self.after is None else self.after / self.before - 1


@dataclass(frozen=True)
class Changes(Document):
    """All changes from the first result to another one."""

    also: ClassVar[tuple[str, ...]] = ("regressed",)

    before: str
    after: str
    changes: tuple[Change, ...]

    @property
    def regressed(self) -> bool:
        return any(change.verdict is Verdict.WORSE for change in self.changes)


def compare_results(results: Sequence[BenchmarkResult]) -> tuple[Changes, ...]:
    """Every result against the first; rows from elsewhere (published, recorded) are left out.

    Raises UsageError under two.
    """
    if len(results) < 2:
        raise UsageError(
            f"results must be two folders or more, not {len(results)}; name the old and the new one"
        )
    first = results[0]
    return tuple(
        Changes(str(first.folder), str(other.folder), tuple(_changes(first, other)))
        for other in results[1:]
    )


def _changes(first: BenchmarkResult, other: BenchmarkResult) -> Iterator[Change]:
    after = {_identity(row): row for row in other.rows if not row.recorded_on}
    for row in first.rows:
        if row.kind is not Provenance.PUBLISHED and not row.recorded_on:
            yield from _row_changes(row, after.get(_identity(row)))


def _identity(row: Row) -> tuple[str, str, str, str]:
    return row.model, row.precision, row.target, row.scenario.value


def _row_changes(before: Row, after: Row | None) -> Iterator[Change]:
    label = f"{before.model} {before.precision} on {before.target}, {before.scenario.value}"
    noise = _noise(before, after)
    for quantity, sign in _QUANTITIES.items():
        old = _value(before, quantity)
        if not old:
            continue
        new = None if after is None else _value(after, quantity)
        if after is None or new is None:
            yield Change(label, quantity, old, None, noise, Verdict.MISSING)
            continue
        obstacle = _obstacle(before, after, quantity)
        better = -sign if quantity == "accuracy" and before.accuracy_metric == MAE else sign
        gain = better * (new / old - 1)
        verdict = Verdict.NOT_COMPARABLE if obstacle else _verdict(gain, noise)
        yield Change(label, quantity, old, new, noise, verdict, obstacle)


def _obstacle(before: Row, after: Row, quantity: str) -> str:
    """Why two figures say nothing about each other; empty where they do."""
    if before.machine != after.machine:
        return f"measured on another machine: {after.machine}"
    if quantity == "latency_s" and before.batch != after.batch:
        return f"batch {after.batch} in place of {before.batch}"
    return ""


def _verdict(gain: float, noise: float) -> Verdict:
    if abs(gain) <= noise:
        return Verdict.SAME
    return Verdict.BETTER if gain > 0 else Verdict.WORSE


def _noise(before: Row, after: Row | None) -> float:
    """Twice what both runs varied within themselves, and no less than five percent."""
    if before.kind is Provenance.SIMULATED:
        return SIMULATED_NOISE
    own = (before.noise or 0.0) + ((after.noise if after else None) or 0.0)
    return max(LEAST_NOISE, 2 * own)


def _value(row: Row, quantity: str) -> float | None:
    if quantity == "energy_per_frame_j":
        return None if row.energy_per_frame is None else row.energy_per_frame.value
    found: float | None = getattr(row, quantity)
    return found
