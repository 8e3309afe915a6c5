"""Measured rows: ONNX Runtime on this machine's CPU or GPU, with energy metered or modelled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zapdeploy.benchmarks.baselines import Baseline, Instruments, Search, configurations
from zapdeploy.benchmarks.cpu_power import CpuPower, cpu_power
from zapdeploy.benchmarks.machine import BUSY_SHARE, Machine
from zapdeploy.benchmarks.meters import Reading
from zapdeploy.benchmarks.request import GPU, WorkItem
from zapdeploy.benchmarks.rows import NOT_STATED, Row, Scenario, exactly
from zapdeploy.benchmarks.runner import CPU_PROVIDER, GPU_PROVIDER, Configuration
from zapdeploy.benchmarks.timing_loop import NOISY, Effort, Timing
from zapdeploy.benchmarks.workloads import (
    FLOAT,
    ModelFile,
    float_file,
    quantized_file,
    sample_frames,
)
from zapdeploy.quantities import Estimate, Provenance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCHES = (1, 8, 32)


@dataclass(frozen=True)
class Setting:
    """Where and how measured rows are made."""

    machine: Machine
    versions: Mapping[str, str]
    effort: Effort
    frame_rate_hz: float | None
    instruments: Instruments
    meter_reason: str  # why there is no meter
    busy_share: Callable[[], float | None]


@dataclass(frozen=True)
class _Energy:
    """Joules per frame at the measured rate and at the frame rate, and whose joules they are."""

    active: Estimate | None
    at_frame_rate: Estimate | None
    boundary: str
    note: str


def measured_row(
    item: WorkItem,
    folder: Path,
    setting: Setting,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Row:
    """Find and measure the best configuration. Raises ZapdeployError when none runs."""
    files = _files(item, folder)

    def frames(count: int) -> Mapping[str, NDArray[np.float32]] | None:
        return sample_frames(item.workload, files[0], count)

    busy = setting.busy_share()
    search = Search(files, item.scenario, setting.effort, frames, setting.instruments)
    baseline = search.best_of(_candidates(item, files, setting.machine.cores), progress)
    energy = _energy(baseline, item, setting)
    return _row(item, files, baseline, energy, setting, _busy_note(busy))


def _candidates(
    item: WorkItem, files: tuple[ModelFile, ...], cores: int
) -> tuple[Configuration, ...]:
    provider = GPU_PROVIDER if item.target == GPU else CPU_PROVIDER
    on_gpu = item.target == GPU
    return configurations(files, item.scenario, cores, BATCHES, provider, on_gpu=on_gpu)


def _row(
    item: WorkItem,
    files: tuple[ModelFile, ...],
    baseline: Baseline,
    energy: _Energy,
    setting: Setting,
    busy_note: str,
) -> Row:
    best, timing = baseline.best.configuration, baseline.timing
    used = next(file for file in files if file.form == best.form)
    notes = (used.note, energy.note, busy_note, _noise_note(timing))
    return Row(
        key=item.key,
        model=item.workload.name,
        precision=item.precision,
        target=item.target,
        scenario=item.scenario,
        kind=Provenance.MEASURED,
        boundary=energy.boundary,
        source=f"ONNX Runtime {setting.versions.get('onnxruntime', '')}, driven by {timing.driver},"
        " measured here",
        batch=best.batch,
        frames_per_s=timing.frames_per_s,
        latency_s=timing.latency.p50_s,
        latency=timing.latency,
        energy_per_frame=energy.active,
        energy_at_frame_rate=energy.at_frame_rate,
        power=None if energy.active is None else energy.active.scaled(timing.frames_per_s),
        frame_rate_hz=setting.frame_rate_hz,
        noise=timing.noise,
        note="; ".join(note for note in notes if note),
        configuration={
            **best.as_json(),
            "queries": len(timing.durations_s),
            "driver": timing.driver,
        },
        tried=tuple(trial.as_json() for trial in baseline.tried),
        machine=setting.machine.summary,
        versions=setting.versions,
        digest=used.sha256,
    )


def _files(item: WorkItem, folder: Path) -> tuple[ModelFile, ...]:
    """The files that might be fastest: two forms of the same integers where they can be made."""
    workload, precision = item.workload, item.precision
    if precision == FLOAT:
        return (float_file(workload, folder),)
    first = quantized_file(workload, precision, "qdq", folder)
    if first.form == "given":
        return (first,)
    return (first, quantized_file(workload, precision, "qoperator", folder))


def _energy(baseline: Baseline, item: WorkItem, setting: Setting) -> _Energy:
    """By meter where one answered, else modelled for a CPU and left empty for a GPU."""
    reading, timing = baseline.best.reading, baseline.timing
    if reading is not None:
        return _metered(reading, timing)
    if item.target == GPU:
        return _Energy(None, None, NOT_STATED, setting.meter_reason)
    power = cpu_power(setting.machine.cpu, baseline.best.configuration.cores)
    active = power.active.scaled(1 / timing.frames_per_s)
    single = item.scenario is Scenario.SINGLE_STREAM
    streamed = _streamed(power, timing, setting.frame_rate_hz) if single else None
    note = f"{setting.meter_reason or 'the meter gave nothing'}; energy modelled: {power.source}"
    return _Energy(active, streamed, power.boundary, note)


def _metered(reading: Reading, timing: Timing) -> _Energy:
    per_frame = exactly(reading.joules / timing.frames, Provenance.MEASURED)
    return _Energy(per_frame, None, reading.boundary, f"energy: {reading.source}")


def _streamed(power: CpuPower, timing: Timing, frame_rate_hz: float | None) -> Estimate | None:
    """Joules per frame of a stream: running, then waiting. None if it cannot keep up."""
    busy_s = 1 / timing.frames_per_s
    if frame_rate_hz is None or busy_s * frame_rate_hz > 1:
        return None
    active, idle = power.active.scaled(busy_s), power.idle.scaled(1 / frame_rate_hz - busy_s)
    return Estimate(
        active.value + idle.value, active.low + idle.low, active.high + idle.high, active.kind
    )


def _busy_note(share: float | None) -> str:
    if share is None or share < BUSY_SHARE:
        return ""
    return f"other work kept {share:.0%} of the cores busy just before: expect better when idle"


def _noise_note(timing: Timing) -> str:
    if timing.noise < NOISY:
        return ""
    return f"the rate varied by {timing.noise:.0%} within the run: repeat it on an idle machine"
