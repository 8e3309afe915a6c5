"""Measured rows: ONNX Runtime on this machine's CPU or GPU, with energy metered or modelled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from zapdeploy.benchmarks.measured.baselines import Baseline, Instruments, Search, configurations
from zapdeploy.benchmarks.measured.cpu_power import CpuPower, cpu_power
from zapdeploy.benchmarks.measured.machine import BUSY_SHARE, Machine
from zapdeploy.benchmarks.measured.meters import Reading
from zapdeploy.benchmarks.measured.runner import DEFAULT, EXACT, HALF, Configuration
from zapdeploy.benchmarks.measured.timing_loop import Timing
from zapdeploy.benchmarks.measured.torch_runner import TORCH_PROVIDER
from zapdeploy.benchmarks.models.gpu_files import torch_file
from zapdeploy.benchmarks.models.model_files import (
    ModelFile,
    precision_file,
    quantized_file,
    sample_frames,
)
from zapdeploy.benchmarks.models.workloads import FLOAT, FLOAT16, INT8
from zapdeploy.benchmarks.request import GPU, Effort, WorkItem
from zapdeploy.benchmarks.results.rows import NOISY, NOT_STATED, Row, Scenario, exactly
from zapdeploy.machine import package_version
from zapdeploy.onnxruntime_sessions import CPU_PROVIDER, GPU_PROVIDER
from zapdeploy.progress import StepProgress
from zapdeploy.quantities import Estimate, Provenance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCHES = (1, 8, 32)
GPU_BATCHES = (*BATCHES, 128, 256)
_TRANSFERS = "from the host's memory and back to it, in the engine's default float arithmetic"


@dataclass(frozen=True)
class Setting:
    """Where and how measured rows are made.

    engines: ONNX Runtime's providers and, where it sees a GPU, torch. idle_w: by the meter.
    """

    machine: Machine
    versions: Mapping[str, str]
    effort: Effort
    frame_rate_hz: float | None
    instruments: Instruments
    meter_reason: str  # why there is no meter
    busy_share: Callable[[], float | None]
    engines: tuple[str, ...] = (CPU_PROVIDER,)
    gpu: str = ""
    idle_w: float | None = None


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
    progress: StepProgress = lambda done, total: None,
) -> Row:
    """Find and measure the best configuration. Raises ZapdeployError when none runs."""
    files = _files(item, folder, setting.engines)

    def frames(count: int) -> Mapping[str, NDArray[np.float32]] | None:
        return sample_frames(item.workload, files[0], count)

    busy = setting.busy_share()
    search = Search(files, item.scenario, setting.effort, frames, setting.instruments)
    baseline = search.best_of(_candidates(item, files, setting), progress)
    rate = setting.frame_rate_hz
    if rate is not None and item.scenario is Scenario.SINGLE_STREAM:
        baseline = search.paced(baseline, rate)
    energy = _energy(baseline, item, setting)
    return _row(item, files, baseline, energy, setting, _busy_note(busy))


def _candidates(
    item: WorkItem, files: tuple[ModelFile, ...], setting: Setting
) -> tuple[Configuration, ...]:
    on_gpu = item.target == GPU
    cores, batches = setting.machine.cores, GPU_BATCHES if on_gpu else BATCHES
    wrong = not on_gpu and item.precision == INT8 and setting.instruments.saturates()
    kernels = (DEFAULT, EXACT) if wrong else (DEFAULT,)
    found = [
        candidate
        for file in files
        for candidate in configurations(
            (file,),
            item.scenario,
            cores,
            batches,
            _provider(file, item),
            on_gpu=on_gpu,
            kernels=kernels,
        )
        if candidate.provider in setting.engines
    ]
    if item.precision == FLOAT16:
        return tuple(replace(one, activations=HALF) for one in found)
    return tuple(found)


def _provider(file: ModelFile, item: WorkItem) -> str:
    if file.build is not None:
        return TORCH_PROVIDER
    return GPU_PROVIDER if item.target == GPU else CPU_PROVIDER


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
    on_gpu = item.target == GPU
    notes = (
        used.note,
        _TRANSFERS if on_gpu else "",
        energy.note,
        busy_note,
        _noise_note(timing),
        _short_note(timing, setting.effort),
        _wrong_note(baseline),
    )
    machine = setting.machine.summary
    return Row(
        key=item.key,
        model=item.workload.name,
        precision=item.precision,
        target=item.target,
        scenario=item.scenario,
        kind=Provenance.MEASURED,
        boundary=energy.boundary,
        source=f"{_engine(best, setting)}, driven by {timing.driver}, measured here",
        batch=best.batch,
        frames_per_s=timing.frames_per_s,
        latency_s=timing.latency.p50_s,
        latency=timing.latency,
        paced=None if baseline.paced is None else baseline.paced.latency,
        energy_per_frame=energy.active,
        energy_at_frame_rate=energy.at_frame_rate,
        power=None if energy.active is None else energy.active.scaled(timing.frames_per_s),
        frame_rate_hz=setting.frame_rate_hz,
        noise=timing.noise,
        note="; ".join(note for note in notes if note),
        configuration={
            **best.as_json(),
            "queries": len(timing.durations_s),
            "seconds": timing.total_s,
            "short": setting.effort.short,
            "driver": timing.driver,
        },
        tried=tuple(trial.as_json() for trial in baseline.tried),
        machine=f"{setting.gpu}, {machine}" if on_gpu and setting.gpu else machine,
        versions=setting.versions,
        digest=used.sha256,
    )


def _engine(best: Configuration, setting: Setting) -> str:
    if best.provider == TORCH_PROVIDER:
        return f"torch {package_version('torch')}"
    return f"ONNX Runtime {setting.versions.get('onnxruntime', '')}"


def _files(item: WorkItem, folder: Path, engines: tuple[str, ...]) -> tuple[ModelFile, ...]:
    """The files that might be fastest: two forms of the same integers where they can be made."""
    workload, precision = item.workload, item.precision
    first = precision_file(workload, precision, folder)
    if precision in (FLOAT, FLOAT16):
        wanted = item.target == GPU and TORCH_PROVIDER in engines
        module = torch_file(workload, folder) if wanted else None
        return (first,) if module is None else (first, module)
    if first.form == "given":
        return (first,)
    return (first, quantized_file(workload, precision, "qoperator", folder))


def _energy(baseline: Baseline, item: WorkItem, setting: Setting) -> _Energy:
    """By meter where one answered, else modelled for a CPU and left empty for a GPU."""
    reading, timing = baseline.best.reading, baseline.timing
    if reading is not None:
        return _metered(reading, item, timing, setting)
    if item.target == GPU:
        return _Energy(None, None, NOT_STATED, setting.meter_reason)
    power = cpu_power(setting.machine.cpu, baseline.best.configuration.cores)
    active = power.active.scaled(1 / timing.frames_per_s)
    single = item.scenario is Scenario.SINGLE_STREAM
    streamed = _streamed(power, timing, setting.frame_rate_hz) if single else None
    note = f"{setting.meter_reason or 'the meter gave nothing'}; energy modelled: {power.source}"
    return _Energy(active, streamed, power.boundary, note)


def _metered(reading: Reading, item: WorkItem, timing: Timing, setting: Setting) -> _Energy:
    """At the frame rate: a frame's joules, and idle watts until the next one comes."""
    joules, rate, at_rate = reading.joules / timing.frames, setting.frame_rate_hz, None
    single = item.scenario is Scenario.SINGLE_STREAM
    if single and setting.idle_w is not None and rate is not None and rate <= timing.frames_per_s:
        waiting_s = 1 / rate - 1 / timing.frames_per_s
        at_rate = exactly(joules + setting.idle_w * waiting_s, Provenance.MEASURED)
    active = exactly(joules, Provenance.MEASURED)
    return _Energy(active, at_rate, reading.boundary, f"energy: {reading.source}")


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


def _wrong_note(baseline: Baseline) -> str:
    """What was faster and is left out, because its values are wrong on this processor."""
    wrong = [trial for trial in baseline.tried if trial.wrong_share and trial.timing is not None]
    if not wrong:
        return ""
    fastest = max(t.timing.frames_per_s for t in wrong if t.timing is not None)
    share = max(trial.wrong_share or 0.0 for trial in wrong)
    return (
        f"ONNX Runtime's default kernels saturate on this processor: {fastest:,.0f} frames/s with "
        f"{share:.0%} of the outputs wrong, left out"
    )


def _short_note(timing: Timing, effort: Effort) -> str:
    if not effort.short:
        return ""
    return (
        f"a short run: {timing.total_s:.2g} s, within which the rate varied by {timing.noise:.0%}"
    )


def _noise_note(timing: Timing) -> str:
    if timing.noise < NOISY:
        return ""
    return f"the rate varied by {timing.noise:.0%} within the run: repeat it on an idle machine"
