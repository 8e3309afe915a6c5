"""Where in their brackets the energy prices lie, from one published power.

Every price and the static power is known only as a bracket [low, high]. One number, common to all,
places them: at the low end, at the stated value, at the high end for 0, 0.5 and 1, on a logarithmic
scale in between (`Energy.price`). It is chosen so that ResNet-50 (4 bit, first and last
layers 8 bit, batch 32, frames back to back, as scheduled) draws the published 74 W on
northpole-sim. Nothing else published is used, and nothing about time is.

The target's file keeps the run's events and time too (`calibration`): intervals are conditioned on
them (`compile/mapping/prices.py`).

    python -m zapdeploy.benchmarks.experiments.calibration resnet50-int4.onnx     # prints both
"""

from __future__ import annotations

from bisect import bisect_left

from zapdeploy.compile.mapping.pricing import joules_of
from zapdeploy.errors import DataError
from zapdeploy.hardware_targets import Target
from zapdeploy.sim.results import Result

_STEPS = 1_000_000  # the calibration is found to this fraction of the bracket
YARDSTICK_POWER_W = 74.0  # Modha et al. 2023, as reported by F. Ottati


def calibrate(result: Result, power_w: float = YARDSTICK_POWER_W) -> float:
    """The calibration at which a run on one chip draws `power_w` with frames back to back.

    Raises DataError when no point of the brackets gives that power.
    """
    seconds = result.flow.interval_s

    def excess(calibration: float) -> float:
        target = with_calibration(result.pipeline.target, calibration)
        return joules_of(result.counts, seconds, target) / seconds - power_w

    if excess(0.0) > 0 or excess(1.0) < 0:
        low, high = excess(0.0) + power_w, excess(1.0) + power_w
        raise DataError(
            f"power must lie in the brackets' {low:.1f} W to {high:.1f} W, not {power_w} W"
        )
    steps = range(_STEPS + 1)
    return bisect_left(steps, 0.0, key=lambda step: excess(step / _STEPS)) / _STEPS


def with_calibration(target: Target, calibration: float) -> Target:
    """The same chip with its prices at another point of their brackets."""
    figure = target.energy.calibration.model_copy(update={"value": calibration})
    energy = target.energy.model_copy(update={"calibration": figure})
    return target.model_copy(update={"energy": energy})


def measured_table(result: Result) -> str:
    """The events and the time of a run as the entries of a file's `calibration`."""
    counts = {name: n for name, n in vars(result.counts).items() if n}
    listed = ", ".join(f"{name} = {n}" for name, n in counts.items())
    return f'time = {{ is = "{result.flow.interval_s * 1e6:.6g} us" }}\ncounts = {{ {listed} }}'
