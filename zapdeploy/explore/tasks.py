"""Work as it is handed out: points of one network that share what is costly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from zapdeploy.explore.evaluate import AnyJob
from zapdeploy.explore.points import Point

MOST_FAMILIES, MOST_JOBS = 4, 32  # of a task: some seconds of work, which are lost with a worker


@dataclass(frozen=True)
class Task:
    """`network`: its key; `attempt`: how often workers were lost with it."""

    network: str
    jobs: tuple[AnyJob, ...]
    attempt: int = 0

    def of(self, jobs: Sequence[AnyJob], attempt: int | None = None) -> Task:
        return replace(self, jobs=tuple(jobs), attempt=self.attempt if attempt is None else attempt)


def tasks_of(points: Sequence[Point], most_families: int = MOST_FAMILIES) -> list[Task]:
    """All points, each digest once; families stay together, and so do networks."""
    by_network: dict[str, dict[tuple[object, ...], dict[str, AnyJob]]] = {}
    for point in points:
        families = by_network.setdefault(point.network, {})
        families.setdefault(point.family, {})[point.digest] = point.job
    found = []
    for network, families in by_network.items():
        parts = [part for jobs in families.values() for part in _parts(list(jobs.values()))]
        found += [Task(network, jobs) for jobs in _packed(parts, most_families)]
    return found


def networks_first(tasks: Sequence[Task]) -> list[Task]:
    """A task of each network, then the others: who has the first one makes the network, and as long
    as any is left to be made, no other has to wait for that one."""
    first = {task.network: task for task in reversed(tasks)}
    return [task for one in (True, False) for task in tasks if (task is first[task.network]) == one]


def _parts(jobs: list[AnyJob]) -> Iterator[list[AnyJob]]:
    for at in range(0, len(jobs), MOST_JOBS):
        yield jobs[at : at + MOST_JOBS]


def _packed(parts: list[list[AnyJob]], most: int) -> Iterator[tuple[AnyJob, ...]]:
    """Small parts together, as far as they stay within the limits."""
    packed: list[list[AnyJob]] = []
    for part in parts:
        if packed and (len(packed) == most or sum(map(len, packed)) + len(part) > MOST_JOBS):
            yield tuple(job for one in packed for job in one)
            packed = []
        packed.append(part)
    if packed:
        yield tuple(job for one in packed for job in one)
