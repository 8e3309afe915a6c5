"""The compiled network: everything the chip would be given, and what each layer will cost."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from zapdeploy.compile.graph import Graph
from zapdeploy.compile.mapping.memory import CapacityViolation, MemoryPlan
from zapdeploy.compile.mapping.pricing import Counts
from zapdeploy.hardware_targets import Target


@dataclass(frozen=True)
class Fetch:
    """One tensor that a layer fetches over the activation network before and while it runs.

    `received_bytes`, `sent_bytes`: at the busiest core; `link_bytes`: over the busiest link or
    port; `from_framebuffer`: a network input. The totals are over all cores.
    """

    source: str
    received_bytes: int
    sent_bytes: int
    total_received_bytes: int
    total_sent_bytes: int
    link_bytes: int
    from_framebuffer: bool


@dataclass(frozen=True)
class LayerProgram:
    """One layer as it runs.

    `nodes`: the graph nodes it computes, anchor first. `cut`: one factor per dimension of the
    output, then the reduction's. `digits`: the dimensions from the slowest digit of a core's number
    to the fastest (see `tiling`). `unit_cycles`: busy cycles of each unit of the busiest core, or
    of the busiest link. `fill_cycles`: what does not overlap. `bound_cycles`: the least any cut
    could take.
    """

    name: str
    op: str
    nodes: tuple[str, ...]
    output: str
    cut: tuple[int, ...]
    digits: tuple[int, ...]
    fetches: tuple[Fetch, ...]
    unit_cycles: dict[str, int]
    fill_cycles: int
    bound_cycles: int
    macs: int
    bits: int
    counts: Counts

    @property
    def limiter(self) -> str:
        """The busiest unit; of several, the first by name, in memory as in a file."""
        return max(sorted(self.unit_cycles), key=lambda unit: self.unit_cycles[unit])

    @property
    def cycles(self) -> int:
        """From the end of the layer before to the end of this one."""
        return max(self.unit_cycles.values()) + self.fill_cycles


@dataclass(frozen=True)
class Options:
    """What the user asked for. `effort`: "quick", "normal" or "thorough", see `EFFORTS`."""

    batch: int
    chips: int
    objective: str
    effort: str = "normal"


@dataclass(frozen=True)
class Origin:
    """The file that was compiled. `notes`: what its metadata tells whoever runs it."""

    name: str
    sha256: str
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Program:
    """A compiled network. `digest` covers graph, target, options and version.

    `violation` says why the network does not fit; it is None when it does. `mapping_gap` is how
    much cheaper, as a fraction, any other choice of the priced cuts could be at most.
    """

    model: str
    origin: Origin
    target: Target
    target_toml: str
    options: Options
    graph: Graph
    layers: tuple[LayerProgram, ...]
    memory: MemoryPlan
    violation: CapacityViolation | None
    output_cycles: int
    boundary_counts: Counts
    mapping_gap: float
    version: str
    digest: str = ""

    @property
    def fits(self) -> bool:
        """Whether the network has room on the chip."""
        return self.violation is None

    def without_plan(self, graph: Graph, options: Options) -> Program:
        """Of the same file and chip, a network that others hold the parts of."""
        return replace(
            self,
            options=options,
            graph=graph,
            layers=(),
            memory=MemoryPlan((), self.memory.limit),
            output_cycles=0,
            boundary_counts=Counts(),
            mapping_gap=0.0,
            violation=None,
            digest="",
        )
