"""Simulated rows: a model compiled for a core-array target and priced there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zapdeploy.benchmarks.request import WorkItem
from zapdeploy.benchmarks.rows import NotRun, Outcome, Row, Scenario
from zapdeploy.benchmarks.workloads import INT8, ModelFile, quantized_file
from zapdeploy.quantities import Estimate, Provenance

if TYPE_CHECKING:
    from zapdeploy.compile.program import Program
    from zapdeploy.sim.results import Result

BATCHES = (1, 8, 32)


@dataclass(frozen=True)
class _Attempt:
    """One batch: its result, or what does not fit."""

    batch: int
    objective: str
    result: Result | None
    unfit: str

    def as_json(self) -> Mapping[str, Any]:
        result = self.result
        return {
            "batch": self.batch,
            "objective": self.objective,
            "frames_per_s": None if result is None else result.throughput_fps,
            "latency_s": None if result is None else result.latency_s,
            "refused": self.unfit,
        }


def simulated_outcome(
    item: WorkItem,
    folder: Path,
    frame_rate_hz: float | None,
    versions: Mapping[str, str],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """SingleStream: batch 1, compiled for latency. Offline: the best of several batches.

    NotRun where no batch fits the chip. Raises ZapdeployError when the model cannot be compiled.
    """
    workload, precision, target, scenario = (
        item.workload,
        item.precision,
        item.target,
        item.scenario,
    )
    file = quantized_file(workload, precision, "qdq" if precision == INT8 else "packed", folder)
    single = scenario is Scenario.SINGLE_STREAM
    batches = (1,) if single else BATCHES
    attempts: list[_Attempt] = []
    for batch in batches:
        progress(len(attempts), len(batches))
        attempts.append(_attempt(file, target, batch, "latency" if single else "throughput"))
    results = [attempt.result for attempt in attempts if attempt.result is not None]
    if not results:
        return NotRun(item.key, workload.name, precision, target, scenario, attempts[0].unfit)
    common: dict[str, Any] = {
        "key": item.key,
        "model": workload.name,
        "precision": precision,
        "target": target,
        "scenario": scenario,
        "frame_rate_hz": frame_rate_hz,
        "note": file.note,
        "tried": tuple(attempt.as_json() for attempt in attempts),
        "versions": versions,
    }
    best = max(results, key=lambda result: result.throughput_fps)
    return (_single_stream if single else _offline)(best, common)


def _attempt(file: ModelFile, target: str, batch: int, objective: str) -> _Attempt:
    from zapdeploy.api import compile_model, simulate

    program = compile_model(file.path, target, batch=batch, objective=objective)
    if not program.fits:
        return _Attempt(batch, objective, None, _unfit_text(program, batch))
    return _Attempt(batch, objective, simulate(program), "")


def _unfit_text(program: Program, batch: int) -> str:
    unfit = program.unfit
    if unfit is None:
        return ""
    helps = f"; what would help: {', '.join(unfit.hints)}" if unfit.hints else ""
    return (
        f"does not fit at batch {batch}: layer {unfit.layer} demands {unfit.demanded:,} bytes of "
        f"{unfit.what}, the limit is {unfit.limit:,}{helps}"
    )


def _single_stream(result: Result, common: dict[str, Any]) -> Row:
    """One frame at a time: the chip idles while frame and result cross the host link."""
    from zapdeploy.sim.results import summarize

    rate = 1 / result.latency_s
    streamed = summarize(result.program, rate).at_frame_rate
    wanted = common["frame_rate_hz"]
    at_rate = None if wanted is None else summarize(result.program, wanted).at_frame_rate
    keeps_up = at_rate is not None and at_rate.keeps_up
    return _row(
        result,
        rate,
        result.energy_per_frame if streamed is None else streamed.energy_per_frame,
        {
            **common,
            "energy_at_frame_rate": at_rate.energy_per_frame if at_rate and keeps_up else None,
        },
    )


def _offline(result: Result, common: dict[str, Any]) -> Row:
    """Batches back to back, transfers overlapping with the array's work."""
    return _row(result, result.throughput_fps, result.energy_per_frame, common)


def _row(result: Result, rate: float, energy: Estimate, common: dict[str, Any]) -> Row:
    program = result.program
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
        digest=program.digest,
        **common,
    )


def _configuration(result: Result) -> Mapping[str, Any]:
    program = result.program
    return {
        "batch": result.batch,
        "objective": program.options.objective,
        "chips": program.options.chips,
        "cycles": result.timeline.cycles,
        "bound_frames_per_s": result.bound_throughput_fps,
        "utilization": result.utilization,
        "file": program.origin.name,
        "file_sha256": program.origin.sha256,
    }
