"""What an exploration would do: its points, what they share, what is known of them already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zapdeploy.explore.accuracy import AccuracyJob, accuracy_job
from zapdeploy.explore.networks import Networks
from zapdeploy.explore.outcome import ENDED, FAILED, INTERNAL
from zapdeploy.explore.points import Point
from zapdeploy.explore.spec import Spec
from zapdeploy.explore.store import Row
from zapdeploy.explore.tasks import MOST_FAMILIES, Task, tasks_of
from zapdeploy.tables import Answer, Table


@dataclass(frozen=True)
class Plan(Answer):
    """`grid`: points without constraints. `points`: within them. `accuracy`: a job per network.
    `facts`: what each network is.

    `known`: digests of results that are there. `seconds`: what the rest would take of one worker,
    by what known points took; None where nothing is known.
    """

    spec: Spec
    grid: int
    points: tuple[Point, ...]
    accuracy: Mapping[str, AccuracyJob]
    known: frozenset[str]
    seconds: float | None
    facts: Mapping[str, Mapping[str, str | int | None]] = field(default_factory=dict)

    @property
    def missing(self) -> tuple[Point, ...]:
        return tuple(p for p in self.points if p.digest not in self.known and not p.error)

    def tasks(self, most_families: int = MOST_FAMILIES) -> list[Task]:
        """The work that is left: accuracies first, as they take longest."""
        left = [(n, job) for n, job in self.accuracy.items() if job.digest not in self.known]
        return [
            *(Task(network, (job,)) for network, job in left),
            *tasks_of(self.missing, most_families),
        ]

    def as_json(self) -> dict[str, Any]:
        """Counts, by what they count."""
        (counts,) = self.records()
        return {"name": self.spec.name, **counts}

    def records(self) -> list[dict[str, Any]]:
        missing = self.missing
        return [
            {
                "grid": self.grid,
                "points": len(self.points),
                "known": sum(p.digest in self.known for p in self.points),
                "wrong": sum(bool(p.error) for p in self.points),
                "to_compute": len({p.digest for p in missing}),
                "networks": len({p.network for p in missing}),
                "imports": len({(p.network, p.job.batch) for p in missing}),
                "mappings": len({p.family for p in missing}),
                "seconds_of_one_worker": self.seconds,
            }
        ]

    def tables(self) -> tuple[Table, ...]:
        """What there is to do."""
        (counts,) = self.records()
        time = (
            "not known before some points are done" if self.seconds is None else _time(self.seconds)
        )
        rows = [
            ("points of the grid", f"{counts['grid']:,}"),
            ("within the constraints", f"{counts['points']:,}"),
            ("known already", f"{counts['known']:,}"),
            ("no such chip", f"{counts['wrong']:,}"),
            ("to compute", f"{counts['to_compute']:,}"),
            ("networks to read", f"{counts['networks']:,}, at {counts['imports']:,} batch sizes"),
            ("choices of cuts", f"{counts['mappings']:,}, shared by the points to compute"),
            ("accuracies to measure", f"{self._accuracies():,}"),
            ("expected time of one worker", time),
        ]
        return (Table(f"plan of {self.spec.name}", ("what", "how much"), rows),)

    def _accuracies(self) -> int:
        return sum(job.digest not in self.known for job in self.accuracy.values())


def make_plan(
    spec: Spec,
    grid: int,
    points: Sequence[Point],
    networks: Networks,
    rows: Mapping[str, Row],
    *,
    retry: bool = False,
) -> Plan:
    """`retry`: points that failed or were ended count as not known."""
    known = frozenset(digest for digest, row in rows.items() if not _again(row, retry))
    asked = spec.compute.accuracy
    used = {point.network for point in points}
    lead = networks.longest_context(spec.models) if asked is not None else 0
    jobs = {
        key: accuracy_job(key, asked, lead)
        for key, network in networks.by_key.items()
        if asked is not None and key in used and network.can_be_judged
    }
    facts = {key: networks.by_key[key].facts for key in used}
    expected = _expected(points, known, rows)
    return Plan(spec, grid, tuple(points), jobs, known, expected, facts)


def _again(row: Row, retry: bool) -> bool:
    """Whether a row is to be computed again; a fault of ours may be mended meanwhile."""
    if retry and row["status"] in (FAILED, ENDED):
        return True
    return row["status"] == FAILED and str(row["reason"]).startswith(INTERNAL)


def _expected(
    points: Sequence[Point], known: frozenset[str], rows: Mapping[str, Row]
) -> float | None:
    """Of each network by its own known points, else by those of all."""
    spent: dict[str, list[float]] = {}
    for point in points:
        if point.digest in known:
            spent.setdefault(point.network, []).append(rows[point.digest]["seconds"] or 0.0)
    every = [seconds for of_one in spent.values() for seconds in of_one]
    left = {point.digest: point for point in points if point.digest not in known}
    if not every:
        return None if left else 0.0
    mean = sum(every) / len(every)
    means = {network: sum(of_one) / len(of_one) for network, of_one in spent.items()}
    return sum(means.get(point.network, mean) for point in left.values())


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
