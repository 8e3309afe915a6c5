"""Runs a benchmark piece by piece; what is finished is on disk and is not run again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zapdeploy.benchmarks.journal import locked
from zapdeploy.benchmarks.loadgen import drive
from zapdeploy.benchmarks.machine import (
    Machine,
    available_memory_bytes,
    busy_share,
    package_versions,
    this_machine,
)
from zapdeploy.benchmarks.meters import Device, MeterSearch, find_meter
from zapdeploy.benchmarks.published import published_rows
from zapdeploy.benchmarks.request import (
    GPU,
    BenchmarkRequest,
    WorkItem,
    is_core_array,
    is_event_driven,
    work_items,
)
from zapdeploy.benchmarks.results import BenchmarkResult, ResultFolder
from zapdeploy.benchmarks.rows import NotRun, Outcome
from zapdeploy.benchmarks.timing_loop import Clock
from zapdeploy.benchmarks.workloads import FLOAT, INT4, INT8
from zapdeploy.errors import UsageError, ZapdeployError

if TYPE_CHECKING:
    from zapdeploy.benchmarks.baselines import Drive, OpenQuery
    from zapdeploy.benchmarks.event_rows import EventRows
    from zapdeploy.benchmarks.measured import Setting

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Tools:
    """The outside world: clock, load generator, meters, ONNX Runtime (None: the installed one)."""

    clock: Clock = time.perf_counter
    drive: Drive = drive
    find_meter: Callable[[Device], MeterSearch] = find_meter
    open_query: OpenQuery | None = None
    providers: Callable[[], tuple[str, ...]] | None = None
    busy_share: Callable[[], float | None] = busy_share
    memory_bytes: Callable[[], int] = available_memory_bytes
    machine: Machine = field(default_factory=this_machine)


def run_benchmark(
    request: BenchmarkRequest,
    output: str | Path,
    *,
    resume: bool = False,
    cache: str | Path | None = None,
    progress: Progress = lambda what, done, total: None,
    tools: Tools | None = None,
) -> BenchmarkResult:
    """Run all pieces of the request that `output` does not hold yet; returns all that it holds.

    Made models go to `cache`, by default output/models. progress(what, done, total) is called as
    pieces begin and go on. Raises UsageError, TargetError or DataError before anything runs when
    the request or the folder is wrong; a piece that fails becomes a NotRun with its reason.
    """
    for _ in benchmark_outcomes(
        request, output, resume=resume, cache=cache, progress=progress, tools=tools
    ):
        pass
    return ResultFolder(Path(output)).result()


def benchmark_outcomes(
    request: BenchmarkRequest,
    output: str | Path,
    *,
    resume: bool = False,
    cache: str | Path | None = None,
    progress: Progress = lambda what, done, total: None,
    tools: Tools | None = None,
) -> Iterator[Outcome]:
    """The same as an iterator over new outcomes, each on disk before it is handed out."""
    items = work_items(request)
    folder = _made(Path(output))
    models = _made(Path(cache) if cache is not None else folder / "models")
    with locked(folder):
        if cache is None:
            _remove_leftovers(models)
        run = _Run(request, models, tools or Tools())
        results = ResultFolder(folder)
        results.begin(run.common(), resume=resume)
        done = results.rows().keys() | {k for k, one in results.not_run().items() if one.final}
        for outcome in run.outcomes(items, done, progress):
            results.add(outcome)
            yield outcome


class _Run:
    """One run: its request, where models go, and the tools, asked for only when needed."""

    def __init__(self, request: BenchmarkRequest, models: Path, tools: Tools) -> None:
        self.request = request
        self.models = models
        self.tools = tools
        self.versions = package_versions()
        self._settings: dict[str, Setting] = {}
        self._event_rows: EventRows | None = None

    def common(self) -> dict[str, Any]:
        machine = asdict(self.tools.machine)
        settings = self.request.settings()
        return {"settings": settings, "machine": machine, "versions": self.versions}

    def outcomes(
        self, items: tuple[WorkItem, ...], done: set[str], progress: Progress
    ) -> Iterator[Outcome]:
        if self.request.published:
            yield from self._published(done)
        for index, item in enumerate(items):
            if item.key in done:
                continue
            progress(item.label, index, len(items))
            yield self._outcome(item, _within(progress, item.label, index, len(items)))
        progress("done", len(items), len(items))

    def _published(self, done: set[str]) -> Iterator[Outcome]:
        for model in self.request.models:
            for row in published_rows(model, self.request.frame_rate_hz):
                if row.key not in done:
                    yield row

    def _outcome(self, item: WorkItem, progress: Callable[[int, int], None]) -> Outcome:
        refusal = self._refusal(item)
        if refusal is not None:
            return refusal
        try:
            if is_event_driven(item.target):
                return self._event_driven(item)
            if is_core_array(item.target):
                return self._simulated(item, progress)
            return self._measured(item, progress)
        except ZapdeployError as error:
            return _not_run(item, str(error), final=False)

    def _refusal(self, item: WorkItem) -> NotRun | None:
        """Combinations that cannot give a number, whatever the model."""
        if is_core_array(item.target) or is_event_driven(item.target):
            if item.precision != FLOAT:
                return None
            return _not_run(item, f"{item.target} computes in integers: no fp32")
        if item.precision == INT4:
            why = (
                "ONNX Runtime has no int4 kernels that compute in integers: its int4 runs in float"
            )
            return _not_run(item, why)
        if item.target == GPU and item.precision == INT8:
            why = "ONNX Runtime's CUDA provider has no int8 kernels: its int8 runs in float"
            return _not_run(item, why)
        return self._missing_provider(item)

    def _missing_provider(self, item: WorkItem) -> NotRun | None:
        from zapdeploy.benchmarks.runner import CPU_PROVIDER, GPU_PROVIDER, available_providers

        providers = (self.tools.providers or available_providers)()
        if item.target == GPU and GPU_PROVIDER not in providers:
            why = (
                "needs an NVIDIA GPU and ONNX Runtime's CUDA provider: pip install onnxruntime-gpu"
            )
            return _not_run(item, why, final=False)
        if CPU_PROVIDER not in providers:
            return _not_run(item, "needs ONNX Runtime: pip install onnxruntime", final=False)
        return None

    def _simulated(self, item: WorkItem, progress: Callable[[int, int], None]) -> Outcome:
        from zapdeploy.benchmarks.simulated import simulated_outcome

        rate = self.request.frame_rate_hz
        return simulated_outcome(item, self.models, rate, self.versions, progress)

    def _event_driven(self, item: WorkItem) -> Outcome:
        from zapdeploy.benchmarks.event_rows import EventRows

        if self._event_rows is None:
            self._event_rows = EventRows(self.request.data, self.versions)
        return self._event_rows.row(item, self.models)

    def _measured(self, item: WorkItem, progress: Callable[[int, int], None]) -> Outcome:
        from zapdeploy.benchmarks.measured import measured_row

        if item.target not in self._settings:
            self._settings[item.target] = self._setting("gpu" if item.target == GPU else "cpu")
        return measured_row(item, self.models, self._settings[item.target], progress)

    def _setting(self, device: Device) -> Setting:
        """Instruments of that device; its meter is looked for once."""
        from zapdeploy.benchmarks.baselines import Instruments
        from zapdeploy.benchmarks.measured import Setting
        from zapdeploy.benchmarks.runner import open_query

        tools = self.tools
        search = tools.find_meter(device)
        instruments = Instruments(
            tools.clock,
            search.meter,
            tools.open_query or open_query,
            tools.memory_bytes,
            tools.drive,
        )
        return Setting(
            machine=tools.machine,
            versions=self.versions,
            effort=self.request.effort,
            frame_rate_hz=self.request.frame_rate_hz,
            instruments=instruments,
            meter_reason=search.reason,
            busy_share=tools.busy_share,
        )


def _not_run(item: WorkItem, reason: str, *, final: bool = True) -> NotRun:
    return NotRun(
        item.key, item.workload.name, item.precision, item.target, item.scenario, reason, final
    )


def _within(progress: Progress, label: str, index: int, count: int) -> Callable[[int, int], None]:
    """The progress of one piece, as part of the whole."""
    return lambda done, total: progress(f"{label} ({done + 1} of {total})", index, count)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"output must be a folder that can be made, not {str(folder)!r}: {error.strerror}; "
            "give another one"
        ) from error
    return folder


def _remove_leftovers(models: Path) -> None:
    """Half-written files of a killed run; nobody else writes to this folder."""
    for path in (*models.glob(".*.part"), *models.glob(".*.recipe.json.*")):
        path.unlink(missing_ok=True)
