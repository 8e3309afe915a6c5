"""Compile volumes in turn: the fewest boxes that fit, and a Program for the largest of each round.

Fewer boxes overlap less, so that less comes from the host and less is computed twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from zapdeploy import version
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.mapping.mapper import Routes
from zapdeploy.compile.program.build import build_program
from zapdeploy.compile.program.layer_records import layer_bars, layer_records, layer_table
from zapdeploy.compile.program.program import Options, Origin, Program
from zapdeploy.compile.space.grid import Grid
from zapdeploy.compile.space.program import suited_grid
from zapdeploy.compile.space.turns import Round, rounds_of
from zapdeploy.errors import DoesNotFitError, UsageError
from zapdeploy.hardware_targets import Target
from zapdeploy.progress import Progress
from zapdeploy.tables import Answer, Table

MOST_BOXES = 1 << 16


@dataclass(frozen=True, eq=False, repr=False)
class TurnsProgram(Answer):
    """A network whose boxes, those of `grid`, go through `cards` cards round after round.

    `graph` is the whole network; `programs`: of each round's largest box.
    """

    model: str
    origin: Origin
    target: Target
    target_toml: str
    options: Options
    grid: Grid
    graph: Graph
    rounds: tuple[Round, ...]
    programs: Sequence[Program]
    version: str
    digest: str = ""
    _others: dict[tuple[int, int], Program] = field(default_factory=dict)

    @property
    def cards(self) -> int:
        """How many cards share the boxes."""
        return self.options.chips

    @property
    def on_what(self) -> str:
        """How many chips, in words."""
        boxes = f"{self.grid.cards:,} boxes ({self.grid})"
        return f"{self.cards} x {self.target.name}, {boxes} in turn"

    def program_of(self, number: int, kind: int) -> Program:
        """That of a kind of box in a round. The largest box's is there; others are compiled when
        they are asked for, the same each time."""
        each = self.rounds[number]
        if kind == each.cards.kinds[each.largest]:
            return self.programs[number]
        if (number, kind) not in self._others:
            box = each.cards.graph(each.cards.models[kind])
            alone = replace(self.options, chips=1)
            self._others[number, kind] = build_program(
                box, self.origin, self.target, self.target_toml, alone
            )
        return self._others[number, kind]

    def __repr__(self) -> str:
        return f"<TurnsProgram of {self.model} for {self.on_what}>"

    def records(self) -> list[dict[str, Any]]:
        """The layers, round by round."""
        return layer_records(self.programs, "round")

    def tables(self) -> tuple[Table, ...]:
        """The layers as they were mapped; nothing was timed yet."""
        return (layer_table(f"{self.model} on {self.on_what}", self.records(), "round"),)

    def _figure(self, graph_objects: Any) -> Any:
        return layer_bars(graph_objects, f"{self.model} on {self.on_what}", self.records())


def build_turns(
    graph: Graph,
    origin: Origin,
    target: Target,
    target_toml: str,
    options: Options,
    cards: int,
    progress: Progress = lambda what, done, total: None,
) -> TurnsProgram:
    """Double the boxes until every round's largest fits a card. Raises DoesNotFitError where none
    does."""
    boxes, reason = cards, "no box is small enough for the framebuffer. Fix: use a chip with more."
    while boxes <= MOST_BOXES:
        try:
            grid = suited_grid(graph, boxes)
        except UsageError:
            if boxes == cards:
                raise
            break  # space is cut to single positions
        rounds = rounds_of(graph, grid)
        if all(_buffered(each, target) for each in rounds):
            programs = _programs(rounds, origin, target, target_toml, options, progress)
            if programs[-1].fits:
                return TurnsProgram(
                    graph.name, origin, target, target_toml, replace(options, chips=cards), grid,
                    graph, rounds, tuple(programs), version(),
                )  # fmt: skip
            reason = _why_not(programs[-1], boxes)
        boxes *= 2
    raise DoesNotFitError(f"{graph.name} does not fit on {target.name} in turn: {reason}")


def _why_not(program: Program, boxes: int) -> str:
    """What is too large in a box, of so many."""
    found = program.violation
    assert found is not None
    hints = [hint for hint in found.hints if not hint.endswith(" chips")]
    return (
        f"of {boxes:,} boxes, layer '{found.layer}' needs {found.what}: {found.demanded:,} bytes "
        f"of {found.limit:,}. Fix: use {' or '.join(hints) or 'a chip with more memory'}."
    )


def _buffered(each: Round, target: Target) -> bool:
    """Whether the framebuffer holds a box and the next, what goes in and what comes out."""
    into, out = each.box_bytes(target)
    return int((into + out).max()) <= target.framebuffer_bytes / 2


def _programs(
    rounds: Sequence[Round],
    origin: Origin,
    target: Target,
    target_toml: str,
    options: Options,
    progress: Progress,
) -> list[Program]:
    """Those of the largest boxes, up to the first that does not fit."""
    alone = replace(options, chips=1)
    routes: Routes = {}
    found: list[Program] = []
    for number, each in enumerate(rounds):
        progress("compiling rounds", number, len(rounds))
        own = each.cards.graph(each.largest)
        found.append(build_program(own, origin, target, target_toml, alone, routes=routes))
        if not found[-1].fits:
            break
    return found
