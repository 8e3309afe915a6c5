"""Results side by side: one line per device and precision, with ratios to a baseline.

A line joins the throughput row (Offline) and the latency row (SingleStream) of one device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zapdeploy.benchmarks.results.deadlines import deadlines_json
from zapdeploy.benchmarks.results.rows import NOT_STATED, NotRun, Row, Scenario, frames_per_joule
from zapdeploy.errors import UsageError
from zapdeploy.quantities import Estimate, Provenance

DEFAULT_BASELINE = ("cpu", "int8")


@dataclass(frozen=True)
class Line:
    """One device at one precision. At least one of its rows is there.

    speed_ratio: frames/s over the baseline's. energy_ratio: the baseline's energy per frame over
    this one's, so that more is better; its interval joins both. None without a baseline.
    same_boundary: whether both energies cover the same (chip, card, system).
    """

    offline: Row | None
    single_stream: Row | None
    frame_rate_hz: float | None
    speed_ratio: float | None = None
    energy_ratio: tuple[float, float, float | None] | None = None
    same_boundary: bool = True

    @property
    def main(self) -> Row:
        """The row of the throughput where there is one, with its energy."""
        row = self.offline or self.single_stream
        if row is None:
            raise AssertionError("a line has a row")
        return row

    @property
    def device(self) -> str:
        row = self.main
        name = row.target if row.precision == NOT_STATED else f"{row.target} {row.precision}"
        return f"{name} ({row.recorded_on.split(',')[0]})" if row.recorded_on else name

    @property
    def kind(self) -> str:
        """The word for its speed: "recorded" for what was measured on another machine."""
        return "recorded" if self.main.recorded_on else self.main.kind.value

    @property
    def judged(self) -> Row:
        """The row that has the accuracy, if any has."""
        rows = (row for row in (self.offline, self.single_stream) if row)
        return next((row for row in rows if row.accuracy is not None), self.main)

    @property
    def energy(self) -> Estimate | None:
        return self.main.energy_per_frame

    @property
    def noise(self) -> float:
        """The larger of what its rows varied within themselves; 0 where nothing was measured."""
        return max(row.noise or 0.0 for row in (self.offline, self.single_stream) if row)

    @property
    def deadline_met(self) -> bool | None:
        row = self.single_stream
        return None if row is None else row.meets_deadline(self.frame_rate_hz)

    def meets(self, deadline_s: float) -> bool | None:
        """Whether one frame alone is answered in that time; None where no latency is known."""
        return None if self.single_stream is None else self.single_stream.meets(deadline_s)

    def as_json(self) -> dict[str, Any]:
        main, single, energy = self.main, self.single_stream, self.energy
        ratio = self.energy_ratio
        at_rate = single.energy_at_frame_rate if single else None
        return {
            "model": main.model,
            "target": main.target,
            "precision": main.precision,
            "frames_per_s": main.frames_per_s,
            "batch": main.batch,
            "latency_s": single.latency_s if single else None,
            "latency_p99_s": single.latency_p99_s if single else None,
            "kind": main.kind.value,
            "energy_per_frame_j": None if energy is None else energy.as_json(),
            "energy_is_bound": main.energy_is_bound,
            "energy_at_frame_rate_j": None if at_rate is None else at_rate.as_json(),
            "frames_per_s_per_w": frames_per_joule(energy),
            "boundary": main.boundary,
            "deadline_met": self.deadline_met,
            "deadlines": deadlines_json(self.meets),
            "accuracy": self.judged.accuracy,
            "accuracy_metric": self.judged.accuracy_metric,
            "frames_per_s_per_billion_transistors": main.frames_per_s_per_billion_transistors,
            "limiter": main.limiter,
            "recorded_on": main.recorded_on,
            "speed_ratio": self.speed_ratio,
            "energy_ratio": None
            if ratio is None
            else dict(zip(("value", "low", "high"), ratio, strict=True)),
            "same_boundary_as_baseline": self.same_boundary,
            "source": main.source,
        }


@dataclass(frozen=True)
class ModelComparison:
    """All lines of one model, what is run here first, the most frames per joule on top."""

    model: str
    lines: tuple[Line, ...]
    baseline: str | None
    not_run: tuple[tuple[str, str], ...]  # (device and precision, reason)

    def as_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "baseline": self.baseline,
            "lines": [line.as_json() for line in self.lines],
            "not_run": [{"device": device, "reason": why} for device, why in self.not_run],
        }


@dataclass(frozen=True)
class Comparison:
    """Every model's lines, and the rate of frames that they are judged by."""

    models: tuple[ModelComparison, ...]
    frame_rate_hz: float | None

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "frame_rate_hz": self.frame_rate_hz,
            "models": [model.as_json() for model in self.models],
        }


def compare_rows(
    rows: Sequence[Row],
    not_run: Sequence[NotRun] = (),
    *,
    frame_rate_hz: float | None = None,
    baseline: tuple[str, str] = DEFAULT_BASELINE,
) -> Comparison:
    """Rows side by side, model by model; `baseline` is (target, precision).

    A model without that baseline gets no ratios. Raises UsageError when no model has it, unless it
    is the default.
    """
    models = tuple(dict.fromkeys([row.model for row in rows] + [one.model for one in not_run]))
    compared = tuple(
        _compare_model(
            model,
            [row for row in rows if row.model == model],
            [one for one in not_run if one.model == model],
            frame_rate_hz,
            baseline,
        )
        for model in models
    )
    if baseline != DEFAULT_BASELINE and not any(one.baseline for one in compared):
        devices = {f"{row.target} {row.precision}" for row in rows}
        raise UsageError(
            f"baseline must be one of {', '.join(sorted(devices))}, not '{' '.join(baseline)}'; "
            "choose one of them"
        )
    return Comparison(compared, frame_rate_hz)


def _compare_model(
    model: str,
    rows: Sequence[Row],
    not_run: Sequence[NotRun],
    frame_rate_hz: float | None,
    baseline: tuple[str, str],
) -> ModelComparison:
    lines = _lines(rows, frame_rate_hz)
    here = (line for line in lines if not line.main.recorded_on)
    base = next((ln for ln in here if (ln.main.target, ln.main.precision) == baseline), None)
    if base is not None:
        lines = [_against(line, base) for line in lines]
    reasons = {(f"{one.target} {one.precision}", one.reason) for one in not_run}
    return ModelComparison(
        model=model,
        lines=tuple(sorted(lines, key=_rank)),
        baseline=None if base is None else base.device,
        not_run=tuple(sorted(reasons)),
    )


def _lines(rows: Sequence[Row], frame_rate_hz: float | None) -> list[Line]:
    """Join the rows of a device; of two rows for the same thing the later one counts."""
    found: dict[tuple[str, str, str], dict[Scenario, Row]] = {}
    for row in rows:
        device = (row.target, row.precision, row.recorded_on)
        found.setdefault(device, {})[row.scenario] = row
    return [
        Line(pair.get(Scenario.OFFLINE), pair.get(Scenario.SINGLE_STREAM), frame_rate_hz)
        for pair in found.values()
    ]


def _against(line: Line, base: Line) -> Line:
    rate, base_rate = line.main.frames_per_s, base.main.frames_per_s
    return Line(
        line.offline,
        line.single_stream,
        line.frame_rate_hz,
        speed_ratio=rate / base_rate if rate and base_rate else None,
        energy_ratio=_energy_ratio(base.energy, line.energy, same=line is base),
        same_boundary=line.main.boundary == base.main.boundary,
    )


def _energy_ratio(
    base: Estimate | None, this: Estimate | None, *, same: bool
) -> tuple[float, float, float | None] | None:
    if base is None or this is None or this.value <= 0:
        return None
    if same:
        return 1.0, 1.0, 1.0
    high = base.high / this.low if this.low > 0 else None
    return base.value / this.value, base.low / this.high, high


def _rank(line: Line) -> tuple[bool, bool, float, str]:
    energy = line.energy
    published = line.main.kind is Provenance.PUBLISHED
    return published, energy is None, 0.0 if energy is None else energy.value, line.device
