"""The best that ONNX Runtime does with a model on this machine, found by trying.

Every configuration is tried for a moment; the best ones are then measured in full, and the best of
those is the baseline. What was tried stays in the row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from zapdeploy.benchmarks.measured.meters import Meter, Reading
from zapdeploy.benchmarks.measured.runner import (
    DEFAULT,
    Configuration,
    Frames,
    open_query,
    wrong_share,
)
from zapdeploy.benchmarks.measured.timing_loop import (
    Clock,
    Timing,
    time_paced,
    time_queries,
)
from zapdeploy.benchmarks.models.model_files import ModelFile
from zapdeploy.benchmarks.request import Effort
from zapdeploy.benchmarks.results.rows import Scenario
from zapdeploy.errors import ModelError, ZapdeployError
from zapdeploy.onnxruntime_sessions import saturates
from zapdeploy.platforms import available_memory_bytes
from zapdeploy.progress import StepProgress

FINALISTS = 3
FINALIST_MARGIN = 0.1
MEMORY_SHARE = 0.6
# Bytes that a frame takes while a network runs, at least: over those of its inputs and outputs.
ACTIVATION_FACTOR = 8


class Drive(Protocol):
    """Runs a warm query, of so many frames, for as long as the effort says."""

    def __call__(
        self,
        query: Callable[[], None],
        frames_per_query: int,
        scenario: Scenario,
        effort: Effort,
        clock: Clock,
    ) -> Timing: ...


def plain_loop(
    query: Callable[[], None],
    frames_per_query: int,
    scenario: Scenario,
    effort: Effort,
    clock: Clock,
) -> Timing:
    """One query after the other, whatever the scenario."""
    return time_queries(query, frames_per_query, effort, clock)


class OpenQuery(Protocol):
    """Opens a network for timing, as `runner.open_query`."""

    def __call__(
        self, file: ModelFile, configuration: Configuration, frames: Frames
    ) -> AbstractContextManager[Callable[[], None]]: ...


@dataclass(frozen=True)
class Instruments:
    """What measuring needs of the outside world."""

    clock: Clock
    meter: Meter | None = None
    open_query: OpenQuery = open_query
    memory_bytes: Callable[[], int] = available_memory_bytes
    drive: Drive = plain_loop
    pace: Callable[[Callable[[], None], float, Effort, Clock], Timing] = time_paced
    saturates: Callable[[], bool] = saturates
    wrong_share: Callable[[ModelFile, Configuration, Frames], float] = wrong_share


@dataclass(frozen=True)
class Trial:
    """One configuration: its timing, or why it has none. `final`: measured in full.

    wrong_share: of its outputs, where its kernels may saturate; such a one is never the best.
    """

    configuration: Configuration
    timing: Timing | None
    refusal: str = ""
    final: bool = False
    reading: Reading | None = None
    wrong_share: float | None = None

    def as_json(self) -> dict[str, Any]:
        timing = self.timing
        return {
            **self.configuration.as_json(),
            "frames_per_s": None if timing is None else timing.frames_per_s,
            "latency_s": None if timing is None else timing.latency.p50_s,
            "queries": 0 if timing is None else len(timing.durations_s),
            "measured_in_full": self.final,
            "refused": self.refusal,
            "wrong_outputs": self.wrong_share,
        }


@dataclass(frozen=True)
class Baseline:
    """The best configuration, measured in full, and all that were tried."""

    best: Trial
    timing: Timing
    tried: tuple[Trial, ...]
    paced: Timing | None = None


def configurations(
    files: Sequence[ModelFile],
    scenario: Scenario,
    cores: int,
    batches: Sequence[int],
    provider: str,
    *,
    on_gpu: bool = False,
    kernels: Sequence[str] = (DEFAULT,),
) -> tuple[Configuration, ...]:
    """What a skilled user would try: every file, threads from one to all cores, and for throughput
    every batch and one single-threaded stream per core.

    kernels: where the default ones saturate, those that do not as well.
    """
    single = scenario is Scenario.SINGLE_STREAM
    sharing = [(1, 1)] if on_gpu else [(threads, 1) for threads in _thread_counts(cores)]
    if not single and cores > 1 and not on_gpu:
        sharing.append((1, cores))
    return tuple(
        Configuration(file.form, file.facts.activations, provider, threads, streams, batch, kind)
        for file in files
        for kind in kernels
        for batch in ((1,) if single else batches)
        for threads, streams in sharing
    )


@dataclass(frozen=True)
class Search:
    """A search for the best way to run one model in one scenario. frames(n): n inputs by name."""

    files: tuple[ModelFile, ...]
    scenario: Scenario
    effort: Effort
    frames: Frames
    instruments: Instruments
    _candidates: list[Configuration] = field(default_factory=list)
    _wrong: dict[str, float] = field(default_factory=dict)

    def best_of(
        self,
        candidates: Sequence[Configuration],
        progress: StepProgress = lambda done, total: None,
    ) -> Baseline:
        """Try all candidates, measure the best ones in full. Raises ModelError when none runs."""
        tried: list[Trial] = []
        self._candidates[:] = candidates
        for candidate in candidates:
            progress(len(tried), len(candidates) + 1)
            tried.append(self._try(candidate))
        finalists = _finalists(tried, self.scenario)
        if not finalists:
            raise ModelError(f"no configuration ran: {tried[0].refusal}")
        progress(len(candidates), len(candidates) + 1)
        measured = (self._measure(one, self.effort, self.instruments) for one in finalists)
        finals = [replace(trial, final=True) for trial in measured]
        best, timing = min(_timed(finals), key=lambda pair: _cost(pair[1], self.scenario))
        rest = [trial for trial in tried if trial.configuration not in finalists]
        return Baseline(best, timing, (*finals, *rest))

    def paced(self, baseline: Baseline, frame_rate_hz: float) -> Baseline:
        """The baseline with the best configuration's latency for frames that come at that rate."""
        configuration, instruments = baseline.best.configuration, self.instruments
        file = self._file(configuration)
        with instruments.open_query(file, configuration, self.frames) as query:
            effort = replace(self.effort, max_seconds=self.effort.paced_seconds, min_seconds=0)
            found = instruments.pace(query, frame_rate_hz, effort, instruments.clock)
        return replace(baseline, paced=found)

    def _try(self, configuration: Configuration) -> Trial:
        """A moment of it, in a plain loop without the meter; a refusal is a result, too."""
        needed = _needed_bytes(self._file(configuration), configuration)
        limit = self.instruments.memory_bytes()
        if needed > MEMORY_SHARE * limit:
            refusal = f"takes about {needed / 1e9:.1f} GB of memory; {limit / 1e9:.1f} GB are free"
            return Trial(configuration, None, refusal)
        unmetered = replace(self.instruments, meter=None, drive=plain_loop)
        try:
            trial = self._measure(configuration, self.effort.as_trial(), unmetered)
            return replace(trial, wrong_share=self._wrong_share(configuration))
        except ZapdeployError as error:
            return Trial(configuration, None, str(error))

    def _wrong_share(self, configuration: Configuration) -> float | None:
        """Of the outputs, where the default kernels may saturate: measured once for each file."""
        others = {one.kernels for one in self._candidates if one.form == configuration.form}
        if configuration.kernels != DEFAULT or others == {DEFAULT}:
            return None
        if configuration.form not in self._wrong:
            file = self._file(configuration)
            found = self.instruments.wrong_share(file, configuration, self.frames)
            self._wrong[configuration.form] = found
        return self._wrong[configuration.form]

    def _measure(
        self, configuration: Configuration, effort: Effort, instruments: Instruments
    ) -> Trial:
        """Warm up outside the meter's window, then time the queries inside it."""
        file, meter = self._file(configuration), instruments.meter
        with instruments.open_query(file, configuration, self.frames) as query:
            for _ in range(effort.warmup):
                query()
            if meter is not None:
                meter.start()
            warm = replace(effort, warmup=0)
            frames = configuration.frames_per_query
            timing = instruments.drive(query, frames, self.scenario, warm, instruments.clock)
            reading = None if meter is None else meter.stop()
        return Trial(configuration, timing, reading=reading)

    def _file(self, configuration: Configuration) -> ModelFile:
        return next(file for file in self.files if file.form == configuration.form)


def _finalists(tried: Sequence[Trial], scenario: Scenario) -> list[Configuration]:
    """The best of the trials and those close behind it, which a moment cannot tell apart."""
    right = [trial for trial in tried if not trial.wrong_share]
    ranked = sorted((_cost(timing, scenario), i) for i, (_, timing) in enumerate(_timed(right)))
    timed = [trial.configuration for trial, _ in _timed(right)]
    limit = ranked[0][0] * (1 + FINALIST_MARGIN) if ranked else 0.0
    return [timed[i] for cost, i in ranked[:FINALISTS] if cost <= limit]


def _timed(trials: Sequence[Trial]) -> Iterator[tuple[Trial, Timing]]:
    for trial in trials:
        if trial.timing is not None:
            yield trial, trial.timing


def _cost(timing: Timing, scenario: Scenario) -> float:
    """Seconds: of the median query, or per frame."""
    if scenario is Scenario.SINGLE_STREAM:
        return timing.latency.p50_s
    return 1 / timing.frames_per_s


def _thread_counts(cores: int) -> tuple[int, ...]:
    """1, 2, 4, ... and all cores."""
    powers = (2**i for i in range(cores.bit_length()))
    return tuple(sorted({*(p for p in powers if p < cores), cores}))


def _needed_bytes(file: ModelFile, configuration: Configuration) -> int:
    weights = 3 * file.facts.weight_bytes  # the file, its copy at another batch, the packed form
    of_a_frame = max(file.facts.activation_bytes, ACTIVATION_FACTOR * file.facts.transfer_bytes)
    return weights + configuration.frames_per_query * of_a_frame
