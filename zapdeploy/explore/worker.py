"""What runs in a worker process: a task of points, and the watch over how long and how much each
takes. A point that takes too much is reported, and ended with its process: a computation cannot be
stopped in any other way. Whoever started the process starts another.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from zapdeploy.explore.evaluate import AnyJob, Workshop
from zapdeploy.explore.sources import NetworkFile
from zapdeploy.platforms import give_back_memory

TOPIC = "zapdeploy-explore"
_LOOK_EVERY_S = 0.2
_REPORT_S = 1.5  # until a report has surely left
_SHORT = 0.6  # of the memory limit: then what is kept for the next points goes
_workshop = Workshop()  # of this process


@dataclass(frozen=True)
class Allowed:
    """Seconds and bytes of one point."""

    seconds: float
    memory_bytes: float


def compute_task(
    task: str,
    network: str,
    source: NetworkFile,
    jobs: Sequence[AnyJob],
    allowed: Allowed,
) -> list[dict[str, Any]]:
    """The rows of all jobs; called by Dask, in the only thread of a worker."""
    from distributed import get_worker

    worker = get_worker()
    file = source.at(Path(worker.local_directory, network))
    rows: list[dict[str, Any]] = []

    def report(digest: str, reason: str) -> None:
        message = {"task": task, "digest": digest, "reason": reason, "rows": list(rows)}
        worker.log_event(TOPIC, message)

    with Watch(allowed, report) as watch:
        for job in jobs:
            if memory_bytes() > _SHORT * allowed.memory_bytes:
                _workshop.forget()
                give_back_memory()
            watch.begin(job.digest)
            rows.append(_workshop.row(network, file, job))
    return rows


def memory_bytes() -> int:
    """Memory that this process holds now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


@dataclass
class Watch:
    """Looks on while points are computed; `report(digest, reason)` before the process is ended."""

    allowed: Allowed
    report: Callable[[str, str], None]
    end: Callable[[int], Any] = os._exit
    _digest: str = ""
    _began: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)

    def begin(self, digest: str) -> None:
        self._digest, self._began = digest, time.monotonic()

    def __enter__(self) -> Watch:
        threading.Thread(target=self._look, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()

    def _look(self) -> None:
        while not self._over.wait(_LOOK_EVERY_S):
            digest, reason = self._digest, self._too_much()
            if reason:
                self.report(digest, reason)
                if not self._over.wait(_REPORT_S):
                    self.end(1)
                return

    def _too_much(self) -> str:
        if not self._digest:
            return ""
        if time.monotonic() - self._began > self.allowed.seconds:
            return f"took longer than {self.allowed.seconds:g} s"
        if memory_bytes() > self.allowed.memory_bytes:
            return f"took more than {self.allowed.memory_bytes / 1e9:g} GB of memory"
        return ""
