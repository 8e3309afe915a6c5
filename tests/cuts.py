"""Programs with other cuts than the mapper's: any that the layers allow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from zapdeploy.compile.layers import group_layers
from zapdeploy.compile.mapping.tiling import Cuts, enumerate_cuts, space_of
from zapdeploy.compile.program.program import Program
from zapdeploy.compile.program.recutting import with_cuts
from zapdeploy.compile.regions import IntArray

Chooser = Callable[[IntArray], int]  # all cuts of a layer [cuts, rank + 1] -> the number of one


def recut(program: Program, choose: Chooser) -> Program:
    """The same network under chosen cuts, with the memory plan and the counts that they give."""
    target, layers = program.target, group_layers(program.graph)
    chosen = []
    for layer in layers:
        space = space_of(layer)
        factors = enumerate_cuts(space, target.cores)
        chosen.append(Cuts(space, factors[choose(factors)][None], target.cores))
    return with_cuts(program, chosen)


def drawn_by(random: np.random.Generator) -> Chooser:
    return lambda factors: int(random.integers(len(factors)))


__all__ = ["Chooser", "drawn_by", "recut", "with_cuts"]
