"""Volumes in turn: boxes one after the other give the whole graph's bits."""

from __future__ import annotations

import numpy as np
import pytest

from tests.space_networks import random_unet
from zapdeploy.compile.space.grid import Grid
from zapdeploy.compile.space.turns import rounds_of
from zapdeploy.sim import functional
from zapdeploy.sim.space.turns import run_rounds


@pytest.mark.parametrize("seed", range(16))
def test_boxes_in_turn(seed: int) -> None:
    made, inputs = random_unet(seed)
    rng = np.random.default_rng(seed)
    parts = tuple(int(rng.integers(1, min(4, n) + 1)) for n in inputs["x"].shape[2:])
    rounds = rounds_of(made, Grid(parts))
    found = run_rounds(made, rounds, inputs)
    for name, array in functional.run(made, inputs).items():
        assert found[name].tobytes() == array.tobytes()
    norms = sum(node.op == "DeviationOfSums" for node in made.nodes)
    assert len(rounds) <= norms + 1  # at most a round up to each normalization


def test_a_round_up_to_each_sum() -> None:
    """Of a volume that every box has a part of: what makes the sums, and what reads them."""
    made, inputs = random_unet(3)
    parts = tuple(2 for _ in inputs["x"].shape[2:])
    rounds = rounds_of(made, Grid(parts))
    assert len(rounds) > 1
    into, out = rounds[0].moved_elements
    assert into.sum() >= inputs["x"].size  # all of the input, halos more than once
    assert out.shape[1] == rounds[0].boxes
