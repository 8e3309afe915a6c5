"""All cards core by core against the whole graph: every element of the outputs, in every bit."""

from __future__ import annotations

from collections.abc import Mapping

from zapdeploy.compile.graph import Array
from zapdeploy.compile.space.program import SpaceProgram
from zapdeploy.progress import StepProgress
from zapdeploy.sim import functional
from zapdeploy.sim.core_array.agreement import Agreement, compared
from zapdeploy.sim.space.core_by_core import core_array
from zapdeploy.sim.space.lockstep import run_cards


def run_space(
    program: SpaceProgram,
    inputs: Mapping[str, Array],
    progress: StepProgress = lambda done, total: None,
    *,
    core_by_core_values: bool = True,
) -> dict[str, Array]:
    """The network's outputs for one batch of inputs, from cards in lock step.

    `core_by_core_values`: every card's cores from their own memories; otherwise each card's graph
    is evaluated whole, which is faster and gives the same integers.
    """
    runners = None
    if core_by_core_values:
        runners = {kind: core_array(each) for kind, each in enumerate(program.programs)}
    return run_cards(program.cards, inputs, runners, progress=progress)


def agreement(program: SpaceProgram, inputs: Mapping[str, Array]) -> Agreement:
    """Run a batch on all cards, core by core, and on the whole graph, and compare the outputs."""
    return compared(run_space(program, inputs), functional.run(program.graph, inputs))
