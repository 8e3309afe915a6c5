"""Volumes in turn, computed: round after round, box after box, from tensors that the host keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from zapdeploy.compile.graph import Array, Graph
from zapdeploy.compile.regions import Region
from zapdeploy.compile.space.turns import Round
from zapdeploy.compile.space.turns_program import TurnsProgram
from zapdeploy.progress import StepProgress
from zapdeploy.sim import functional
from zapdeploy.sim.core_array.agreement import Agreement, compared, core_by_core
from zapdeploy.sim.frames import Run
from zapdeploy.sim.functional import Network, constants, validate

# What carries out a kind of box (its number) of a round (its number).
Runner = Callable[[int, int], Run]


def run_turns(
    program: TurnsProgram,
    inputs: Mapping[str, Array],
    progress: StepProgress = lambda done, total: None,
    *,
    core_by_core_values: bool = True,
) -> dict[str, Array]:
    """The network's outputs for one batch of inputs, box after box.

    `core_by_core_values`: every box by the Program of its kind, core by core; otherwise each box's
    graph is evaluated whole, which is faster and gives the same integers.
    """
    runner: Runner | None = None
    if core_by_core_values:

        def runner(number: int, kind: int) -> Run:
            return core_by_core(program.program_of(number, kind))

    return run_rounds(program.graph, program.rounds, inputs, runner, progress)


def agreement(program: TurnsProgram, inputs: Mapping[str, Array]) -> Agreement:
    """Run a batch in turn, core by core, and on the whole graph, and compare the outputs."""
    return compared(run_turns(program, inputs), functional.run(program.graph, inputs))


def run_rounds(
    graph: Graph,
    rounds: Sequence[Round],
    inputs: Mapping[str, Array],
    runner: Runner | None = None,
    progress: StepProgress = lambda done, total: None,
) -> dict[str, Array]:
    """The network's outputs; equal those of the whole graph in every bit. `runner`: each box's
    graph evaluated whole if not given."""
    validate(graph, inputs)
    held = constants(graph) | {name: np.asarray(array) for name, array in inputs.items()}
    for number, each in enumerate(rounds):
        progress(number, len(rounds))
        held.update(_run_round(number, each, held, runner))
    return {name: held[name] for name in graph.outputs}


def _run_round(
    number: int, each: Round, held: Mapping[str, Array], runner: Runner | None
) -> dict[str, Array]:
    """What all boxes leave of a round's outputs."""
    cards, values = each.cards, each.graph.values
    if runner is None:
        runs: list[Run] = [Network.of(cards.graph(model)).run for model in cards.models]
    else:
        runs = [runner(number, kind) for kind in range(len(cards.models))]
    made = {n: np.zeros(values[n].shape, values[n].element.numpy) for n in each.graph.outputs}
    adders = {n: set(each.base.adders(n).tolist()) for n in made if n in each.base.summed}
    for box, kind in enumerate(cards.kinds):
        given = {n: held[n][_index(cards.cut.owned[n], box)] for n in each.graph.inputs}
        for name, array in runs[kind](given).items():
            if name in adders:
                made[name] += array * (box in adders[name])
                continue
            own, part = cards.cut.owned[name], each.base.owned[name]
            inner = Region(part.low - own.low, part.high - own.low)
            made[name][_index(part, box)] = array[_index(inner, box)]
    return made


def _index(region: Region, box: int) -> tuple[slice, ...]:
    return tuple(map(slice, region.low[box].tolist(), region.high[box].tolist()))
