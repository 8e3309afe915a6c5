"""Micro-batches on their way through a pipeline: when each crosses each link, when chips work.

Every chip has a host link of its own, both ways at once, one transfer at a time each way. The host
keeps what it is sent and hands it on when it has all of it; its own memory and work cost no time. A
chip's framebuffer holds two sets of inputs and two of outputs, so that the next micro-batch arrives
while this one is computed and the last one leaves; where it holds only one, the three take turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zapdeploy.compile.multichip.pipeline import Link
from zapdeploy.sim.timing import Timeline


@dataclass(frozen=True)
class Passage:
    """One micro-batch at one stage, in seconds: on its way in, being computed, on its way out."""

    arriving_s: float
    arrived_s: float
    started_s: float
    computed_s: float
    leaving_s: float
    left_s: float


_BEFORE_ALL = Passage(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Flow:
    """A batch through all stages, beginning with idle chips: [stage][micro-batch]."""

    stages: tuple[Timeline, ...]
    passages: tuple[tuple[Passage, ...], ...]

    @property
    def latency_s(self) -> float:
        """From the first byte leaving the host to the last output byte of the batch there."""
        return max(passages[-1].left_s for passages in self.passages)

    @property
    def slowest(self) -> int:
        """The stage that all others wait for in a steady stream."""
        return max(range(len(self.stages)), key=lambda s: self.stages[s].interval_s)

    @property
    def interval_s(self) -> float:
        """Between micro-batches in a steady stream: the slowest stage's."""
        return self.stages[self.slowest].interval_s


def flow(stages: Sequence[Timeline], links: Sequence[Link], micro_batches: int) -> Flow:
    """Let a batch pass: event after event, micro-batch after micro-batch."""
    needs: list[set[int]] = [set() for _ in stages]
    for link in links:
        for reader in link.readers:
            needs[reader].add(link.source)
    passed: list[list[Passage]] = [[] for _ in stages]
    for number in range(micro_batches):
        for stage, timeline in enumerate(stages):
            ready = max((passed[source][number].left_s for source in needs[stage]), default=0.0)
            passed[stage].append(_passage(timeline, passed[stage], ready))
    return Flow(tuple(stages), tuple(map(tuple, passed)))


def _passage(timeline: Timeline, before: Sequence[Passage], ready_s: float) -> Passage:
    """The next micro-batch at one stage, whose inputs the host has from `ready_s` on."""
    last, second_last = [_BEFORE_ALL, _BEFORE_ALL, *before[-2:]][:-3:-1]
    latency_s = timeline.transfer_latency_s
    left_chip = last.left_s - latency_s  # the host has it later than the chip is rid of it
    free = max(last.arrived_s, second_last.computed_s)
    free = free if timeline.double_buffered else left_chip
    arriving = max(ready_s + latency_s, free)  # transfers are asked for ahead of time
    arrived = arriving + timeline.host_in_s
    launch_s = 0.0 if before else timeline.launch_s  # later ones are queued behind the first
    started = max(arrived + launch_s, last.computed_s, second_last.left_s - latency_s)
    computed = started + timeline.array_s
    leaving = max(computed, left_chip)
    left = leaving + timeline.host_out_s + latency_s
    return Passage(arriving, arrived, started, computed, leaving, left)
