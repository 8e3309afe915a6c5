"""How many frames one run of a network holds."""

from __future__ import annotations

import numpy as np

from zapdeploy.compile.graph import Graph, Shape
from zapdeploy.compile.ops.base import operator
from zapdeploy.compile.regions import Region


def frames_of(graph: Graph) -> int:
    """The length of the first dimension, where each index of it is a frame of its own; else 1.

    That is so when every input and output begins with it and the first and the last index of each
    output need that index alone of each input. State belongs to no frame.
    """
    kept = {name for pair in graph.state for name in pair}
    inputs = [graph.values[n] for n in graph.inputs if n not in kept and _is_read(graph, n)]
    outputs = [graph.values[n] for n in graph.outputs if n not in kept]
    outputs = [value for value in outputs if not value.is_constant]
    firsts = {value.shape[:1] for value in (*inputs, *outputs)}
    if len(firsts) != 1 or firsts == {()} or not inputs:
        return 1
    (frames,) = next(iter(firsts))
    edges = dict.fromkeys((0, frames - 1))
    apart = all(_alone(graph, [value.name for value in outputs], index) for index in edges)
    return frames if frames > 1 and apart else 1


def _is_read(graph: Graph, name: str) -> bool:
    return any(name in node.inputs for node in graph.nodes) or name in graph.outputs


def _alone(graph: Graph, outputs: list[str], index: int) -> bool:
    """Whether this index of the outputs is computed from this index of the inputs."""
    needed = {name: _slab(graph.values[name].shape, index) for name in outputs}
    for node in reversed(graph.nodes):
        call = graph.call(node)
        for output in node.outputs[:1]:
            if output not in needed:
                continue
            regions = operator(node.op).input_regions(call, needed[output])
            for value, region in zip(call.inputs, regions, strict=True):
                if value is not None and region is not None and not value.is_constant:
                    needed[value.name] = _around(needed.get(value.name), region)
    read = [needed[name] for name in graph.inputs if name in needed]
    first = [(int(r.low[0, 0]), int(r.high[0, 0])) for r in read if r.low.shape[-1]]
    return all(span == (index, index + 1) for span in first)


def _slab(shape: Shape, index: int) -> Region:
    low, high = np.zeros((1, len(shape)), np.int64), np.asarray([shape], np.int64)
    low[0, 0], high[0, 0] = index, index + 1
    return Region(low, high)


def _around(a: Region | None, b: Region) -> Region:
    """The smallest box around both."""
    if a is None:
        return b
    return Region(np.minimum(a.low, b.low), np.maximum(a.high, b.high))
