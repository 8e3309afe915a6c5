"""When each layer runs and which units it keeps busy: an estimate for one batch, in cycles.

Layers follow one another. Inside a layer the units run as a pipeline, so its busiest unit sets its
time; filling, draining and the start of the next program are added. Host transfers, their latencies
and the launch overlap with the batches before and after, but not with the batch they belong to.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zapdeploy.compile.graph import Value
from zapdeploy.compile.layers import network_inputs, network_outputs
from zapdeploy.compile.mapping.cost import storage_bits
from zapdeploy.compile.mapping.memory import is_double_buffered
from zapdeploy.compile.program.program import Program

# Where cycles come from: the compiler's estimate here, or the schedule (`sim/schedule`).
ESTIMATED, SCHEDULED = "estimated", "scheduled"


@dataclass(frozen=True)
class Span:
    """One layer in time: [start, end) in cycles, and the busy cycles of each unit inside it.

    `waits`: the layer's cycles by what its end waited for, where a schedule says so.
    """

    layer: str
    start: int
    end: int
    unit_cycles: dict[str, int]
    waits: dict[str, int] = field(default_factory=dict)

    @property
    def limiter(self) -> str:
        """What most of the time went to: the busiest unit, if nothing better is known."""
        cycles = self.waits or self.unit_cycles
        return max(sorted(cycles), key=cycles.__getitem__, default="none")


@dataclass(frozen=True)
class Timeline:
    """One batch: the layers, then the write of the outputs to the framebuffer."""

    spans: tuple[Span, ...]
    output_cycles: int
    clock_hz: float
    host_in_s: float
    host_out_s: float
    batch: int
    double_buffered: bool
    level: str = ESTIMATED
    transfer_latency_s: float = 0.0
    launch_s: float = 0.0

    @property
    def cycles(self) -> int:
        return (self.spans[-1].end if self.spans else 0) + self.output_cycles

    @property
    def array_s(self) -> float:
        """Seconds the array works on one batch."""
        return self.cycles / self.clock_hz

    @property
    def latency_s(self) -> float:
        """From the command to send the inputs to the last output byte in the host's memory."""
        transfers_s = self.host_in_s + self.host_out_s + 2 * self.transfer_latency_s
        return transfers_s + self.launch_s + self.array_s

    @property
    def interval_s(self) -> float:
        """Between batches in a steady stream: the slowest of array and host link.

        When the framebuffer holds only one set of inputs and outputs, they take turns.
        """
        if not self.double_buffered:
            return self.latency_s
        return max(self.array_s, self.host_in_s, self.host_out_s)

    @property
    def limiter(self) -> str:
        """What sets the interval: the host link, or the unit that limits most of the time."""
        host_s = (self.host_in_s, self.host_out_s)
        if self.array_s < (max(host_s) if self.double_buffered else sum(host_s)):
            return "host link"
        shares: dict[str, int] = {}
        for span in self.spans:
            shares[span.limiter] = shares.get(span.limiter, 0) + span.end - span.start
        return max(shares, key=lambda unit: shares[unit], default="none")

    @property
    def throughput_fps(self) -> float:
        return self.batch / self.interval_s


def time_program(program: Program) -> Timeline:
    """The compiler's estimate for one batch. The program must fit."""
    spans, now = [], 0
    for layer in program.layers:
        spans.append(Span(layer.name, now, now + layer.cycles, dict(layer.unit_cycles)))
        now += layer.cycles
    target, graph = program.target, program.graph

    def host_seconds(values: tuple[Value, ...]) -> float:
        moved = sum(v.size * storage_bits(v, target) / 8 for v in values)
        return float(moved / target.host.bandwidth.value)

    return Timeline(
        spans=tuple(spans),
        output_cycles=program.output_cycles,
        clock_hz=target.clock_hz,
        host_in_s=host_seconds(network_inputs(graph)),
        host_out_s=host_seconds(network_outputs(graph)),
        batch=program.options.batch,
        double_buffered=is_double_buffered(graph, target),
        transfer_latency_s=target.host.transfer_latency_s,
        launch_s=target.host.launch_latency_s,
    )
