"""Simulated against published, row by row: what the model of northpole-sim can predict.

Only the power of 74 W was used to calibrate anything (one common factor for all energies). A row is
judged when nothing in it was calibrated or taken from the chip's file: the published value must lie
in the interval that the assumed numbers leave. Rows that rest on the calibration are shown, and so
are totals that the chip's file restates, and claims about a device that is not named.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import ClassVar

from zapdeploy.api import compile_model, simulate
from zapdeploy.benchmarks.models.model_files import precision_file
from zapdeploy.benchmarks.models.workloads import INT4, ModelSize, find_workload
from zapdeploy.benchmarks.results.published import published_rows
from zapdeploy.benchmarks.results.rows import Row, Scenario
from zapdeploy.benchmarks.simulated.rates import spread
from zapdeploy.documents import Document
from zapdeploy.hardware_targets import Target, load_target
from zapdeploy.progress import Progress
from zapdeploy.quantities import Estimate
from zapdeploy.sim.calibration import YARDSTICK_POWER_W
from zapdeploy.sim.results import Result

TARGET, MODEL, BATCH = "northpole-sim", "resnet50", 32
_SCIENCE = "Modha et al., Science 382:329-335, 2023"
_REPORTED = "F. Ottati, open-neuromorphic.org, quoting its Table 1"
_H100, _T4 = "NVIDIA H100-SXM (v2.1)", "NVIDIA T4 (v3.0)"


class Role(Enum):
    """What a row can show."""

    COMPARED = "compared"  # nothing of it was calibrated: judged
    CALIBRATED = "calibrated"  # used to calibrate
    PARTLY = "rests on the calibration"
    RESTATED = "restates the chip's file"
    ORIENTATION = "orientation: the other device is not named"


@dataclass(frozen=True)
class Prediction(Document):
    """One published figure and ours. [low, high] is the interval that the assumptions leave.

    `at_least`: the publication gives a lower limit.
    """

    also: ClassVar[tuple[str, ...]] = ("error", "contains", "fails")

    what: str
    unit: str
    published: float
    simulated: float
    low: float
    high: float
    role: Role
    source: str
    interval: str  # in words, where it comes from
    at_least: bool = False

    @property
    def error(self) -> float:
        return self.simulated / self.published - 1

    @property
    def contains(self) -> bool:
        """Whether the published figure lies in our interval."""
        if self.at_least:
            return self.high >= self.published
        return self.low <= self.published <= self.high

    @property
    def is_judged(self) -> bool:
        """Whether the figure can tell anything: nothing was fitted to it or taken from it."""
        return self.role is Role.COMPARED

    @property
    def fails(self) -> bool:
        """Whether a judged figure lies outside our interval."""
        return self.is_judged and not self.contains


def predict(
    folder: Path, progress: Progress = lambda what, done, total: None
) -> tuple[Prediction, ...]:
    """All predictions. ResNet-50 (4 bit, first and last layers 8 bit) is made in `folder`.

    Times are the schedule's; what the assumptions leave open follows from what its cycles waited
    for (`rates.py`).
    """
    progress("making ResNet-50 at 4 bit", 0, 3)
    workload = find_workload(MODEL, ModelSize())
    file = precision_file(workload, INT4, folder)
    progress(f"scheduling a batch of {BATCH}", 1, 3)
    many = simulate(compile_model(file.path, TARGET, batch=BATCH))
    progress("scheduling a single frame", 2, 3)
    one = simulate(compile_model(file.path, TARGET, batch=1, objective="latency"))
    return tuple(predictions(many, one))


def predictions(many: Result, one: Result) -> Iterator[Prediction]:
    """From a throughput result and a latency result."""
    target = load_target(TARGET)
    yield from _rates(many, spread(many).frames_per_s, target)
    yield from _totals(target)
    yield from _ratios(many, one)


def _rates(many: Result, frames_per_s: Estimate, target: Target) -> Iterator[Prediction]:
    stated = target.published["resnet50"]
    rate, energy, power = stated["throughput_fps"].value, many.energy_per_frame, many.power_w
    brackets = energy.interval
    yield Prediction(
        f"{MODEL}, frames per second",
        "1/s",
        rate,
        many.throughput_fps,
        frames_per_s.low,
        frames_per_s.high,
        Role.COMPARED,
        _REPORTED,
        frames_per_s.interval,
    )
    work = 4.089e9
    macs = sum(layer.macs for layer in many.layers) / BATCH
    yield Prediction(
        f"{MODEL}, multiply-accumulates of a frame",
        "",
        work,
        macs,
        macs - 0.5e6,
        macs + 0.5e6,
        Role.COMPARED,
        "arithmetic over ResNet-50 v1.5 at 224 x 224",
        "rounding of the published figure",
    )
    yield Prediction(
        f"{MODEL}, power",
        "W",
        YARDSTICK_POWER_W,
        power.value,
        power.low,
        power.high,
        Role.CALIBRATED,
        _REPORTED,
        brackets,
    )
    yield Prediction(
        f"{MODEL}, energy of a frame",
        "J",
        YARDSTICK_POWER_W / rate,
        energy.value,
        energy.low,
        energy.high,
        Role.PARTLY,
        f"74 W / 42,460 frames/s ({_REPORTED})",
        brackets,
    )
    yield Prediction(
        f"{MODEL}, frames per second and watt",
        "1/J",
        571.0,
        1 / energy.value,
        1 / energy.high,
        1 / energy.low,
        Role.PARTLY,
        _REPORTED,
        brackets,
    )


def _totals(target: Target) -> Iterator[Prediction]:
    """Totals that follow from the parts of the chip's file."""
    parts = target.derived_totals()
    for name, stated in target.stated_totals().items():
        unit, value = parts[name]
        yield Prediction(
            name.replace("_", " "),
            unit,
            stated.figure.value,
            value,
            value * 0.99,
            value * 1.01,
            Role.RESTATED,
            stated.figure.source or "",
            "1 % for rounding",
            at_least=stated.relation == "at least",
        )


def _ratios(many: Result, one: Result) -> Iterator[Prediction]:
    """Claims against GPUs, whose energy is their power limit over their published rate."""
    rows = {(row.target, row.scenario): row for row in published_rows(MODEL)}
    energy = many.energy_per_frame
    brackets = energy.interval
    for device, claimed, role in ((_H100, 5.0, Role.PARTLY), (_T4, 25.0, Role.ORIENTATION)):
        joules = _joules(rows[device, Scenario.OFFLINE])
        yield Prediction(
            f"{MODEL}, frames per joule over {device}",
            "x",
            claimed,
            joules / energy.value,
            joules / energy.high,
            joules / energy.low,
            role,
            f"{_SCIENCE}" + ("" if role is Role.PARTLY else ": a GPU in 12 nm"),
            brackets,
        )
    latency = rows[_T4, Scenario.SINGLE_STREAM].latency_s
    assert latency is not None
    yield Prediction(
        f"{MODEL}, latency of {_T4} over ours",
        "x",
        22.0,
        latency / one.latency_s,
        latency / one.latency_s,
        latency / one.array_s,
        Role.ORIENTATION,
        f"{_SCIENCE}: a GPU in 12 nm",
        "with and without the host link",
    )


def _joules(row: Row) -> float:
    assert row.energy_per_frame is not None
    return row.energy_per_frame.value
