"""Published ResNet-50 results of other silicon, as rows: what cannot be run here.

Source of the figures: published_resnet50.csv, which names its own sources row by row.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from zapdeploy.benchmarks.results.rows import Row, Scenario, exactly
from zapdeploy.quantities import Estimate, Provenance

MODEL = "resnet50"
_FILE = "published_resnet50.csv"
_BOUND_NOTE = "power is the datasheet's limit: the energy is an upper bound, not a measurement"


@dataclass(frozen=True)
class PublishedResult:
    """One line of the file. Empty fields are None; power_kind is tdp, wall or stated."""

    device: str
    kind: str
    round: str
    precision: str
    throughput_fps: float | None
    batch: int | None
    singlestream_ms: float | None
    power_w: float
    power_kind: str
    boundary: str
    process_nm: int
    source: str
    transistors: float | None
    transistors_source: str

    @property
    def is_bound(self) -> bool:
        return self.power_kind == "tdp"

    @property
    def is_single_stream(self) -> bool:
        return self.device.endswith(Scenario.SINGLE_STREAM.value)


def published_results() -> tuple[PublishedResult, ...]:
    """Every line of the package's file, in its order."""
    text = (resources.files("zapdeploy.benchmarks.results") / _FILE).read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return tuple(_result(line) for line in csv.DictReader(lines))


def published_rows(model: str, frame_rate_hz: float | None = None) -> tuple[Row, ...]:
    """The published rows of that model: one for the throughput, one for the latency of a device."""
    if model != MODEL:
        return ()
    return tuple(row for result in published_results() for row in _rows_of(result, frame_rate_hz))


def _result(line: Mapping[str, str]) -> PublishedResult:
    def number(key: str) -> float | None:
        return float(line[key]) if line[key] else None

    batch, billions = number("batch"), number("transistors_billion")
    return PublishedResult(
        device=line["device"],
        kind=line["kind"],
        round=line["round"],
        precision=line["precision"],
        throughput_fps=number("throughput_fps"),
        batch=None if batch is None else int(batch),
        singlestream_ms=number("singlestream_ms"),
        power_w=float(line["power_w"]),
        power_kind=line["power_kind"],
        boundary=line["boundary"],
        process_nm=int(line["process_nm"]),
        source=line["source"],
        transistors=None if billions is None else billions * 1e9,
        transistors_source=line["transistors_source"],
    )


def _rows_of(result: PublishedResult, frame_rate_hz: float | None) -> tuple[Row, ...]:
    if result.is_single_stream:
        return (_row(result, Scenario.SINGLE_STREAM, frame_rate_hz),)
    rows = [_row(result, Scenario.OFFLINE, frame_rate_hz)]
    if result.singlestream_ms is not None:
        rows.append(_row(result, Scenario.SINGLE_STREAM, frame_rate_hz))
    return tuple(rows)


def _row(result: PublishedResult, scenario: Scenario, frame_rate_hz: float | None) -> Row:
    single = scenario is Scenario.SINGLE_STREAM
    latency_ms = result.singlestream_ms
    latency_s = latency_ms / 1e3 if single and latency_ms is not None else None
    # The throughput and its power belong to one run; a latency beside them comes from another.
    rate = result.throughput_fps if result.is_single_stream or not single else None
    target = f"{result.device.removesuffix(' SingleStream')} ({result.round})"
    return Row(
        key=f"{MODEL}|published|{target}|{scenario.value}",
        model=MODEL,
        precision=result.precision,
        target=target,
        scenario=scenario,
        kind=Provenance.PUBLISHED,
        boundary=result.boundary,
        source=result.source,
        batch=1 if single else result.batch,
        frames_per_s=rate,
        latency_s=latency_s,
        energy_per_frame=None if rate is None else _energy(result, rate),
        energy_is_bound=rate is not None and result.is_bound,
        power=exactly(result.power_w, Provenance.PUBLISHED) if rate is not None else None,
        frame_rate_hz=frame_rate_hz,
        note=_note(result, bound=rate is not None and result.is_bound),
        configuration={
            "device_kind": result.kind,
            "round": result.round,
            "power_kind": result.power_kind,
            "process_nm": result.process_nm,
            "transistors_source": result.transistors_source,
        },
        transistors=result.transistors,
    )


def _energy(result: PublishedResult, rate: float) -> Estimate:
    energy = result.power_w / rate
    low = 0.0 if result.is_bound else energy
    return Estimate(energy, low, energy, Provenance.PUBLISHED)


def _note(result: PublishedResult, *, bound: bool) -> str:
    if result.power_kind == "stated":
        return "known at second hand; precision, batch and the power's boundary are not stated"
    return _BOUND_NOTE if bound else ""
