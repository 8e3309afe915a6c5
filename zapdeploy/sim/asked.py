"""What `compile` and `simulate` may be asked for."""

from __future__ import annotations

from typing import Literal

from zapdeploy.compile.program.build import EFFORTS
from zapdeploy.errors import UsageError

Level = Literal["timing", "estimate"]
TIMING: Level = "timing"
ESTIMATE: Level = "estimate"
LEVELS = (TIMING, ESTIMATE)
OBJECTIVES = ("throughput", "latency", "energy")


def check_options(
    batch: int | None,
    chips: int | None,
    micro_batch: int | None,
    objective: str,
    effort: str,
) -> None:
    """Raise UsageError for options of `compile` that make no sense."""
    for name, number in (("batch", batch), ("chips", chips), ("micro-batch", micro_batch)):
        if number is not None and number < 1:
            raise UsageError(f"--{name} must be 1 or more, not {number}")
    if objective not in OBJECTIVES:
        raise UsageError(f"--objective must be one of {', '.join(OBJECTIVES)}, not '{objective}'")
    if effort not in EFFORTS:
        raise UsageError(f"--effort must be one of {', '.join(EFFORTS)}, not '{effort}'")


def check_simulation(frame_rate_hz: float | None, level: str, passes: int = 1) -> None:
    """Raise UsageError for a rate, a level or passes that there are none of."""
    if passes < 1:
        raise UsageError(f"--passes must be 1 or more, not {passes}")
    if frame_rate_hz is not None and not 0 < frame_rate_hz < float("inf"):
        raise UsageError(f"--frame-rate must be above 0 Hz, not {frame_rate_hz}")
    if level not in LEVELS:
        raise UsageError(f"--level must be one of {', '.join(LEVELS)}, not '{level}'")
