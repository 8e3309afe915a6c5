"""What a benchmark run finds out: rows with numbers, and reasons where there are none.

Every number of a row carries one of the four words: the rate and the latency through `kind`, each
energy through its own Estimate. SI units throughout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

from zapdeploy.benchmarks.results.deadlines import deadlines_json
from zapdeploy.documents import Document
from zapdeploy.quantities import Estimate, Provenance
from zapdeploy.typed import mapping, typed

# Metrics of accuracy: less of the first and more of the second is better.
MAE, TOP1 = "MAE", "top-1 agreement with fp32"
NOT_STATED = "not stated"
NOISY = 0.1  # of a measurement; above it, a row says so
# Fields of a row that its JSON has under the same name, as they are.
_PLAIN = (
    *("key", "model", "precision", "target", "batch", "frames_per_s", "latency_s", "boundary"),
    *("accuracy", "source", "note", "frame_rate_hz", "energy_is_bound", "noise", "machine"),
    "digest",
)
# Fields that files written before they existed may lack.
_LATER = ("accuracy_metric", "limiter", "transistors", "recorded_on")


class Scenario(Enum):
    """How frames arrive, as in MLPerf Inference."""

    SINGLE_STREAM = "SingleStream"  # one frame at a time, the next when the result is there
    OFFLINE = "Offline"  # all frames are there at once: throughput


@dataclass(frozen=True)
class Latency(Document):
    """Distribution of the time of one query [s]; percentiles by nearest rank.

    p99_9_s, maximum_s: None where whoever measured does not say.
    """

    p50_s: float
    p90_s: float
    p99_s: float
    mean_s: float
    count: int
    p99_9_s: float | None = None
    maximum_s: float | None = None

    @property
    def tail_s(self) -> float:
        """The highest percentile that is known: p99.9, else p99."""
        return self.p99_s if self.p99_9_s is None else self.p99_9_s


@dataclass(frozen=True)
class Horizon:
    """Mean absolute error at each step of a forecast.

    naive: of the mean of the last frames, over the same windows; none where it was not asked.
    windows: what both are means over; errors over other windows are not comparable.
    """

    mae: tuple[float, ...]
    naive: tuple[float, ...]
    windows: str

    def as_json(self) -> dict[str, Any]:
        """The errors at each step, and what they are means over."""
        return {"mae": list(self.mae), "naive_mae": list(self.naive), "windows": self.windows}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Horizon:
        """What `as_json` wrote."""
        return typed(cls, {**mapping(raw), "naive": raw["naive_mae"]})


@dataclass(frozen=True)
class Row:
    """One model at one precision on one target in one scenario.

    frames_per_s: SingleStream, 1 / mean latency; Offline, the steady rate. latency_s: of one query
    of `batch` frames; the median where measured. energy_per_frame: at that rate, within `boundary`.
    energy_is_bound: the energy is at most that (a datasheet's power limit, not a measurement).
    energy_at_frame_rate: per frame at frame_rate_hz, waiting included. noise: relative half spread
    of the measured rate over five blocks of the run. tried: every configuration that was tried.
    accuracy_metric: MAE or TOP1. horizon: the errors whose mean `accuracy` is, of a forecaster.
    limiter: what sets the pace of a simulated chip. transistors: of all chips together.
    recorded_on: the other machine that a measured row comes from; empty for this one.
    paced: latency of frames that come at frame_rate_hz, one at a time, as an experiment has them:
    a processor that waited in between answers more slowly than one that is called back to back.
    """

    key: str
    model: str
    precision: str
    target: str
    scenario: Scenario
    kind: Provenance
    boundary: str
    source: str
    batch: int | None = None
    frames_per_s: float | None = None
    latency_s: float | None = None
    latency: Latency | None = None
    energy_per_frame: Estimate | None = None
    energy_is_bound: bool = False
    energy_at_frame_rate: Estimate | None = None
    power: Estimate | None = None
    frame_rate_hz: float | None = None
    accuracy: float | None = None
    noise: float | None = None
    note: str = ""
    configuration: Mapping[str, Any] | None = None
    tried: tuple[Mapping[str, Any], ...] = ()
    machine: str = ""
    versions: Mapping[str, str] | None = None
    digest: str = ""
    accuracy_metric: str = ""
    limiter: str = ""
    transistors: float | None = None
    recorded_on: str = ""
    horizon: Horizon | None = None
    paced: Latency | None = None

    @property
    def latency_p99_s(self) -> float | None:
        """99th percentile of the latency; a simulated one is always the same."""
        if self.latency is not None:
            return self.latency.p99_s
        return self.latency_s if self.kind is Provenance.SIMULATED else None

    @property
    def frames_per_s_per_billion_transistors(self) -> float | None:
        """The rate over what the chips are made of; None where either is not known."""
        if self.frames_per_s is None or not self.transistors:
            return None
        return self.frames_per_s / (self.transistors / 1e9)

    @property
    def energy_measured_j(self) -> float | None:
        """Joules per frame that a meter read here; None when there was no meter."""
        energy = self.energy_per_frame
        if energy is None or energy.kind is not Provenance.MEASURED:
            return None
        return energy.value

    def meets_deadline(self, frame_rate_hz: float | None) -> bool | None:
        """Whether a stream of frames at that rate is kept up with, each before the next arrives.

        A measured latency counts with its 99th percentile, and with the highest known percentile
        of frames that came at that rate, where that was measured. None where it cannot be said: no
        rate, no latency, or frames that wait for a batch.
        """
        if frame_rate_hz is None:
            return None
        if self.paced is not None and frame_rate_hz == self.frame_rate_hz:
            return self.paced.tail_s <= 1 / frame_rate_hz
        return self.meets(1 / frame_rate_hz)

    def meets(self, deadline_s: float) -> bool | None:
        """Whether the answer to one frame is there in that time; None as for `meets_deadline`."""
        if self.scenario is Scenario.OFFLINE or self.latency_s is None:
            return None
        return (self.latency_p99_s or self.latency_s) <= deadline_s

    def as_json(self) -> dict[str, Any]:
        """The row of the `bench` command's JSON, and one line of rows.jsonl."""
        energy = self.energy_per_frame
        return {
            **{name: getattr(self, name) for name in (*_PLAIN, *_LATER)},
            "scenario": self.scenario.value,
            "kind": self.kind.value,
            "latency_percentiles_s": None if self.latency is None else self.latency.as_json(),
            "paced_latency_s": None if self.paced is None else self.paced.as_json(),
            "energy_per_frame_j": _estimate_json(energy),
            "energy_kind": None if energy is None else energy.kind.value,
            "energy_measured_per_frame_j": self.energy_measured_j,
            "energy_at_frame_rate_j": _estimate_json(self.energy_at_frame_rate),
            "frames_per_s_per_w": frames_per_joule(energy),
            "power_w": _estimate_json(self.power),
            "frames_per_s_per_billion_transistors": self.frames_per_s_per_billion_transistors,
            "horizon": None if self.horizon is None else self.horizon.as_json(),
            "deadline_met": self.meets_deadline(self.frame_rate_hz),
            "deadlines": deadlines_json(self.meets),
            "versions": dict(self.versions or {}),
            "configuration": dict(self.configuration or {}),
            "tried": [dict(one) for one in self.tried],
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Row:
        """The row that `as_json` wrote. Raises KeyError, TypeError or ValueError for another."""
        named = ("scenario", "kind", "tried", *_PLAIN, "versions", "configuration")
        return typed(
            cls,
            {
                **{name: raw[name] for name in named},
                **{name: raw[name] for name in _LATER if name in raw},
                "horizon": raw.get("horizon") and Horizon.from_json(raw["horizon"]),
                "latency": raw["latency_percentiles_s"],
                "paced": raw.get("paced_latency_s"),
                "energy_per_frame": raw["energy_per_frame_j"],
                "energy_at_frame_rate": raw["energy_at_frame_rate_j"],
                "power": raw["power_w"],
            },
        )


@dataclass(frozen=True)
class NotRun(Document):
    """A combination without numbers, and why. `final`: trying again would end the same way."""

    key: str
    model: str
    precision: str
    target: str
    scenario: Scenario
    reason: str
    final: bool = True

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> NotRun:
        """What `as_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        return typed(cls, {f.name: raw[f.name] for f in fields(cls)})


Outcome = Row | NotRun


def frames_per_joule(energy: Estimate | None) -> dict[str, float | str | None] | None:
    """Frames/s/W, which is frames per joule; the high end is None where energy may be near 0."""
    if energy is None or energy.value <= 0:
        return None
    return {
        "value": 1 / energy.value,
        "low": 1 / energy.high,
        "high": 1 / energy.low if energy.low > 0 else None,
        "kind": energy.kind.value,
    }


def exactly(value: float, kind: Provenance) -> Estimate:
    """A value without an interval of its own."""
    return Estimate(value, value, value, kind)


def _estimate_json(estimate: Estimate | None) -> dict[str, float | str] | None:
    return None if estimate is None else estimate.as_json()
