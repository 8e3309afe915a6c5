"""Where tasks are computed: in this process, or by the workers of a Dask cluster.

Scheduling, transport, workers that die, join and leave are Dask's. What is decided here: how many
tasks are under way, so that a cluster of any size is busy and no list of a million tasks is ever
sent; and what becomes of a task whose worker is lost with it again and again.
"""

from __future__ import annotations

import queue
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zapdeploy.errors import UsageError, WorkerError, ZapdeployError
from zapdeploy.explore.evaluate import Workshop
from zapdeploy.explore.outcome import ENDED, FAILED, no_row
from zapdeploy.explore.sources import Sources
from zapdeploy.explore.tasks import Task
from zapdeploy.explore.worker import TOPIC, Allowed, compute_task
from zapdeploy.extras import load

Rows = list[dict[str, Any]]
Keep = Callable[[Rows], None]  # results as they come
Next = Callable[[], Task | None]  # the next task to compute; None: there is none left
FileOf = Callable[[str], Path]  # a network's file, by its key
_UNDER_WAY = 3  # tasks for each worker: one that runs, two that wait
_LOOK_EVERY_S = 0.5
_STARTS = 5
_LOST_S = 20.0  # a worker of our own cluster that is away for longer was not started again
_ATTEMPTS = 2  # rounds in which Dask may lose workers with a point, several in each
# What Dask sets in workers: freed memory goes back to the system at once. The kernel then takes
# longer to hand out pages for the next arrays than many points take to compute.
_ENVIRON, _TRIM = "distributed.nanny.pre-spawn-environ", "MALLOC_TRIM_THRESHOLD_"


def in_process(take: Next, file_of: FileOf, keep: Keep) -> None:
    """Compute everything here, one point after the other; nothing ends a point that takes long."""
    workshop = Workshop()
    while (task := take()) is not None:
        try:
            file = file_of(task.network)
        except ZapdeployError as error:
            keep(failed(task, error))
        else:
            keep([workshop.row(task.network, file, job) for job in task.jobs])


def failed(task: Task, error: ZapdeployError) -> Rows:
    """Of points whose network cannot be made."""
    return [{"digest": job.digest, **no_row(FAILED, str(error))} for job in task.jobs]


@contextmanager
def cluster(workers: int, address: str | None) -> Iterator[Any]:
    """A Dask client of the scheduler at `address`, or of a cluster of this machine's own."""
    distributed = load("distributed", "explore", "compute points in several processes")
    if address is not None:
        try:
            client = distributed.Client(address, timeout=20)
        except (OSError, ValueError, TimeoutError) as error:
            raise UsageError(
                f"--scheduler must be the address of a Dask scheduler that runs, not "
                f"'{address}': {error}"
            ) from None
        with client:
            yield client
        return
    with _local_cluster(distributed, workers) as local, distributed.Client(local) as client:
        yield client


def _local_cluster(distributed: Any, workers: int) -> Any:
    """Processes of this machine, each with one thread. Points are watched by `worker.Watch`, so
    that Dask need not. A worker that dies while it starts takes the start with it: another try.
    """
    import dask

    environ = {k: v for k, v in dask.config.get(_ENVIRON).items() if k != _TRIM}
    for attempt in range(_STARTS):
        try:
            with dask.config.set({_ENVIRON: environ}):
                return distributed.LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=None,
                    dashboard_address=":0",
                    silence_logs=50,
                )
        except RuntimeError as error:
            if attempt == _STARTS - 1:
                raise WorkerError(
                    f"worker processes must start, not fail {_STARTS} times: {error}; "
                    "give --workers 0 to compute in this process"
                ) from None
    raise AssertionError


class WorkersLostError(Exception):
    """Processes of a local cluster died and were not started again: Dask gives one up that is
    killed while it starts. What was under way has to be handed out anew, by a new cluster."""


@dataclass
class DaskRun:
    """One run over a cluster. `own_workers`: how many this machine's own cluster has; None: those
    of a scheduler elsewhere, which may come and go.
    """

    client: Any
    sources: Sources
    keep: Keep
    allowed: Allowed
    own_workers: int | None
    _complete_at: float = field(default_factory=time.monotonic)
    _pending: dict[Any, Task] = field(default_factory=dict)
    _again: list[Task] = field(default_factory=list)
    _events: queue.SimpleQueue[dict[str, Any]] = field(default_factory=queue.SimpleQueue)

    def run(self, take: Next) -> None:
        """Until `take` has no more tasks, and all are computed. Raises WorkersLostError."""
        self.client.subscribe_topic(TOPIC, lambda event: self._events.put(event[1]))
        try:
            while self._fill(take) or self._pending:
                self._wait()
                self._check_workers()
                self._end_points()
                for future in [f for f in self._pending if f.done()]:
                    self._finish(future, self._pending.pop(future))
        finally:
            self.client.cancel(list(self._pending), force=True)
            self.client.unsubscribe_topic(TOPIC)

    def _workers(self) -> int:
        return len(self.client.scheduler_info(-1)["workers"])

    def _check_workers(self) -> None:
        now = time.monotonic()
        if self.own_workers is None or self._workers() >= self.own_workers:
            self._complete_at = now
        elif now - self._complete_at > _LOST_S:
            raise WorkersLostError

    def _fill(self, take: Next) -> bool:
        """Hand out tasks until enough are under way; whether any was."""
        room = _UNDER_WAY * max(self._workers(), 1)
        handed = False
        while len(self._pending) < room:
            task = self._again.pop() if self._again else take()
            if task is None:
                return handed
            self._submit(task)
            handed = True
        return handed

    def _submit(self, task: Task) -> None:
        key = f"explore-{uuid.uuid4().hex}"
        try:
            source = self.sources.of(task.network)
        except ZapdeployError as error:
            self.keep(failed(task, error))
            return
        future = self.client.submit(
            compute_task, key, task.network, source, task.jobs, self.allowed, key=key, pure=False
        )
        self._pending[future] = task

    def _wait(self) -> None:
        wait = load("distributed", "explore", "compute points in several processes").wait
        if self._pending:
            try:
                wait(list(self._pending), timeout=_LOOK_EVERY_S, return_when="FIRST_COMPLETED")
            except TimeoutError:
                return

    def _end_points(self) -> None:
        """Points that took too much: keep what was done before, go on with what comes after."""
        while not self._events.empty():
            event = self._events.get()
            future = next((f for f in self._pending if f.key == event["task"]), None)
            if future is None:
                continue
            task = self._pending.pop(future)
            future.cancel(force=True)
            self.keep(
                [*event["rows"], {"digest": event["digest"], **no_row(ENDED, event["reason"])}]
            )
            known = {event["digest"], *(row["digest"] for row in event["rows"])}
            self._put_back(task.of([job for job in task.jobs if job.digest not in known]))

    def _finish(self, future: Any, task: Task) -> None:
        if future.status == "finished":
            self.keep(future.result())
        elif future.status != "error":  # cancelled or lost: the scheduler knows no more of it
            self._put_back(task)
        elif isinstance(error := future.exception(), ZapdeployError):
            self.keep(failed(task, error))
        elif not _lost_its_worker(future):
            raise error
        elif len(task.jobs) > 1:
            self._again += [task.of([job]) for job in task.jobs]
        elif task.attempt + 1 < _ATTEMPTS:
            self._put_back(task.of(task.jobs, task.attempt + 1))
        else:
            reason = "its worker was lost again and again while it was computed"
            self.keep([{"digest": task.jobs[0].digest, **no_row(ENDED, reason)}])

    def _put_back(self, task: Task) -> None:
        if task.jobs:
            self._again.append(task)


def _lost_its_worker(future: Any) -> bool:
    from distributed import KilledWorker

    return isinstance(future.exception(), KilledWorker)


def pending_tasks(tasks: Sequence[Task], known: Callable[[], set[str]]) -> Next:
    """Hands out tasks without what has become known meanwhile, from another client's work too."""
    waiting = list(reversed(tasks))

    def take() -> Task | None:
        while waiting:
            task, done = waiting.pop(), known()
            jobs = [job for job in task.jobs if job.digest not in done]
            if jobs:
                return task.of(jobs)
        return None

    return take
