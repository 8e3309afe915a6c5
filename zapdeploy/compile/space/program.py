"""A network compiled for many cards by space: a Program for each kind of card."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

from zapdeploy import version
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.layers import group_layers
from zapdeploy.compile.mapping.mapper import Routes
from zapdeploy.compile.mapping.memory import CapacityViolation
from zapdeploy.compile.program.build import build_program
from zapdeploy.compile.program.capacity import parameters_and_programs
from zapdeploy.compile.program.layer_records import layer_bars, layer_records, layer_table
from zapdeploy.compile.program.program import Options, Origin, Program
from zapdeploy.compile.space.cards import Cards
from zapdeploy.compile.space.cutting import cut_space
from zapdeploy.compile.space.grid import Grid
from zapdeploy.errors import UsageError
from zapdeploy.hardware_targets import Target
from zapdeploy.progress import Progress
from zapdeploy.tables import Answer, Table


@dataclass(frozen=True, eq=False, repr=False)
class SpaceProgram(Answer):
    """A compiled network, all cards of which run the same layers at the same time.

    `graph` is the whole network; `programs` has one for each kind of card, in the order of
    `cards.models`. `violation` says why a card's part does not fit; `programs` then holds those up
    to the one that does not.
    """

    model: str
    origin: Origin
    target: Target
    target_toml: str
    options: Options
    grid: Grid
    graph: Graph
    programs: Sequence[Program]
    violation: CapacityViolation | None
    version: str
    digest: str = ""

    @cached_property
    def cards(self) -> Cards:
        """The cut, which follows from the network and the grid."""
        return Cards(cut_space(self.graph, self.grid))

    @property
    def fits(self) -> bool:
        """Whether every card's part has room on its chip."""
        return self.violation is None

    @property
    def on_what(self) -> str:
        """How many chips, in words."""
        return f"{self.grid.cards} x {self.target.name} ({self.grid})"

    @property
    def why_not(self) -> str:
        """Why the network does not fit, and what would help; empty where it does."""
        found = self.violation
        if found is None:
            return ""
        return found.sentence(self.model, self.on_what, self._fixes(found))

    def _fixes(self, found: CapacityViolation) -> str:
        """What could help the part that does not fit.

        More chips: where what they would share, not what each has whole, is too large. Fewer bits:
        where the layer has more.
        """
        part, target = self.programs[-1], self.target
        layers = group_layers(part.graph)
        layer = next(each for each in layers if each.name == found.layer)
        values = (layer.output, *layer.parameters, *(read.source for read in layer.reads))
        widest = max((v.element.bits for v in values if v.element.bits <= 8), default=0)
        narrower = [bits for bits in target.core.matrix_unit.widths if bits < widest]
        kept = part.memory.bytes_of("program", "parameters")
        whole = parameters_and_programs(layers, target)
        shared = whole < target.array.usable_cores * found.limit and kept < found.limit
        helps = [
            *(["more chips"] if shared else []),
            *([f"int{max(narrower)}"] if narrower else []),
        ]
        turns = "--split turns, which takes boxes from the host's memory one after the other"
        return f"{', '.join(helps)}, or {turns}" if helps else turns

    def __repr__(self) -> str:
        fits = "fits" if self.fits else "does not fit"
        return f"<SpaceProgram of {self.model} for {self.on_what}: {fits}>"

    def records(self) -> list[dict[str, Any]]:
        """The layers, kind of card by kind."""
        return layer_records(self.programs, "card_kind")

    def tables(self) -> tuple[Table, ...]:
        """The layers as they were mapped; nothing was timed yet."""
        return (layer_table(self._title, self.records(), "card_kind"),)

    def _figure(self, graph_objects: Any) -> Any:
        return layer_bars(graph_objects, self._title, self.records())

    @property
    def _title(self) -> str:
        return self.why_not or f"{self.model} on {self.on_what}"


def build_space(
    graph: Graph,
    origin: Origin,
    target: Target,
    target_toml: str,
    options: Options,
    grid: Grid,
    progress: Progress = lambda what, done, total: None,
) -> SpaceProgram:
    """Cut a network over the cards of a grid, and compile each kind of card once."""
    cards = Cards(cut_space(graph, grid))
    alone = replace(options, chips=1)
    programs: list[Program] = []
    routes: Routes = {}
    for kind, card in enumerate(cards.models):
        progress("compiling kinds of cards", kind, len(cards.models))
        own = cards.graph(card)
        programs.append(build_program(own, origin, target, target_toml, alone, routes=routes))
        if not programs[-1].fits:
            break
    return SpaceProgram(
        model=graph.name,
        origin=origin,
        target=target,
        target_toml=target_toml,
        options=replace(options, chips=grid.cards),
        grid=grid,
        graph=graph,
        programs=tuple(programs),
        violation=programs[-1].violation,
        version=version(),
    )


def suited_grid(graph: Graph, cards: int) -> Grid:
    """The grid with so many cards whose largest box of the network's space is smallest.

    Raises UsageError where there is none.
    """
    space = max((graph.values[name].shape for name in graph.inputs), key=len)[2:]
    return suited_to(space, cards) if space else Grid((cards,))  # which `cut_space` refuses


def suited_to(space: tuple[int, ...], cards: int) -> Grid:
    """Of several with the smallest largest box, the grid with the least surface to other cards."""
    fitting = [
        parts
        for parts in _factorings(cards, len(space))
        if all(part <= length for part, length in zip(parts, space, strict=True))
    ]
    if not fitting:
        raise UsageError(
            f"--chips must be a product of numbers that space of {list(space)} can be cut into, "
            f"not {cards}"
        )
    return Grid(min(fitting, key=lambda parts: _cost(parts, space)))


def _cost(parts: tuple[int, ...], space: tuple[int, ...]) -> tuple[int, int]:
    box = [-(-length // part) for part, length in zip(parts, space, strict=True)]
    volume = prod(box)
    sides = zip(parts, box, strict=True)
    faces = sum(min(part - 1, 2) * volume // side for part, side in sides)
    return volume, faces


def _factorings(number: int, factors: int) -> Iterable[tuple[int, ...]]:
    """All ways to write a number as a product of so many factors, in order."""
    if factors == 0:
        return [()] if number == 1 else []
    return [
        (first, *rest)
        for first in range(1, number + 1)
        if number % first == 0
        for rest in _factorings(number // first, factors - 1)
    ]
