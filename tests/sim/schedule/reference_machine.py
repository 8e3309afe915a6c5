"""The machine of docs/machine-model.md, cycle by cycle: slow, obvious, and none of the scheduler's
code.

It is given what a chip would be given, the messages with their start cycles, and works out itself
when every tile pass and every output tile runs: each core steps from cycle to cycle and looks
whether what it waits for has happened. Links are a table of who is on them in which cycle.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from tests.compile.noc.meshes import multicast_tree

Place = tuple[int, int]


@dataclass(frozen=True)
class Message:
    """`brings`: for each receiver what has arrived when it has (any hashable name)."""

    network: str
    sender: int  # -1 - r: the framebuffer's link into row r
    receivers: tuple[int, ...]
    start: int
    cycles: int
    brings: dict[int, object]
    rows_first: bool = True


@dataclass(frozen=True)
class TilePass:
    positions: int
    weights: object | None  # what must have arrived over the model network
    inputs: object | None  # what must have arrived over the activation network
    own_bytes: int  # weights that come from the core's own memory
    sent_bytes: int  # weights that the core reads to send them for this tile pass
    opens_output_tile: bool


@dataclass(frozen=True)
class OutputTile:
    """Results that leave together, from the tile passes `first` to `last` (-1: no matrix work)."""

    first: int
    last: int
    entries: int  # accumulators in use: positions x sets
    vector: int
    activation: int
    sending: int
    port_bytes: int
    operands: list[object] | None  # all that must have arrived


@dataclass(frozen=True)
class Core:
    tile_passes: list[TilePass]
    output_tiles: list[OutputTile]
    after: int
    other: int  # whose partial sums it takes
    way: int


@dataclass(frozen=True)
class Chip:
    columns: int
    hop_cycles: dict[str, int]
    activation_width: int
    port_width: int
    input_width: int
    matrix_latency: int


class CollisionError(Exception):
    """Two messages on one link in one cycle."""


class OverwrittenError(Exception):
    """Weights arrived while the register was in use."""


@dataclass
class Network:
    """Who is on which link in which cycle, and when things arrive."""

    chip: Chip
    links: dict[tuple[str, object], dict[int, int]] = field(default_factory=dict)
    arrived: dict[tuple[int, object], int] = field(default_factory=dict)
    first_bytes: dict[tuple[int, object], int] = field(default_factory=dict)
    port_bytes: dict[int, dict[int, int]] = field(default_factory=dict)

    def play(self, messages: list[Message]) -> None:
        for number, message in enumerate(messages):
            self._send(number, message)

    def _send(self, number: int, m: Message) -> None:
        chip, hop = self.chip, self.chip.hop_cycles[m.network]
        outside = m.sender < 0
        core = (-1 - m.sender) * chip.columns if outside else m.sender
        source = divmod(core, chip.columns)
        first = 1 if outside else 0
        self._occupy(m.network, ("in", m.sender), m.start, m.cycles, number)
        if not outside:
            self._use_port(m, m.sender, m.start)
        places = [divmod(k, chip.columns) for k in m.receivers]
        for here, there in multicast_tree(source, places, rows_first=m.rows_first):
            away = first + _distance(source, here)
            self._occupy(m.network, (here, there), m.start + away * hop, m.cycles, number)
        for k, place in zip(m.receivers, places, strict=True):
            begin = m.start + (first + _distance(source, place)) * hop
            self._occupy(m.network, ("out", k), begin, m.cycles, number)
            self._use_port(m, k, begin)
            if k in m.brings:
                self._bring(k, m.brings[k], begin, m.cycles)
        if m.sender in m.brings:
            self._bring(m.sender, m.brings[m.sender], m.start, m.cycles)

    def _bring(self, core: int, thing: object, begin: int, cycles: int) -> None:
        key = (core, thing)
        self.arrived[key] = max(self.arrived.get(key, 0), begin + cycles)
        self.first_bytes[key] = min(self.first_bytes.get(key, begin), begin)

    def _occupy(self, network: str, link: object, begin: int, cycles: int, number: int) -> None:
        line = self.links.setdefault((network, link), {})
        for cycle in range(begin, begin + cycles):
            if cycle in line:
                raise CollisionError(f"{network} link {link} in cycle {cycle}")
            line[cycle] = number

    def _use_port(self, m: Message, core: int, begin: int) -> None:
        if m.network == "activation":
            used = self.port_bytes.setdefault(core, defaultdict(int))
            for cycle in range(begin, begin + m.cycles):
                used[cycle] += self.chip.activation_width


def _distance(a: Place, b: Place) -> int:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


@dataclass
class Run:
    """What one core did: begins of tile passes, begins and ends of output tiles."""

    begun: list[int] = field(default_factory=list)
    leaving: list[tuple[int, int]] = field(default_factory=list)


def run(chip: Chip, cores: dict[int, Core], messages: list[Message], start: int) -> int:
    """The cycle in which the layer's last result is in memory. A chain's first core comes first."""
    network = Network(chip)
    network.play(messages)
    runs: dict[int, Run] = {}
    for k in sorted(cores):
        runs[k] = _run_core(chip, cores[k], k, network, runs, start)
    _check_registers(cores, runs, network)
    return max(
        (run.leaving[-1][1] + cores[k].after for k, run in runs.items() if run.leaving),
        default=start,
    )


def _run_core(
    chip: Chip, core: Core, k: int, network: Network, runs: dict[int, Run], start: int
) -> Run:
    done, cycle, owed, elapsed = Run(), start, 0, 0
    own_ready = start  # the first tile pass's own weights are loaded before
    waiting, ends = 0, []  # bytes for the port; ends of tile passes
    running = False
    while len(done.leaving) < len(core.output_tiles):
        output_tile = core.output_tiles[len(done.leaving)]
        if len(ends) > output_tile.last:  # all its sums are there, or on their way
            done.leaving.append(
                _leave(chip, core, k, output_tile, network, runs, done, ends, start)
            )
            waiting += output_tile.port_bytes
            continue
        tile_pass = core.tile_passes[len(ends)]
        if not running and _may_begin(
            chip, core, k, tile_pass, network, done, ends, own_ready, cycle
        ):
            running, elapsed = True, 0
            done.begun.append(cycle)
            later = core.tile_passes[len(done.begun) % len(core.tile_passes)].own_bytes
            own_ready = cycle + -(-later // chip.port_width)
            owed = chip.input_width * tile_pass.positions + later + tile_pass.sent_bytes + waiting
            waiting = 0
        if running:
            used = network.port_bytes.get(k, {}).get(cycle, 0)
            if tile_pass.positions:
                owed -= chip.port_width - used
                elapsed += 1
            if elapsed >= tile_pass.positions and owed <= 0:
                running = False
                ends.append(cycle + (1 if tile_pass.positions else 0))
                if not tile_pass.positions:
                    continue
        cycle += 1
    return done


def _may_begin(
    chip: Chip,
    core: Core,
    k: int,
    tile_pass: TilePass,
    network: Network,
    done: Run,
    ends: list[int],
    own_ready: int,
    cycle: int,
) -> bool:
    for thing in (tile_pass.weights, tile_pass.inputs):
        if thing is not None and network.arrived.get((k, thing), 0) > cycle:
            return False
    if own_ready > cycle:
        return False
    if not tile_pass.opens_output_tile or not done.leaving:
        return True
    begin, end = done.leaving[-1]
    entries = core.output_tiles[len(done.leaving)].entries
    reaches = cycle + chip.matrix_latency  # the first accumulator; the others one by one
    return all(
        begin + (end - begin) * entry / max(entries, 1) <= reaches + entry
        for entry in range(entries + 1)
    )


def _leave(
    chip: Chip,
    core: Core,
    k: int,
    output_tile: OutputTile,
    network: Network,
    runs: dict[int, Run],
    done: Run,
    ends: list[int],
    start: int,
) -> tuple[int, int]:
    """When an output tile begins to leave the accumulators and has left, in cycles."""
    number = len(done.leaving)
    begin = sums = start if output_tile.last < 0 else 0
    if output_tile.last >= 0:
        begin = done.begun[output_tile.first] + chip.matrix_latency
        sums = ends[output_tile.last] + chip.matrix_latency
    if number:
        begin = max(begin, done.leaving[-1][1])
    for thing in output_tile.operands or ():
        begin = max(begin, network.arrived.get((k, thing), 0))
    if core.other >= 0:
        before = runs[core.other].leaving[number]
        begin = max(begin, before[0] + core.way)
        sums = max(sums, before[1] + core.way)
    cycle, owed, ticks = begin, output_tile.port_bytes, 0
    longest = max(output_tile.vector, output_tile.activation, output_tile.sending)
    while ticks < longest or owed > 0 or cycle < sums:
        owed -= chip.port_width - network.port_bytes.get(k, {}).get(cycle, 0)
        ticks += 1
        cycle += 1
    return begin, cycle


def _check_registers(cores: dict[int, Core], runs: dict[int, Run], network: Network) -> None:
    """Weights must not arrive before their core has begun the tile pass before."""
    for k, core in cores.items():
        for number, tile_pass in enumerate(core.tile_passes):
            if tile_pass.weights is None or not number:
                continue
            first = network.first_bytes.get((k, tile_pass.weights))
            if first is not None and first < runs[k].begun[number - 1]:
                raise OverwrittenError(f"core {k}, tile pass {number}, cycle {first}")
