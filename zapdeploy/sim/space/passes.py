"""What all networks that take several passes for a frame cost, cut over cards or in turn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from zapdeploy.compile.mapping.pricing import Counts, energy_of
from zapdeploy.quantities import Estimate, Provenance
from zapdeploy.sim.timing import SCHEDULED, Timeline

if TYPE_CHECKING:
    from zapdeploy.compile.space.program import SpaceProgram
    from zapdeploy.compile.space.turns_program import TurnsProgram


class PassCosts(ABC):
    """`passes` make one frame, such as one for each lead time; `timelines`: of kinds of cards, or
    of rounds, by themselves."""

    program: SpaceProgram | TurnsProgram
    timelines: tuple[Timeline, ...]
    passes: int
    frame_rate_hz: float | None

    @property
    @abstractmethod
    def cards(self) -> int:
        """Chips that work, and are paid for."""

    @property
    @abstractmethod
    def interval_s(self) -> float:
        """Between passes in a steady stream."""

    @property
    @abstractmethod
    def throughput_fps(self) -> float:
        """Frames per second, all passes of each included."""

    @property
    @abstractmethod
    def counts(self) -> Counts:
        """Events of a pass on all cards."""

    @property
    def level(self) -> str:
        """How the cards' times were found: scheduled or estimated."""
        return self.timelines[0].level

    @property
    def timing_kind(self) -> Provenance:
        """What waits for the host is modelled; layers are scheduled, or estimated."""
        return Provenance.SIMULATED if self.level == SCHEDULED else Provenance.MODELLED

    @property
    def energy_per_frame(self) -> Estimate:
        """Of all cards, with frames back to back."""
        return self._energy(0.0)

    @property
    def power_w(self) -> Estimate:
        """Watts of all cards at full rate."""
        return self.energy_per_frame.scaled(self.throughput_fps)

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

    @property
    def passes_per_frame(self) -> float:
        """Passes over the frames that go through them together."""
        return self.passes / self.program.options.batch

    def _energy(self, waiting_s: float) -> Estimate:
        idle = self.cards * waiting_s / self.passes_per_frame
        priced = energy_of(self.counts, self.cards * self.interval_s, self.program.target, idle)
        return priced.scaled(self.passes_per_frame)
