"""The verb: plan, compute what is not known, and put the table together."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from zapdeploy.errors import UsageError
from zapdeploy.explore.axes import combinations
from zapdeploy.explore.engine import DaskRun, Rows, cluster, in_process, pending_tasks
from zapdeploy.explore.networks import Networks
from zapdeploy.explore.plan import Plan, make_plan
from zapdeploy.explore.points import Points
from zapdeploy.explore.spec import Spec, load_spec, read_spec
from zapdeploy.explore.store import Store
from zapdeploy.explore.table import Exploration, joined, save
from zapdeploy.explore.tasks import Task
from zapdeploy.explore.worker import Allowed
from zapdeploy.platforms import usable_cores

Progress = Callable[[str, int, int], None]
NETWORKS = "networks"


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
    plan = _plan(asked, networks, store, retry=retry)
    if tasks := plan.tasks:
        runner = Runner(folder, networks, store, asked, workers, scheduler, progress)
        runner.compute(tasks, len(plan.points) - len(plan.missing), len(plan.points), retry=retry)
    store.join()
    found = Exploration(asked.name, asked.varied, tuple(joined(plan, store.rows())), folder)
    save(found)
    return found


def plan_exploration(
    spec: str | Path | Mapping[str, Any] | Spec, output: str | Path, *, retry: bool = False
) -> Plan:
    """What `explore` would do; nothing is computed, and no network is made."""
    return _plan(as_spec(spec), Networks(), open_store(output), retry=retry)


def as_spec(spec: str | Path | Mapping[str, Any] | Spec) -> Spec:
    if isinstance(spec, Spec):
        return spec
    if isinstance(spec, Mapping):
        return read_spec({"name": "exploration", **spec})
    return load_spec(spec)


def open_store(output: str | Path) -> Store:
    path = Path(output)
    if path.exists() and not path.is_dir():
        raise UsageError(f"output must be a folder, not a file ({path}); give another name")
    return Store(path)


def _plan(spec: Spec, networks: Networks, store: Store, *, retry: bool) -> Plan:
    points = list(Points(spec, networks.of).all())
    return make_plan(spec, combinations(spec.axes), points, networks, store.rows(), retry=retry)


class Runner:
    """Computes tasks into a store, here or on a cluster."""

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
        self._files: dict[str, Path] = {}

    def compute(self, tasks: list[Task], known: int, total: int, *, retry: bool = False) -> None:
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
        start = random.randrange(len(tasks))  # several clients meet late
        take = pending_tasks([*tasks[start:], *tasks[:start]], have)
        if self._workers == 0 and self._scheduler is None:
            in_process(take, self._file, keep)
            return
        limits = self._spec.limits
        allowed = Allowed(limits.seconds, limits.memory_gb * 1e9)
        with cluster(self._workers, self._scheduler) as client:
            DaskRun(client, self._file, keep, allowed, self._scheduler is None).run(take)

    def _file(self, network: str) -> Path:
        if network not in self._files:
            folder = self._folder / NETWORKS
            folder.mkdir(parents=True, exist_ok=True)
            self._files[network] = self._networks.by_key[network].file(folder)
        return self._files[network]


def _words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
