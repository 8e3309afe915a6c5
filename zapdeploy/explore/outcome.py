"""What is kept of a point: one row of plain numbers, in SI units."""

from __future__ import annotations

from typing import Any

from zapdeploy.benchmarks.simulated.rates import spread
from zapdeploy.hardware_targets import Target
from zapdeploy.quantities import Estimate
from zapdeploy.sim.results import Result
from zapdeploy.sim.space.results import SpaceResult

DONE, UNFIT, FAILED, ENDED = "done", "does not fit", "failed", "ended"
INTERNAL = "internal error"  # the reason begins so where the fault is ours
# Columns whose value has an interval beside it: NAME_low and NAME_high.
INTERVALS = ("throughput_fps", "latency_s", "energy_per_frame_j", "power_w")
AT_RATE = "energy_at_frame_rate_j"
BY_VALUES, WHY_NOT_BY_VALUES = "energy_by_values_j", "values_reason"
NUMBERS = (
    *("chips_used", "cycles", "bound_throughput_fps", "utilization", "mapping_gap"),
    *("busy_share", "weights_bytes", "per_core_peak_bytes", "per_core_limit_bytes"),
    *("total_core_memory_bytes", "total_memory_bandwidth", "total_wires_per_core_side"),
    *("total_peak_8bit_ops", "seconds", "peak_memory_bytes"),
)
TEXTS = ("status", "reason", "timing_kind", "limiter", WHY_NOT_BY_VALUES)
FLAGS = ("keeps_up",)
ACCURACY = ("mae", "mae_low", "mae_high")
WHY_NO_MAE = "mae_reason"
# What a computer and its day add to a row: no part of the answer.
OF_THE_RUN = ("seconds", "peak_memory_bytes")


def columns() -> dict[str, type]:
    """Every column of a result with its type, in order."""
    measured = (*INTERVALS, AT_RATE, BY_VALUES)
    ends = (f"{name}{end}" for name in measured for end in ("", "_low", "_high"))
    found: dict[str, type] = dict.fromkeys(("digest", *TEXTS), str)
    found.update(dict.fromkeys(ends, float))
    found.update(dict.fromkeys(FLAGS, bool))
    found.update(dict.fromkeys((*NUMBERS, *ACCURACY), float))
    return found


def row_of(result: Result, frame_rate_hz: float | None) -> dict[str, Any]:
    """A point that fits and was timed."""
    found = spread(result)
    row: dict[str, Any] = {"status": DONE, "reason": "", **_totals(result.pipeline.target)}
    row |= _ends("throughput_fps", found.frames_per_s) | _ends("latency_s", found.latency_s)
    row |= _ends("energy_per_frame_j", result.energy_per_frame) | _ends("power_w", found.power_w)
    row |= {
        "chips_used": result.chips,
        "cycles": result.cycles,
        "bound_throughput_fps": result.bound_throughput_fps,
        "utilization": result.utilization,
        "mapping_gap": result.mapping_gap,
        "limiter": result.limiter,
        "timing_kind": result.timing_kind.value,
        "weights_bytes": result.pipeline.target.cores
        * sum(stage.memory.bytes_of("parameters") for stage in result.stages),
        "per_core_peak_bytes": max(stage.memory.peak for stage in result.stages),
        "per_core_limit_bytes": max(stage.memory.limit for stage in result.stages),
    }
    if frame_rate_hz is not None:
        rate = result.at(frame_rate_hz)
        row |= _ends(AT_RATE, rate.energy_per_frame)
        row |= {"busy_share": rate.busy_share, "keeps_up": rate.keeps_up}
    return row


def row_over_space(result: SpaceResult) -> dict[str, Any]:
    """A point that was cut over space and timed. How far its times may be off is not known: they
    have no interval."""
    target = result.program.target
    row: dict[str, Any] = {"status": DONE, "reason": "", **_totals(target)}
    row |= {"throughput_fps": result.throughput_fps, "latency_s": result.latency_s}
    row |= _ends("energy_per_frame_j", result.energy_per_frame) | _ends("power_w", result.power_w)
    row |= {
        "chips_used": result.program.grid.cards,
        "limiter": result.limiter,
        "timing_kind": result.timing_kind.value,
        "per_core_peak_bytes": max(each.memory.peak for each in result.program.programs),
        "per_core_limit_bytes": max(each.memory.limit for each in result.program.programs),
    }
    if result.energy_at_frame_rate is not None and result.frame_rate_hz is not None:
        row |= _ends(AT_RATE, result.energy_at_frame_rate)
        busy = min(result.frame_rate_hz / result.throughput_fps, 1.0)
        row |= {"busy_share": busy, "keeps_up": result.keeps_up}
    return row


def row_by_values(energy: Estimate) -> dict[str, Any]:
    """The energy of a frame by the values that were run."""
    return {**_ends(BY_VALUES, energy), WHY_NOT_BY_VALUES: ""}


def no_row(status: str, reason: str, target: Target | None = None) -> dict[str, Any]:
    """A point without a result, and why."""
    totals = {} if target is None else _totals(target)
    return {"status": status, "reason": reason, **totals}


def _ends(name: str, estimate: Estimate) -> dict[str, float]:
    return {
        name: estimate.value,
        f"{name}_low": estimate.low,
        f"{name}_high": estimate.high,
    }


def _totals(target: Target) -> dict[str, float]:
    totals = {name: value for name, (_, value) in target.derived_totals().items()}
    return {
        "total_core_memory_bytes": totals["core_memory"],
        "total_memory_bandwidth": totals["memory_bandwidth"],
        "total_wires_per_core_side": totals["wires_per_core_side"],
        **({"total_peak_8bit_ops": totals["peak_8bit"]} if "peak_8bit" in totals else {}),
    }
