"""Volumes in turn, in time: boxes over the host links while others are computed.

Every card takes its boxes one after the other. The framebuffer holds two: a box comes while the one
before is computed and what the one before that made goes out, each way of the link by itself. A
round begins when the host has all of the one before. Every box is computed in the time of the
round's largest and sent in its own. The host's memory and its additions cost no time.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from zapdeploy.compile.mapping.pricing import Counts, energy_of
from zapdeploy.compile.space.turns_program import TurnsProgram
from zapdeploy.quantities import Estimate, Provenance
from zapdeploy.sim.timing import SCHEDULED, Timeline

Seconds = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RoundTime:
    """Of the card that has most: seconds of its link in and out and of its array, and of all."""

    link_in_s: float
    array_s: float
    link_out_s: float
    seconds: float


@dataclass(frozen=True, eq=False, repr=False)
class TurnsPerformance:
    """One pass of a network in turn; `passes` of them make a frame."""

    program: TurnsProgram
    timelines: tuple[Timeline, ...]  # of the rounds' largest boxes
    rounds: tuple[RoundTime, ...]
    passes: int = 1
    frame_rate_hz: float | None = None

    @property
    def level(self) -> str:
        """Whether the boxes were scheduled or estimated."""
        return self.timelines[0].level

    @property
    def timing_kind(self) -> Provenance:
        """What its times are: simulated, or modelled."""
        return Provenance.SIMULATED if self.level == SCHEDULED else Provenance.MODELLED

    @property
    def pass_s(self) -> float:
        """Round after round."""
        return sum(each.seconds for each in self.rounds)

    @property
    def latency_s(self) -> float:
        """Of a frame, whose passes follow one another."""
        return self.passes * self.pass_s

    @property
    def throughput_fps(self) -> float:
        return self.program.options.batch / self.latency_s

    @property
    def waits_s(self) -> dict[str, float]:
        """What a pass goes to: computing, and the rest of it, in which the array waits."""
        computing = sum(each.array_s for each in self.rounds)
        return {"array": computing, "host link": self.pass_s - computing}

    @property
    def limiter(self) -> str:
        """What most of a pass goes to."""
        return max(self.waits_s, key=self.waits_s.__getitem__)

    @cached_property
    def counts(self) -> Counts:
        """Of a pass of all boxes, each as its round's largest."""
        found = Counts()
        for each, program in zip(self.program.rounds, self.program.programs, strict=True):
            one = sum((layer.counts for layer in program.layers), program.boundary_counts)
            found += Counts(**{name: each.boxes * n for name, n in asdict(one).items()})
        return found

    @property
    def energy_per_frame(self) -> Estimate:
        """Of all cards, with frames back to back."""
        return self._energy(0.0)

    @property
    def keeps_up(self) -> bool | None:
        """With the frame rate that was asked for."""
        return None if self.frame_rate_hz is None else self.throughput_fps >= self.frame_rate_hz

    @property
    def energy_at_frame_rate(self) -> Estimate | None:
        """Of a frame, waiting for the next included."""
        if self.frame_rate_hz is None:
            return None
        return self._energy(max(1 / self.frame_rate_hz - 1 / self.throughput_fps, 0.0))

    def _energy(self, waiting_s: float) -> Estimate:
        cards, scale = self.program.cards, self.passes / self.program.options.batch
        idle = cards * waiting_s / scale
        priced = energy_of(self.counts, cards * self.pass_s, self.program.target, idle)
        return priced.scaled(scale)

    @property
    def power_w(self) -> Estimate:
        """Watts of all cards at full rate."""
        return self.energy_per_frame.scaled(self.throughput_fps)


def round_time(
    into: Seconds, out: Seconds, run_s: float, cards: int, latency_s: float
) -> RoundTime:
    """A round: seconds of each box on the link in and out [boxes]; box i goes to card i modulo the
    number of cards."""
    turns = -(-len(into) // cards)
    padded = np.zeros((3, turns * cards))
    padded[:, : len(into)] = into, np.full(len(into), run_s), out
    steps = padded.reshape(3, turns, cards)
    arrived, ran, sent = np.zeros((3, turns + 2, cards))  # the first two: before any box
    for turn in range(turns):
        here, last, free = turn + 2, turn + 1, turn
        arrived[here] = np.maximum(arrived[last], ran[free]) + steps[0, turn]
        begins = np.maximum(arrived[here] + latency_s, np.maximum(ran[last], sent[free]))
        ran[here] = begins + steps[1, turn]
        sent[here] = np.maximum(sent[last], ran[here]) + steps[2, turn]
    link_in, array, link_out = map(float, steps.sum(axis=1).max(axis=1))
    return RoundTime(link_in, array, link_out, float(sent[-1].max()) + latency_s)
