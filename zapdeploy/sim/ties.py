"""Sums that lie in the middle between two codes, where a reference in float32 rounds either way.

Where the ratio of the scales is a round number (0.05 x 0.125 / 0.1 is 1/16), many exact sums lie
there. Dequantized numbers are not exact in float32, nor is their sum, so the reference's last bits
decide. Where all scales are powers of two, everything is exact and nothing is excused. QONNX adds
the zero point before it rounds to even: with an odd one it rounds every tie the other way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from zapdeploy.compile.graph import FLOAT32, Array, Graph, Node
from zapdeploy.compile.ops.base import Unit, operator
from zapdeploy.sim.functional import run_node

NEAR = 1e-3  # of a step: no more than float32 sums of 8-bit products err


def at_ties(
    graph: Graph,
    node: Node,
    values: Mapping[str, Array],
    ours: Array,
    theirs: Array,
    *,
    zero_point_first: bool = False,
) -> int:
    """How many elements of a weighted sum's result differ by one code, and are such sums.

    values: its inputs, by name. zero_point_first: the reference adds it before it rounds, and the
    result of any operator may differ where it is odd.
    """
    node = _behind_views(graph, node)
    name = node.outputs[0]
    made = graph.values[name]
    if made.quantization is None:
        return 0
    either_way = operator(node.op).rounds_either_way(graph.call(node))
    odd = zero_point_first and bool((made.quantization.zero_point % 2).any())
    if not (either_way or odd):
        return 0
    plain = replace(made, element=FLOAT32, quantization=None)
    real = run_node(replace(graph, values={**graph.values, name: plain}), node, values)[name]
    scale = made.quantization.along(made.quantization.scale, real.ndim)
    steps = real.astype(np.float64) / scale
    near = np.abs(steps - np.floor(steps) - 0.5) < NEAR
    near = near.reshape(ours.shape)
    apart = np.abs(ours.astype(np.int64) - theirs) == 1
    return int(np.count_nonzero(near & apart))


def _behind_views(graph: Graph, node: Node) -> Node:
    """What computed the numbers that a node shows under another shape."""
    producers = graph.producers()
    while operator(node.op).unit is Unit.VIEW and node.inputs[0] in producers:
        node = producers[node.inputs[0]]
    return node
