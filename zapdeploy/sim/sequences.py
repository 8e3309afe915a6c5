"""Sequences that a network with state works on in turn, such as the users of a language model.

A sequence's next frame needs the last one's result, so one sequence alone leaves all chips but one
waiting. Others fill the pipeline, as long as the state of each stays on the chips beside the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from zapdeploy.compile.mapping.memory import MemoryPlan
from zapdeploy.sim.performance import Performance


@dataclass(frozen=True)
class Sequences:
    """`most`: micro-batches in turn, each with a state of its own, that the fullest chip has room
    for. `state_bytes`: of one, in the cores of all chips. `frames_per_s`: with `most` in turn;
    `alone_fps`: with one.
    """

    most: int
    state_bytes: int
    frames_per_s: float
    alone_fps: float


def sequences_of(result: Performance) -> Sequences | None:
    """What the state leaves room for; None for a network without state."""
    plans = [stage.memory for stage in result.stages if stage.memory.bytes_of("state")]
    if not plans:
        return None
    frames, most = result.pipeline.micro_batch, min(map(_room, plans))
    return Sequences(
        most=most,
        state_bytes=result.pipeline.target.cores * sum(p.bytes_of("state") for p in plans),
        frames_per_s=frames * min(most / result.latency_s, 1 / result.flow.interval_s),
        alone_fps=frames / result.latency_s,
    )


def _room(plan: MemoryPlan) -> int:
    """States that a core's memory has room for: that of the plan, and more where nothing lies."""
    return 1 + (plan.limit - plan.peak) // plan.bytes_of("state")
