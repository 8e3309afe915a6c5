"""What a benchmark run was asked for, checked, and cut into pieces of one row each."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from zapdeploy.benchmarks.models.workloads import (
    FLOAT,
    INT4,
    INT8,
    PRECISIONS,
    ModelSize,
    Workload,
    find_workload,
)
from zapdeploy.benchmarks.results.rows import Scenario
from zapdeploy.errors import UsageError

CPU, GPU = "cpu", "gpu"
FULL_SECONDS = 5.0


@dataclass(frozen=True)
class Effort:
    """How long to measure: at least so many queries and seconds, but no more than `max_seconds`
    once there are `few_queries`. A trial, which only ranks configurations, takes `trial_seconds`
    or two queries. Frames that come at a rate of their own are waited for `paced_seconds` at most,
    once there are `few_queries`.
    """

    warmup: int = 2
    min_queries: int = 20
    min_seconds: float = FULL_SECONDS
    max_seconds: float = 60.0
    few_queries: int = 5
    trial_seconds: float = 0.5
    paced_seconds: float = 30.0

    @property
    def short(self) -> bool:
        """Too short for figures to be handed on: every row then stands with its spread."""
        return self.min_seconds < FULL_SECONDS

    def __post_init__(self) -> None:
        if self.min_queries < 1 or self.few_queries < 1 or self.warmup < 0:
            raise UsageError(
                f"queries must be 1 or more and warm-up 0 or more, not {self.min_queries}, "
                f"{self.few_queries} and {self.warmup} (effort); give larger numbers"
            )
        if not 0 <= self.min_seconds <= self.max_seconds < math.inf:
            raise UsageError(
                f"seconds must be from 0 to max_seconds {self.max_seconds:g}, not "
                f"{self.min_seconds:g} (effort); give a shorter minimum"
            )

    def as_trial(self) -> Effort:
        seconds = min(self.trial_seconds, self.max_seconds)
        return Effort(min(self.warmup, 1), 2, seconds, seconds, 2, seconds)


# For a first look: a second for each configuration in full, a moment for each trial.
QUICK = Effort(
    warmup=1,
    min_queries=5,
    min_seconds=1.0,
    max_seconds=3.0,
    few_queries=3,
    trial_seconds=0.1,
    paced_seconds=3.0,
)


@dataclass(frozen=True)
class BenchmarkRequest:
    """models: names of zapdeploy's networks, folders that training wrote, or paths of ONNX files.
    targets: "cpu", "gpu", names of chips, or paths of core arrays' TOML files. frame_rate_hz: the
    microscope's, for deadlines and for energy with waiting included. published: whether to add
    published results. data: the recording that event-driven chips are fed with, and that trained
    forecasters are judged on; None: what each was trained on, else the synthetic one. thresholds:
    of event-driven neurons, in steps of each layer's code. recorded: folders of results from
    other machines, whose measured rows are added.
    """

    models: tuple[str, ...] = ("resnet50", "tsmixer-c4")
    targets: tuple[str, ...] = ("northpole-sim", CPU)
    precisions: tuple[str, ...] = (FLOAT, INT8, INT4)
    frame_rate_hz: float | None = None
    size: ModelSize = field(default_factory=ModelSize)
    effort: Effort = field(default_factory=Effort)
    published: bool = True
    data: str | None = None
    thresholds: tuple[int, ...] = (0, 2, 4, 8, 16)
    recorded: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for what in ("models", "targets", "precisions"):
            given: tuple[str, ...] = getattr(self, what)
            if not given:
                raise UsageError(f"--{what} must name at least one, not none; name one")
            if len(set(given)) < len(given):
                raise UsageError(
                    f"--{what} must name each once, not {', '.join(given)}; remove the repeated one"
                )
        for precision in self.precisions:
            if precision not in PRECISIONS:
                raise UsageError(
                    f"--precisions must be of {', '.join(PRECISIONS)}, not '{precision}'; "
                    "choose from them"
                )
        rate = self.frame_rate_hz
        if rate is not None and not 0 < rate < math.inf:
            raise UsageError(f"--frame-rate must be above 0 Hz, not {rate:g}; give a rate")

    def settings(self) -> dict[str, Any]:
        """What all rows of one folder must have in common."""
        return {
            "frame_rate_hz": self.frame_rate_hz,
            "size": asdict(self.size),
            "effort": asdict(self.effort),
            "data": self.data,
        }


@dataclass(frozen=True)
class WorkItem:
    """One row to be: its key changes with whatever changes the row."""

    key: str
    workload: Workload
    precision: str
    target: str
    scenario: Scenario
    threshold: int | None = None  # of an event-driven chip

    @property
    def label(self) -> str:
        how = self.scenario.value if self.threshold is None else f"threshold {self.threshold}"
        return f"{self.workload.name} {self.precision} on {self.target}, {how}"


def workloads_of(request: BenchmarkRequest) -> tuple[Workload, ...]:
    """The networks asked for. Raises UsageError for unknown names."""
    return tuple(find_workload(name, request.size) for name in request.models)


def work_items(request: BenchmarkRequest) -> tuple[WorkItem, ...]:
    """All pieces in the order they run: what answers whether a network keeps up, one frame at a
    time, before what is as fast as can be. Raises UsageError or TargetError for unknown names.
    """
    workloads = workloads_of(request)
    marks = {target: _target_mark(target) for target in request.targets}
    items = _items(workloads, marks, request)
    return tuple(sorted(items, key=lambda item: item.scenario is not Scenario.SINGLE_STREAM))


def is_core_array(target: str) -> bool:
    """Whether a target is a core array: neither this machine nor an event-driven chip."""
    return target not in (CPU, GPU) and not is_event_driven(target)


def is_event_driven(target: str) -> bool:
    """Whether a target is an event-driven chip, by name or by file."""
    from zapdeploy.hardware_targets import event_driven_names, is_event_driven_file

    return target in event_driven_names() or is_event_driven_file(target)


def _items(
    workloads: tuple[Workload, ...], marks: dict[str, str], request: BenchmarkRequest
) -> Iterator[WorkItem]:
    for workload in workloads:
        for target, mark in marks.items():
            for precision in request.precisions:
                key = "|".join((workload.name, workload.identity[:12], mark, precision))
                yield from _ways(key, workload, precision, target, request)


def _ways(
    key: str, workload: Workload, precision: str, target: str, request: BenchmarkRequest
) -> Iterator[WorkItem]:
    """Both scenarios; of an event-driven chip, one frame at a time at every threshold."""
    if not is_event_driven(target):
        for scenario in Scenario:
            yield WorkItem(f"{key}|{scenario.value}", workload, precision, target, scenario)
        return
    single = Scenario.SINGLE_STREAM
    for threshold in request.thresholds:
        name = f"{key}|{single.value}|{threshold}"
        yield WorkItem(name, workload, precision, target, single, threshold)


def _target_mark(target: str) -> str:
    """The target's name, and for a core array the start of its description's digest."""
    if not is_core_array(target):
        return target
    from zapdeploy.hardware_targets import load_target, target_text

    load_target(target)
    _, text = target_text(target)
    return f"{target}@{hashlib.sha256(text.encode()).hexdigest()[:12]}"
