"""Volumes in turn, computed: round after round, box after box, from tensors that the host keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from zapdeploy.compile.graph import Array, Graph
from zapdeploy.compile.regions import Region
from zapdeploy.compile.space.turns import Round
from zapdeploy.sim.functional import Network, constants


def run_rounds(
    graph: Graph, rounds: Sequence[Round], inputs: Mapping[str, Array]
) -> dict[str, Array]:
    """The network's outputs; equal those of the whole graph in every bit."""
    held = constants(graph) | {name: np.asarray(array) for name, array in inputs.items()}
    for each in rounds:
        held.update(_run_round(each, held))
    return {name: held[name] for name in graph.outputs}


def _run_round(each: Round, held: Mapping[str, Array]) -> dict[str, Array]:
    """What all boxes leave of a round's outputs."""
    cards, values = each.cards, each.graph.values
    networks = [Network.of(cards.graph(model)) for model in cards.models]
    made = {n: np.zeros(values[n].shape, values[n].element.numpy) for n in each.graph.outputs}
    adders = {n: set(each.base.adders(n).tolist()) for n in made if n in each.base.summed}
    for box, kind in enumerate(cards.kinds):
        given = {n: held[n][_index(cards.cut.owned[n], box)] for n in each.graph.inputs}
        for name, array in networks[kind].run(given).items():
            if name in adders:
                made[name] += array * (box in adders[name])
                continue
            own, part = cards.cut.owned[name], each.base.owned[name]
            inner = Region(part.low - own.low, part.high - own.low)
            made[name][_index(part, box)] = array[_index(inner, box)]
    return made


def _index(region: Region, box: int) -> tuple[slice, ...]:
    return tuple(map(slice, region.low[box].tolist(), region.high[box].tolist()))
