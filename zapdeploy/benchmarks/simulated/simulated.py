"""Simulated rows: a model compiled for a core-array target and priced there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zapdeploy.benchmarks.models.model_files import ModelFile, precision_file, sample_frames
from zapdeploy.benchmarks.models.workloads import Workload
from zapdeploy.benchmarks.request import WorkItem
from zapdeploy.benchmarks.results.details import details_json
from zapdeploy.benchmarks.results.rows import NotRun, Outcome, Row, Scenario
from zapdeploy.progress import StepProgress
from zapdeploy.quantities import Estimate, Provenance

if TYPE_CHECKING:
    from zapdeploy.compile.multichip.pipeline import Pipeline
    from zapdeploy.sim.activity import ActivityResult
    from zapdeploy.sim.results import Result

BATCHES = (1, 8, 32)
KeepDetails = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True)
class _Attempt:
    """One batch: its result, or what does not fit."""

    batch: int
    objective: str
    result: Result | None
    violation: str

    def as_json(self) -> Mapping[str, Any]:
        result = self.result
        return {
            "batch": self.batch,
            "objective": self.objective,
            "timing": "estimated",
            "frames_per_s": None if result is None else result.throughput_fps,
            "latency_s": None if result is None else result.latency_s,
            "refused": self.violation,
        }


def simulated_outcome(
    item: WorkItem,
    folder: Path,
    frame_rate_hz: float | None,
    versions: Mapping[str, str],
    keep: KeepDetails = lambda digest, document: None,
    progress: StepProgress = lambda done, total: None,
) -> Outcome:
    """SingleStream: batch 1, compiled for latency. Offline: the best of several batches.

    Batches are tried by the compiler's estimate; the best is scheduled, and its times are the
    schedule's. keep(digest, document) is given its details before this returns.
    NotRun where no batch fits the chip. Raises ZapdeployError when the model cannot be compiled.
    """
    workload, precision, target, scenario = (
        item.workload,
        item.precision,
        item.target,
        item.scenario,
    )
    file = precision_file(workload, precision, folder, core_array=True)
    single = scenario is Scenario.SINGLE_STREAM
    batches = (1,) if single else BATCHES
    attempts: list[_Attempt] = []
    results: list[Result] = []
    for batch in batches:
        progress(len(attempts), len(batches))
        chips = results[0].chips if results else None  # larger batches get no more than one frame
        objective = "latency" if single else "throughput"
        attempts.append(_attempt(file, target, batch, objective, chips))
        results += [attempts[-1].result] if attempts[-1].result is not None else []
    if not results:
        return NotRun(item.key, workload.name, precision, target, scenario, attempts[0].violation)
    common: dict[str, Any] = {
        "key": item.key,
        "model": workload.name,
        "precision": precision,
        "target": target,
        "scenario": scenario,
        "frame_rate_hz": frame_rate_hz,
        "note": _note(file.note, results[0].chips),
        "tried": tuple(attempt.as_json() for attempt in attempts),
        "versions": versions,
    }
    best = _scheduled(max(results, key=lambda result: result.throughput_fps))
    activity = _activity(workload, file, best) if single else None
    keep(best.pipeline.digest, details_json(best, activity))
    return (_single_stream if single else _offline)(best, common)


def _scheduled(result: Result) -> Result:
    """The same program, timed by a schedule of every unit and link."""
    from zapdeploy.api import simulate

    return simulate(result.pipeline, frame_rate_hz=result.frame_rate_hz)


def _activity(workload: Workload, file: ModelFile, result: Result) -> ActivityResult | None:
    """Energy by the bits of two windows that training kept; None where weights or inputs are made
    up, whose bits say nothing."""
    from zapdeploy.sim.activity import FRAMES, measure_activity
    from zapdeploy.sim.batches import in_batches

    windows = None if workload.windows is None else sample_frames(workload, file, FRAMES)
    if windows is None:
        return None
    return measure_activity(result, in_batches(result.pipeline.interface, windows))


def _note(note: str, chips: int) -> str:
    """What to know of a row; its energy is that of all chips."""
    several = () if chips == 1 else (f"{chips} chips in a pipeline",)
    return "; ".join((*several, *filter(None, (note,))))


def _attempt(
    file: ModelFile, target: str, batch: int, objective: str, chips: int | None
) -> _Attempt:
    from zapdeploy.api import compile_model, simulate
    from zapdeploy.sim.asked import ESTIMATE

    program = compile_model(file.path, target, batch=batch, chips=chips, objective=objective)
    if not program.fits:
        return _Attempt(batch, objective, None, _violation_text(program, batch))
    return _Attempt(batch, objective, simulate(program, level=ESTIMATE), "")


def _violation_text(program: Pipeline, batch: int) -> str:
    violation = program.violation
    if violation is None:
        return ""
    helps = f"; what would help: {', '.join(violation.hints)}" if violation.hints else ""
    return (
        f"does not fit at batch {batch}: layer {violation.layer} demands {violation.demanded:,}"
        f" bytes of {violation.what}, the limit is {violation.limit:,}{helps}"
    )


def _single_stream(result: Result, common: dict[str, Any]) -> Row:
    """One frame at a time: the chip idles while frame and result cross the host link."""
    rate = 1 / result.latency_s
    wanted = common["frame_rate_hz"]
    at_rate = None if wanted is None else result.at(wanted)
    keeps_up = at_rate is not None and at_rate.keeps_up
    return _row(
        result,
        rate,
        result.at(rate).energy_per_frame,
        {
            **common,
            "energy_at_frame_rate": at_rate.energy_per_frame if at_rate and keeps_up else None,
        },
    )


def _offline(result: Result, common: dict[str, Any]) -> Row:
    """Batches back to back, transfers overlapping with the array's work."""
    return _row(result, result.throughput_fps, result.energy_per_frame, common)


def _row(result: Result, rate: float, energy: Estimate, common: dict[str, Any]) -> Row:
    program = result.pipeline
    return Row(
        kind=Provenance.SIMULATED,
        boundary=program.target.energy.boundary,
        source=f"zapdeploy {program.version}, simulated on {program.target.name}",
        batch=result.batch,
        frames_per_s=rate,
        latency_s=result.latency_s,
        energy_per_frame=energy,
        power=energy.scaled(rate),
        configuration=_configuration(result),
        limiter=result.limiter,
        transistors=_transistors(result),
        digest=program.digest,
        **common,
    )


def _transistors(result: Result) -> float | None:
    """Of all chips, where the target says how many one has."""
    of_one = result.pipeline.target.array.transistors
    return None if of_one is None else of_one.value * result.chips


def _configuration(result: Result) -> Mapping[str, Any]:
    program = result.pipeline
    return {
        "batch": result.batch,
        "objective": program.options.objective,
        "chips": program.options.chips,
        "cycles": result.cycles,
        "timing": result.stages[0].timeline.level,
        "bound_frames_per_s": result.bound_throughput_fps,
        "utilization": result.utilization,
        "file": program.origin.name,
        "file_sha256": program.origin.sha256,
    }
