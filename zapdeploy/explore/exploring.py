"""The command: plan, compute what is not known, and put the table together."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from zapdeploy.errors import UsageError
from zapdeploy.explore.axes import combinations
from zapdeploy.explore.engine import (
    DaskRun,
    Rows,
    WorkersLostError,
    cluster,
    in_process,
    pending_tasks,
)
from zapdeploy.explore.networks import Networks
from zapdeploy.explore.plan import Plan, make_plan
from zapdeploy.explore.points import Point, Points
from zapdeploy.explore.search import Searcher
from zapdeploy.explore.sources import Sources
from zapdeploy.explore.spec import Spec, load_spec, read_spec
from zapdeploy.explore.store import Row, Store
from zapdeploy.explore.table import Exploration, joined, save
from zapdeploy.explore.tasks import Task, networks_first
from zapdeploy.explore.worker import Allowed
from zapdeploy.platforms import usable_cores
from zapdeploy.progress import Progress


def explore(
    spec: str | Path | Mapping[str, Any] | Spec,
    output: str | Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    retry: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> Exploration:
    """Compute every point of a spec that the folder does not have yet, and return all of them.

    Args:
        spec: A SPEC.toml, or what it says as tables: axes, compute, constraints, limits, search.
        output: The folder of results. Runs, users and machines may share it, at the same time.
        workers: Processes of this machine; by default one for each core. 0 computes in this one.
        scheduler: The address of a Dask scheduler, whose workers are used instead.
        retry: Compute points again that failed, or were ended as they took too much.
        progress: Called with what is done, how far, of how much.

    Raises:
        UsageError: The spec is wrong, or a package is not installed.
        TargetError: A chip's file is wrong, or has no such key.
    """
    asked = as_spec(spec)
    folder, networks, store = Path(output), Networks(), open_store(output)
    with Runner(folder, networks, store, asked, workers, scheduler, progress) as runner:
        if asked.search is not None:
            return _searched(asked, folder, networks, store, runner, progress)
        plan = _plan(asked, networks, store, retry=retry)
        if tasks := plan.tasks():
            runner.compute(tasks, len(plan.points) - len(plan.missing), len(plan.points))
    store.join()
    found = Exploration(asked.name, asked.varied, tuple(joined(plan, store.rows())), folder)
    save(found)
    return found


def _searched(
    spec: Spec,
    folder: Path,
    networks: Networks,
    store: Store,
    runner: Runner,
    progress: Progress,
) -> Exploration:
    """The points that a search asks for, in the order of their first asking."""
    points = Points(spec, networks.of)
    searcher = Searcher(spec, points, folder)

    def compute(asked: Sequence[Point]) -> Mapping[str, Row]:
        plan = make_plan(spec, 0, asked, networks, store.rows())
        if missing := plan.tasks(most_families=1):
            runner.compute(missing, 0, len(asked))
        return {row["digest"]: row for row in joined(plan, store.rows())}

    found = searcher.run(compute, lambda done, total: progress("points", done, total))
    plan = make_plan(spec, combinations(spec.axes), found, networks, store.rows())
    table = Exploration(spec.name, spec.varied, tuple(joined(plan, store.rows())), folder)
    save(table)
    return table


def plan_exploration(
    spec: str | Path | Mapping[str, Any] | Spec, output: str | Path, *, retry: bool = False
) -> Plan:
    """What `explore` would do; nothing is computed, and no network is made."""
    asked = as_spec(spec)
    if asked.search is not None:
        raise UsageError(
            f"--dry-run must be of a grid, not of a search, which chooses {asked.search.points} "
            "points as it goes; leave [search] out"
        )
    return _plan(asked, Networks(), open_store(output), retry=retry)


def as_spec(spec: str | Path | Mapping[str, Any] | Spec) -> Spec:
    """The spec that a file or its tables say, checked."""
    if isinstance(spec, Spec):
        return spec
    if isinstance(spec, Mapping):
        return read_spec({"name": "exploration", **spec})
    return load_spec(spec)


def open_store(output: str | Path) -> Store:
    """The results of a folder, which is made where it is not there."""
    path = Path(output)
    if path.exists() and not path.is_dir():
        raise UsageError(f"output must be a folder, not a file ({path}); give another name")
    return Store(path)


def _plan(spec: Spec, networks: Networks, store: Store, *, retry: bool) -> Plan:
    points = list(Points(spec, networks.of).all())
    return make_plan(spec, combinations(spec.axes), points, networks, store.rows(), retry=retry)


class Runner:
    """Computes tasks into a store, here or on a cluster.

    The cluster is opened when there is something to do, and closed with the block.
    """

    def __init__(
        self,
        folder: Path,
        networks: Networks,
        store: Store,
        spec: Spec,
        workers: int | None,
        scheduler: str | None,
        progress: Progress = lambda what, done, total: None,
    ) -> None:
        if workers is not None and workers < 0:
            raise UsageError(f"--workers must be 0 or more, not {workers}")
        self._folder, self._networks, self._store, self._spec = folder, networks, store, spec
        self._workers = usable_cores() if workers is None else workers
        self._scheduler, self._progress = scheduler, progress
        self._opened = ExitStack()
        self._sources: Sources | None = None

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.close()

    def compute(self, tasks: list[Task], known: int, total: int) -> None:
        """All points of the tasks, each kept as soon as it comes back."""
        began, done, wanted = time.monotonic(), 0, {j.digest for c in tasks for j in c.jobs}
        again = wanted & set(self._store.rows())  # to be computed again though they are there

        def keep(rows: Rows) -> None:
            nonlocal done
            self._store.add(rows)
            self._store.join()
            done += len(rows)
            again.difference_update(row["digest"] for row in rows)
            left = (time.monotonic() - began) / done * (len(wanted) - done)
            self._progress(f"points, {_words(left)} left", min(known + done, total), total)

        def have() -> set[str]:
            return set(self._store.rows()) - again

        self._progress("points", known, total)
        places = self._networks.alternating(task.network for task in tasks)
        tasks = sorted(tasks, key=lambda task: places[task.network])
        start = random.randrange(len(tasks))  # several clients meet late
        tasks = networks_first([*tasks[start:], *tasks[:start]])
        take = pending_tasks(tasks, have)
        if self._workers == 0 and self._scheduler is None:
            in_process(take, self._file, keep)
            return
        limits = self._spec.limits
        allowed = Allowed(limits.seconds, limits.memory_gb * 1e9)
        own = self._workers if self._scheduler is None else None
        while True:
            sources = self._sources or self._open()
            try:
                DaskRun(sources.client, sources, keep, allowed, own).run(take)
                return
            except WorkersLostError:
                self._opened.close()
                self._sources = None
                take = pending_tasks(tasks, have)

    def _open(self) -> Sources:
        client = self._opened.enter_context(cluster(self._workers, self._scheduler))
        shared = self._scheduler is None
        self._sources = Sources(client, self._networks, self._folder, shared)
        return self._sources

    def _file(self, network: str) -> Path:
        return self._networks.file(network, self._folder)


def _words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
