"""Compile volumes in turn: the fewest boxes that fit, and a Program for the largest of each round.

Fewer boxes overlap less, so that less comes from the host and less is computed twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from zapdeploy.compile.graph import Graph
from zapdeploy.compile.mapping.mapper import Routes
from zapdeploy.compile.program.build import build_program
from zapdeploy.compile.program.program import Options, Origin, Program
from zapdeploy.compile.space.grid import Grid
from zapdeploy.compile.space.program import suited_grid
from zapdeploy.compile.space.turns import Round, rounds_of
from zapdeploy.errors import DoesNotFitError, UsageError
from zapdeploy.hardware_targets import Target
from zapdeploy.progress import Progress

MOST_BOXES = 1 << 16


@dataclass(frozen=True, eq=False)
class TurnsProgram:
    """A network whose boxes, those of `grid`, go through `cards` cards round after round.

    `programs`: of each round's largest box.
    """

    cards: int
    grid: Grid
    target: Target
    options: Options
    rounds: tuple[Round, ...]
    programs: tuple[Program, ...]


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
    boxes = cards
    while boxes <= MOST_BOXES:
        try:
            grid = suited_grid(graph, boxes)
        except UsageError:
            break  # space is cut to single positions
        rounds = rounds_of(graph, grid)
        if all(_buffered(each, target) for each in rounds):
            programs = _programs(rounds, origin, target, target_toml, options, progress)
            if programs[-1].fits:
                alone = replace(options, chips=cards)
                return TurnsProgram(cards, grid, target, alone, rounds, tuple(programs))
        boxes *= 2
    raise DoesNotFitError(
        f"{graph.name} does not fit on {target.name} in turn: no box of it fits. Fix: use int4."
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
