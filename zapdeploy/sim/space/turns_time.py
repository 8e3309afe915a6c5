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

from zapdeploy.compile.mapping.pricing import Counts
from zapdeploy.compile.space.turns_program import TurnsProgram
from zapdeploy.sim.space.passes import PassCosts
from zapdeploy.sim.timing import Timeline

Seconds = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RoundTime:
    """Of the card that has most: seconds of its link in and out and of its array, and of all."""

    link_in_s: float
    array_s: float
    link_out_s: float
    seconds: float


@dataclass(frozen=True, eq=False, repr=False)
class TurnsPerformance(PassCosts):
    """One pass of a network in turn; `passes` of them make a frame."""

    program: TurnsProgram
    timelines: tuple[Timeline, ...]  # of the rounds' largest boxes
    rounds: tuple[RoundTime, ...]
    passes: int = 1
    frame_rate_hz: float | None = None

    @property
    def cards(self) -> int:
        """Those that share the boxes."""
        return self.program.cards

    @property
    def pass_s(self) -> float:
        """Round after round."""
        return sum(each.seconds for each in self.rounds)

    @property
    def interval_s(self) -> float:
        """Passes follow one another."""
        return self.pass_s

    @property
    def latency_s(self) -> float:
        """Of a frame, whose passes follow one another."""
        return self.passes * self.pass_s

    @property
    def throughput_fps(self) -> float:
        """Frames per second, all passes of each included."""
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
