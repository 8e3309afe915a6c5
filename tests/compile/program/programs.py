"""Programs under drawn cuts, for the laws of lowering."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from hypothesis import strategies as st

from tests.cuts import drawn_by, recut
from tests.networks import NetworkBuilder, compiled, mesh, mlp, small_cnn
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.program.layer import Lowered, lower
from zapdeploy.compile.program.program import Program


def grouped() -> Graph:
    """Groups, a flattened tensor and odd sizes at 4 bits."""
    net = NetworkBuilder("grouped")
    x = net.conv(net.input("image", (1, 6, 7, 5), 4), 9, 3, 2, groups=3)
    return net.graph(net.dense(net.flatten(x, bits=4), 11, bits=4, weight_bits=4))


NETWORKS: dict[str, Callable[[], Graph]] = {
    "small_cnn": lambda: small_cnn(2),
    "mlp": lambda: mlp(5, (70, 33, 19)),
    "grouped": grouped,
}
ARRAYS = ((2, 2), (1, 5), (4, 4))


@cache
def program(name: str, array: tuple[int, int]) -> Program:
    return compiled(NETWORKS[name](), mesh(*array))


@st.composite
def lowered_programs(draw: st.DrawFn) -> Lowered:
    """A network on an array, every layer cut in any way that it allows."""
    made = program(draw(st.sampled_from(sorted(NETWORKS))), draw(st.sampled_from(ARRAYS)))
    seed = draw(st.integers(0, 1 << 30))
    return lower(recut(made, drawn_by(np.random.default_rng(seed))))
