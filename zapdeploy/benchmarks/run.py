"""Runs a benchmark piece by piece; what is finished is on disk and is not run again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zapdeploy.benchmarks.accuracy.accuracy import IMAGES, Accuracies
from zapdeploy.benchmarks.measured.loadgen import drive
from zapdeploy.benchmarks.measured.machine import (
    Machine,
    busy_share,
    gpu_name,
    package_versions,
    this_machine,
)
from zapdeploy.benchmarks.measured.meters import Device, MeterSearch, find_meter, idle_power_w
from zapdeploy.benchmarks.measured.timing_loop import Clock, time_paced
from zapdeploy.benchmarks.measured.torch_runner import TORCH_PROVIDER, torch_sees_gpu
from zapdeploy.benchmarks.request import (
    GPU,
    BenchmarkRequest,
    WorkItem,
    is_core_array,
    is_event_driven,
    work_items,
    workloads_of,
)
from zapdeploy.benchmarks.results.journal import locked
from zapdeploy.benchmarks.results.published import published_rows
from zapdeploy.benchmarks.results.recorded import recorded_rows
from zapdeploy.benchmarks.results.results import BenchmarkResult, ResultFolder
from zapdeploy.benchmarks.results.rows import Outcome, Row, Scenario
from zapdeploy.benchmarks.unsupported import not_run, refusal
from zapdeploy.errors import UsageError, ZapdeployError
from zapdeploy.platforms import available_memory_bytes
from zapdeploy.progress import Progress, StepProgress

if TYPE_CHECKING:
    from zapdeploy.benchmarks.measured.baselines import Drive, OpenQuery
    from zapdeploy.benchmarks.measured.measured import Setting
    from zapdeploy.benchmarks.simulated.event_rows import EventRows
    from zapdeploy.benchmarks.simulated.simulated import KeepDetails

Answered = Callable[[BenchmarkResult], None]
_ANSWERS = (Scenario.SINGLE_STREAM,)  # what says whether a network keeps up
QUICK_IMAGES = 32  # enough to see a network that lost its function


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
    torch_sees_gpu: Callable[[], bool] = torch_sees_gpu
    gpu_name: Callable[[], str] = gpu_name
    wait: Callable[[float], None] = time.sleep
    machine: Machine = field(default_factory=this_machine)


def run_benchmark(
    request: BenchmarkRequest,
    output: str | Path,
    *,
    resume: bool = False,
    cache: str | Path | None = None,
    progress: Progress = lambda what, done, total: None,
    answered: Answered = lambda result: None,
    tools: Tools | None = None,
) -> BenchmarkResult:
    """Run all pieces of the request that `output` does not hold yet; returns all that it holds.

    Made models go to `cache`, by default output/models. progress(what, done, total) is called as
    pieces begin and go on; answered(result) once when all networks have run one frame at a time
    and more is to come. Raises UsageError, TargetError or DataError before anything runs when
    the request or the folder is wrong; a piece that fails becomes a NotRun with its reason.
    """
    waiting = {item.key for item in work_items(request) if item.scenario in _ANSWERS}
    for outcome in benchmark_outcomes(
        request, output, resume=resume, cache=cache, progress=progress, tools=tools
    ):
        if outcome.key in waiting:
            waiting.remove(outcome.key)
            if not waiting:
                answered(ResultFolder(Path(output)).result())
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
    elsewhere = tuple(_elsewhere(request))
    folder = output_folder(Path(output))
    models = output_folder(Path(cache) if cache is not None else folder / "models")
    with locked(folder):
        if cache is None:
            _remove_leftovers(models)
        results = ResultFolder(folder)
        run = _Run(request, models, tools or Tools(), results.keep_details)
        results.begin(run.common(), resume=resume)
        done = results.rows().keys() | {k for k, one in results.not_run().items() if one.final}
        new = (row for row in elsewhere if row.key not in done)
        for outcome in chain(new, run.outcomes(items, done, progress)):
            results.add(outcome)
            yield outcome


def _elsewhere(request: BenchmarkRequest) -> Iterator[Row]:
    """Rows that others measured: published ones, and those recorded on other machines."""
    if request.published:
        for model in request.models:
            yield from published_rows(model, request.frame_rate_hz)
    for folder in request.recorded:
        yield from recorded_rows(folder, workloads_of(request), request.frame_rate_hz)


class _Run:
    """One run: its request, where models go, and the tools, asked for only when needed."""

    def __init__(
        self, request: BenchmarkRequest, models: Path, tools: Tools, keep: KeepDetails
    ) -> None:
        self.request = request
        self.models = models
        self.keep = keep
        self.tools = tools
        self.versions = package_versions()
        self._settings: dict[str, Setting] = {}
        self._event_rows: EventRows | None = None
        self._engines: tuple[str, ...] | None = None
        images = QUICK_IMAGES if request.effort.short else IMAGES
        self._accuracies = Accuracies(request.data, models, images=images)

    def common(self) -> dict[str, Any]:
        machine = asdict(self.tools.machine)
        settings = self.request.settings()
        return {"settings": settings, "machine": machine, "versions": self.versions}

    def outcomes(
        self, items: tuple[WorkItem, ...], done: set[str], progress: Progress
    ) -> Iterator[Outcome]:
        for index, item in enumerate(items):
            if item.key in done:
                continue
            progress(item.label, index, len(items))
            yield self._outcome(item, _within(progress, item.label, index, len(items)))
        progress("done", len(items), len(items))

    def _outcome(self, item: WorkItem, progress: StepProgress) -> Outcome:
        refused = refusal(item, self.engines)
        if refused is not None:
            return refused
        try:
            if is_event_driven(item.target):
                return self._event_driven(item)
            if is_core_array(item.target):
                outcome = self._simulated(item, progress)
            else:
                outcome = self._measured(item, progress)
            return self._accuracies.judged(item, outcome) if isinstance(outcome, Row) else outcome
        except ZapdeployError as error:
            return not_run(item, str(error), final=False)

    @property
    def engines(self) -> tuple[str, ...]:
        """ONNX Runtime's providers, and torch where a GPU is asked for and torch sees one."""
        from zapdeploy.benchmarks.measured.runner import available_providers

        if self._engines is None:
            providers = (self.tools.providers or available_providers)()
            with_torch = GPU in self.request.targets and self.tools.torch_sees_gpu()
            self._engines = (*providers, TORCH_PROVIDER) if with_torch else providers
        return self._engines

    def _simulated(self, item: WorkItem, progress: StepProgress) -> Outcome:
        from zapdeploy.benchmarks.simulated.simulated import simulated_outcome

        rate = self.request.frame_rate_hz
        return simulated_outcome(item, self.models, rate, self.versions, self.keep, progress)

    def _event_driven(self, item: WorkItem) -> Outcome:
        from zapdeploy.benchmarks.simulated.event_rows import EventRows

        if self._event_rows is None:
            self._event_rows = EventRows(self.request.data, self.versions)
        return self._event_rows.row(item, self.models)

    def _measured(self, item: WorkItem, progress: StepProgress) -> Outcome:
        from zapdeploy.benchmarks.measured.measured import measured_row

        if item.target not in self._settings:
            self._settings[item.target] = self._setting("gpu" if item.target == GPU else "cpu")
        return measured_row(item, self.models, self._settings[item.target], progress)

    def _setting(self, device: Device) -> Setting:
        """Instruments of that device; its meter is looked for once."""
        from zapdeploy.benchmarks.measured.baselines import Instruments
        from zapdeploy.benchmarks.measured.measured import Setting
        from zapdeploy.benchmarks.measured.runner import open_query

        tools = self.tools
        search = tools.find_meter(device)
        instruments = Instruments(
            tools.clock,
            search.meter,
            tools.open_query or open_query,
            tools.memory_bytes,
            tools.drive,
            partial(time_paced, sleep=tools.wait),
        )
        return Setting(
            machine=tools.machine,
            versions=self.versions,
            effort=self.request.effort,
            frame_rate_hz=self.request.frame_rate_hz,
            instruments=instruments,
            meter_reason=search.reason,
            busy_share=tools.busy_share,
            engines=self.engines,
            gpu=tools.gpu_name() if device == "gpu" else "",
            idle_w=idle_power_w(search.meter, tools.clock, tools.wait),
        )


def _within(progress: Progress, label: str, index: int, count: int) -> StepProgress:
    """The progress of one piece, as part of the whole."""
    return lambda done, total: progress(f"{label} ({done + 1} of {total})", index, count)


def output_folder(folder: Path) -> Path:
    """The folder, made where it is not there. Raises UsageError where it cannot be."""
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
