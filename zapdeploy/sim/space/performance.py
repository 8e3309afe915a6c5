"""What a network cut over space costs: cards in step, their links, joules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np

from zapdeploy.compile.layers import network_inputs, network_outputs
from zapdeploy.compile.mapping.cost import storage_bits
from zapdeploy.compile.mapping.pricing import Counts, energy_parts
from zapdeploy.compile.noc.mesh import Mesh
from zapdeploy.compile.program.program import Program
from zapdeploy.compile.space.program import SpaceProgram
from zapdeploy.quantities import Estimate
from zapdeploy.sim.space.flow import SpaceFlow
from zapdeploy.sim.space.passes import PassCosts
from zapdeploy.sim.timing import Timeline


@dataclass(frozen=True, eq=False)
class SpacePerformance(PassCosts):
    """What a pass over all cards costs.

    `passes`: those that make one frame, such as one for each lead time. `timelines`: of the kinds
    of cards, by themselves.
    """

    program: SpaceProgram
    timelines: tuple[Timeline, ...]
    flow: SpaceFlow
    passes: int = 1
    frame_rate_hz: float | None = None

    @property
    def cards(self) -> int:
        """All of the grid."""
        return self.program.grid.cards

    @cached_property
    def host_in_s(self) -> float:
        """The network's own inputs, into the card that gets most of them."""
        return max(_host_seconds(program, inputs=True) for program in self._each())

    @cached_property
    def host_out_s(self) -> float:
        """Seconds until the slowest card has sent its part of the outputs."""
        return max(_host_seconds(program, inputs=False) for program in self._each())

    @property
    def pass_s(self) -> float:
        """All layers on all cards, and the outputs' way to the framebuffer."""
        ends = [
            float(self.flow.ended_s[card]) + self.timelines[kind].output_cycles / self._clock
            for card, kind in enumerate(self.program.cards.kinds)
        ]
        return max(ends)

    @property
    def link_s(self) -> float:
        """A pass on the link of the card that sends or receives most, either way."""
        rate = float(self.program.target.host.bandwidth.value)
        busiest = int(self.flow.in_bytes.max()) / rate + self.host_in_s
        return max(busiest, int(self.flow.out_bytes.max()) / rate + self.host_out_s)

    @property
    def interval_s(self) -> float:
        """Between passes in a steady stream."""
        return max(self.pass_s, self.link_s)

    @property
    def throughput_fps(self) -> float:
        """Frames per second, all passes of each included."""
        return self.program.options.batch / (self.passes * self.interval_s)

    @property
    def latency_s(self) -> float:
        """Of a frame alone, from the first byte out of the host to the last one back."""
        host = self.program.target.host
        fixed = 2 * host.transfer_latency_s + host.launch_latency_s
        ends = fixed + self.host_in_s + self.host_out_s
        return ends + self.pass_s + (self.passes - 1) * self.interval_s

    @property
    def waits_s(self) -> dict[str, float]:
        """Of the card that is through last: what its pass went to."""
        last = int(np.argmax(self.flow.ended_s))
        waits = {"halos": self.flow.halo_wait_s[last], "sums": self.flow.sum_wait_s[last]}
        found = {name: float(seconds) for name, seconds in waits.items()}
        timeline = self.timelines[self.program.cards.kinds[last]]
        for span in timeline.spans:
            seconds = (span.end - span.start) / self._clock
            found[span.limiter] = found.get(span.limiter, 0.0) + seconds
        return found

    @property
    def limiter(self) -> str:
        """What most of a pass goes to; the host link where it takes longer than a pass."""
        if self.link_s > self.pass_s:
            return "host link"
        return max(self.waits_s, key=self.waits_s.__getitem__)

    @cached_property
    def counts(self) -> Counts:
        """Of a pass on all cards, and of what they send each other."""
        found, programs = Counts(), list(self.program.programs)
        for kind, program in enumerate(programs):
            one = sum((layer.counts for layer in program.layers), program.boundary_counts)
            times = self.program.cards.kinds.count(kind)
            found += Counts(**{name: times * number for name, number in asdict(one).items()})
        return found + self._sent_counts()

    @property
    def energy_parts(self) -> dict[str, Estimate]:
        """Joules per frame by what they go into."""
        parts = energy_parts(self.counts, self.cards * self.interval_s, self.program.target)
        return {name: part.scaled(self.passes_per_frame) for name, part in parts.items()}

    def _sent_counts(self) -> Counts:
        """What leaves cards: out of the cores, through the framebuffer, to the host.

        What arrives is an input of the card that it arrives at.
        """
        sent = int(self.flow.out_bytes.sum())
        hops = int(np.ceil(sent * 8 * Mesh.of(self.program.target).mean_hops_outside))
        return Counts(
            memory_bytes=sent, framebuffer_bytes=2 * sent, host_bytes=sent, activation_bit_hops=hops
        )

    @property
    def _clock(self) -> float:
        return self.program.target.clock_hz

    def _each(self) -> Sequence[Program]:
        return self.program.programs


def _host_seconds(program: Program, *, inputs: bool) -> float:
    """The card's part of the network's own inputs, or outputs, on its link."""
    graph, target = program.graph, program.target
    values = network_inputs(graph) if inputs else network_outputs(graph)
    moved = sum(
        value.size * storage_bits(value, target) / 8
        for value in values
        if not (inputs and value.name in graph.exchanged)
    )
    return float(moved / target.host.bandwidth.value)
